"""Pumps: what a program writes goes to the log first, then to every attach client.

A pump reads what the pipe holds and hands each chunk on without waiting for anybody but the first
client. All that happens between two reads happens at once, so at the end of a container the rest can be
handed on by the same function, from the outside, without a byte out of order.

Chunks are such that a chunk of short lines, encoded, still fits into a processor's cache; many of them are
taken in one turn of the event loop, whose turns cost as much as encoding one of them.

A terminal that nobody has open counts as ready for ever, and reading it gives EIO; but a program may open it
again. So then it is watched by its edges: an epoll that has told once that nobody is there tells again only
when something happens.

Sources: pipe(7) "I/O on pipes and FIFOs"; pty(7); ioctl_tty(2) and epoll(7), EPOLLET.
"""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING

import trio

from holdfast.shim.stdio import PIPE_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from holdfast.shim.log.logs import Logs

READ_BYTES = 1 << 16
PROMPT_S = 0.25
"""After this time without more the beginning of a line gets into the log."""
_CHUNKS_A_TURN = 16
_HELD_BYTES_MAX = PIPE_BYTES
"""What a pipe or a terminal can hold at most, and so what can be left when the program has ended."""


class Pump:
    """One stream on its way out of a container."""

    def __init__(self, fd: int, stream: str, logs: Logs, show: Callable[[str, bytes], None]) -> None:
        """Take over a descriptor that does not block. `show` gives a chunk to the attach clients."""
        self._fd = fd
        self._stream = stream
        self._logs = logs
        self._show = show
        self._scope = trio.CancelScope()
        self._is_deserted = False
        self.ended = trio.Event()
        """Set when nothing can come any more."""

    async def run(self, room: Callable[[], Awaitable[None]]) -> None:
        """Pump until the stream ends, or `stop`. `room` is waited for after each turn."""
        with self._scope:
            while not self.ended.is_set():
                await self._readable()
                for _ in range(_CHUNKS_A_TURN):
                    if not self._pull():
                        break
                await room()

    def stop(self) -> None:
        """Take nothing more from the stream by itself."""
        self._scope.cancel()

    def drain(self) -> None:
        """Hand on all that a program that has ended has left; what others go on writing is no end of it."""
        left = _HELD_BYTES_MAX
        while left > 0 and (count := self._pull()):
            left -= count
        self._logs.flush(self._stream)

    def _pull(self) -> int:
        """Hand on a chunk of what is there now. Returns how many bytes that was."""
        if self.ended.is_set():
            return 0
        try:
            chunk = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._is_deserted = True
            return 0
        if chunk:
            self._logs.write(self._stream, chunk)
            self._show(self._stream, chunk)
        else:
            self.ended.set()
            self._logs.flush(self._stream)
        return len(chunk)

    async def _readable(self) -> None:
        if self._logs.has_rest(self._stream):
            with trio.move_on_after(PROMPT_S) as scope:
                await self._something_there()
            if not scope.cancelled_caught:
                return
            self._logs.flush(self._stream)
        await self._something_there()

    async def _something_there(self) -> None:
        if not self._is_deserted:
            await trio.lowlevel.wait_readable(self._fd)
            return
        with select.epoll() as epoll:
            epoll.register(self._fd, select.EPOLLIN | select.EPOLLET)
            while not any(events & select.EPOLLIN for _, events in epoll.poll(0)):
                await trio.lowlevel.wait_readable(epoll.fileno())
        self._is_deserted = False
