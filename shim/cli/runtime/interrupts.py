"""Signals that end a command: while something is being made they raise, so that it is unmade.

Source: signal(7).
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal has asked this process to end; its text is the signal's name."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Have signals that end a process raise Interrupted meanwhile; one that is ignored stays so."""
    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    for other in _ENDING:  # once is enough; what follows is tidying up
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)
