"""Waiting for a process in the foreground: signals go to it, and its exit code is ours.

Source: runc(8) "run", on the signals that are passed on; waitpid(2).
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from holdfast.protocol.exitcode import ending

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_KEPT = frozenset(
    (
        *(signal.SIGKILL, signal.SIGSTOP),  # nobody can catch them
        *(signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG),  # about this process alone
        *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP),
    )
)


@contextmanager
def signals_to(pid: int) -> Iterator[None]:
    """Pass signals on to a child of ours meanwhile."""
    pidfd = os.pidfd_open(pid)

    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)

    before = {number: signal.signal(number, forward) for number in signal.valid_signals() - _KEPT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        os.close(pidfd)


def wait_for(pid: int) -> int:
    """Wait for a child's end; return the exit code, 128 and the number for one that a signal ended."""
    _, status = os.waitpid(pid, 0)
    return ending(status).exit_code
