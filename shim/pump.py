"""Pumps: what a program writes goes to the log first, then to every attach client.

A pump reads what the pipe holds, in large pieces, and hands each on without waiting for anybody but the
first client. All that happens between two reads happens at once, so at the end of a container the rest can
be drained by the same function, from the outside, without a byte out of order.

Sources: pipe(7) "I/O on pipes and FIFOs"; pty(7); ioctl_tty(2) on the EIO of a terminal that nobody has
open.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from holdfast.shim.log.drivers import Log

READ_BYTES = 1 << 20
PROMPT_S = 0.25
"""After this time without more the beginning of a line gets into the log."""
_NOBODY_S = 0.1
"""How often to look whether a terminal that nobody has open is opened again."""


class Pump:
    """One stream on its way out of a container."""

    def __init__(
        self,
        fd: int,
        stream: str,
        logs: Sequence[Log],
        show: Callable[[str, bytes], None],
        *,
        terminal: bool = False,
    ) -> None:
        """Take over a descriptor that does not block. `show` gives a chunk to the attach clients."""
        self._fd = fd
        self._stream = stream
        self._logs = logs
        self._show = show
        self._terminal = terminal
        self.at_end = False
        self.ended = trio.Event()

    async def run(self, room: Callable[[], Awaitable[None]]) -> None:
        """Pump until the stream ends. `room` is waited for after each chunk."""
        while not self.at_end:
            await self._readable()
            if not self.pull() and not self.at_end:
                await trio.sleep(_NOBODY_S)
            await room()

    def pull(self) -> bool:
        """Hand on what is there now. Returns whether anything was."""
        try:
            chunk = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False  # a terminal that nobody has open now, but may have again
        if not chunk:
            self.at_end = True
            self.ended.set()
            return False
        for log in self._logs:
            log.write(self._stream, chunk)
        self._show(self._stream, chunk)
        return True

    def drain(self) -> None:
        """Hand on all that is there, after the program has ended."""
        while self.pull():
            pass
        for log in self._logs:
            log.flush(self._stream)

    async def _readable(self) -> None:
        with trio.move_on_after(PROMPT_S):
            await trio.lowlevel.wait_readable(self._fd)
            return
        for log in self._logs:
            log.flush(self._stream)
        await trio.lowlevel.wait_readable(self._fd)
