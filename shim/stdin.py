"""The container's stdin: a pipe, a terminal, or nothing at all; fed by attach clients."""

from __future__ import annotations

import os

import trio


class Stdin:
    """What clients type into."""

    def __init__(self, fd: int | None, *, terminal: bool = False) -> None:
        """Take our end; None: what is written is thrown away. A terminal's comes later, by `open`."""
        self._fd = fd
        self._terminal = terminal
        self._opened = trio.Event()
        self._turn = trio.Lock()
        if not terminal:
            self._opened.set()

    def open(self, ptm_fd: int) -> None:
        """Begin to write to a terminal; what was typed before has waited."""
        self._fd = ptm_fd
        self._opened.set()

    async def write(self, content: bytes) -> None:
        """Write all of it; waits for the program to read."""
        await self._opened.wait()
        rest = memoryview(content)
        async with self._turn:
            while rest and self._fd is not None:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:
                    await self._writable(self._fd)
                except OSError:  # EPIPE: the program has closed it; EIO: the terminal is gone
                    return

    async def _writable(self, fd: int) -> None:
        try:
            await trio.lowlevel.wait_writable(fd)
        except trio.ClosedResourceError:  # somebody has ended the input meanwhile
            return

    def end(self) -> None:
        """Let the program see the end of its input; a terminal has none, there a person types Ctrl-D."""
        if self._fd is not None and not self._terminal:
            trio.lowlevel.notify_closing(self._fd)
            os.close(self._fd)
            self._fd = None
