"""Becoming a shim: a process that depends on nobody.

    launcher ──fork──> shim ──fork──> runtime ──> init

The shim begins a session of its own, so that no terminal's hang-up and no signal to the launcher's process
group reaches it; becomes a subreaper, so that init and the container's orphans become its children; and
holds nothing open of the launcher's but what it was given. The runtime is forked before the event loop and
its modules are even imported: it makes the container meanwhile.

Sources: daemon(7); PR_SET_CHILD_SUBREAPER of prctl(2); fork(2).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from holdfast.protocol import control, exitcode
from holdfast.shim import runtimes, stdio
from holdfast.shim.runtimes.bringup import fork_runtime

if TYPE_CHECKING:
    from holdfast.shim.order import ShimOrder

_UMASK = 0o022
_IGNORED = (signal.SIGHUP, signal.SIGPIPE, signal.SIGTTOU, signal.SIGTTIN, signal.SIGTSTP)


def launch(order: ShimOrder) -> int:
    """Fork a shim and return its pid at once; what becomes of it is told on the order's report descriptor.

    The shim is a child of the caller until the caller ends; its exit code is 0 if it could do its work.
    Raises OSError if there cannot be another process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = exitcode.FAILED
    try:
        code = _live(order)
    finally:
        # Not by sys.exit: whatever the launcher has registered to be done at its end is not the shim's to
        # do.
        os._exit(code)


def _live(order: ShimOrder) -> int:
    """Be a shim. Returns its exit code."""
    try:
        detach(order)
        streams = stdio.open_streams(terminal=order.terminal, stdin=order.stdin)
        runtime = runtimes.choose(order)
        bringing_up = fork_runtime(runtime, order, streams)
    except OSError as error:
        tell(order, control.Failed(error=str(error), exit_code=exitcode.FAILED))
        return exitcode.FAILED
    from holdfast.shim.main import run_shim  # noqa: PLC0415  # the event loop, while the runtime is at work already

    return run_shim(order, streams, runtime, bringing_up)


def detach(order: ShimOrder) -> None:
    """Leave the launcher's surroundings."""
    import prctl  # noqa: PLC0415  # only a shim needs it

    os.setsid()
    prctl.set_child_subreaper(True)
    prctl.set_name("holdfast-shim")
    os.umask(_UMASK)
    os.chdir("/")
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in range(3):
        os.dup2(null_fd, fd)
    close_all_but(order.inherited_fds())


def close_all_but(kept: list[int]) -> None:
    """Close every descriptor from 3 on that is not to be kept, and keep those from programs that are run."""
    lowest = 3
    for fd in sorted(kept):
        os.set_inheritable(fd, False)  # noqa: FBT003  # its only parameter
        os.closerange(lowest, fd)
        lowest = fd + 1
    os.closerange(lowest, os.sysconf("SC_OPEN_MAX"))


def tell(order: ShimOrder, event: control.Event) -> None:
    """Report an event to whoever launched the shim, if it still listens."""
    if order.report_fd is None:
        return
    with socket.socket(fileno=os.dup(order.report_fd)) as report:
        try:
            report.sendall(control.encode(event), socket.MSG_NOSIGNAL)
        except OSError:
            return
