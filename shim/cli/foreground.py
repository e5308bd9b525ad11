"""The caller's side of a container in the foreground: its output to our stdout and stderr, our input to it.

Three descriptors are watched, by poll(2) and without an event loop, since this process waits for
nothing else and starts in no time without one:

- the attach socket: a packet is one byte that names the stream, and what was written to it. When
  the container's output has ended the socket is at its end;
- our stdin, with `-i`: while a packet of it waits for room in the socket, the stdin is not read,
  but output still is; a container that first writes and then reads would wait for us for ever
  otherwise;
- the shim's news: lines that tell that the container has started, or failed to, or how it has
  ended.

Output is written as it comes, blocking: a reader that is slow slows the container, as it would a
program in a pipe.

Sources: poll(2); unix(7) SOCK_SEQPACKET; signal(7) on what interrupts a blocking call.
"""

from __future__ import annotations

import os
import select
import socket
from typing import TYPE_CHECKING

from holdfast.protocol import attach

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.shim.cli.terminal import DetachKeys

_NEWS_MAX = 1 << 16
_AT_ONCE = 64
"""Packets that are taken before their output is written."""
_OUR_FDS = {attach.STDOUT: 1, attach.STDERR: 2}


class Foreground:
    """Copies between a container and our own descriptors until the container ends or the caller leaves."""

    def __init__(
        self,
        client: socket.socket,
        news_fd: int,
        on_news: Callable[[bytes], bool],
        on_output_gone: Callable[[], None],
    ) -> None:
        """Take the attach socket, and where the shim's news comes from; both stay the caller's.

        on_news: takes a piece of the news, empty at the end of it, and returns whether more is to be
        waited for. on_output_gone: called when nobody reads our stdout or stderr any more.
        """
        self.detached = False
        self._client = client
        self._news_fd = news_fd
        self._on_news = on_news
        self._on_output_gone = on_output_gone
        self._on_signal: Callable[[], None] | None = None
        self._keys: DetachKeys | None = None
        self._stdin_fd = -1
        self._wakeup_fd = -1
        self._pending = b""
        self._input_ended = False

    def take_input(self, fd: int, keys: DetachKeys | None) -> None:
        """Send what is read from `fd` to the container; `keys` in it detach."""
        self._stdin_fd, self._keys = fd, keys

    def watch_signals(self, fd: int, on_signal: Callable[[], None]) -> None:
        """Call `on_signal` when there is something in `fd`, where the interpreter tells of signals."""
        self._wakeup_fd, self._on_signal = fd, on_signal

    def detach(self) -> None:
        """Have `run` return."""
        self.detached = True

    def run(self) -> None:
        """Copy until all news is in and all output is out, or the caller has detached. Raises OSError."""
        self._client.setblocking(False)  # noqa: FBT003  # its only parameter
        attached = expecting = True
        while (attached or expecting) and not self.detached:
            ready = self._wait(attached=attached, expecting=expecting)
            if self._wakeup_fd in ready:
                self._take_signals()
            if attached and ready.get(self._client.fileno(), 0) & ~select.POLLOUT:
                attached = self._copy_output()
            if self._pending:
                self._send_pending()
            elif self._stdin_fd in ready:
                self._copy_input()
            if expecting and self._news_fd in ready:
                expecting = self._on_news(os.read(self._news_fd, _NEWS_MAX))

    def _wait(self, *, attached: bool, expecting: bool) -> dict[int, int]:
        """Return what is ready: descriptor to events."""
        poll = select.poll()
        if attached:
            poll.register(self._client, select.POLLIN | (select.POLLOUT if self._pending else 0))
        if expecting:
            poll.register(self._news_fd, select.POLLIN)
        if self._wakeup_fd >= 0:
            poll.register(self._wakeup_fd, select.POLLIN)
        if self._stdin_fd >= 0 and not self._pending and attached:
            poll.register(self._stdin_fd, select.POLLIN)
        return dict(poll.poll())

    def _copy_output(self) -> bool:
        """Write what packets there are to our stdout and stderr. Returns False at the end of the output."""
        chunks: list[tuple[int, list[bytes]]] = []
        at_end = False
        for _ in range(_AT_ONCE):
            packet = self._receive()
            if not packet:
                at_end = packet is not None
                break
            stream, content = attach.parse(packet)
            if not chunks or chunks[-1][0] != stream:
                chunks.append((stream, []))
            chunks[-1][1].append(content)
        for stream, pieces in chunks:
            try:
                write_all(_OUR_FDS[stream], b"".join(pieces))
            except BrokenPipeError:
                self._client.shutdown(socket.SHUT_RDWR)  # or the shim would wait for us to take what is left
                self._on_output_gone()
                return False
        return not at_end

    def _receive(self) -> bytes | None:
        """Return a packet; an empty one at the end, None if there is none yet."""
        try:
            return self._client.recv(attach.PACKET_MAX)
        except BlockingIOError:
            return None
        except ConnectionResetError:  # the shim has left without having read all that we sent
            return b""

    def _copy_input(self) -> None:
        try:
            typed = os.read(self._stdin_fd, attach.INPUT_MAX)
        except OSError:  # EIO: our terminal is gone
            typed = b""
        if typed:
            self._pending = self._keys.pass_on(typed) if self._keys else typed
            if self._keys is not None and self._keys.pressed:
                self.detach()
        else:
            self._pending = self._keys.rest() if self._keys else b""
            self._input_ended, self._stdin_fd = True, -1
        self._send_pending()

    def _send_pending(self) -> None:
        try:
            if self._pending:
                self._client.send(self._pending)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):  # the container has ended
            pass
        self._pending = b""
        if self._input_ended:
            self._end_input()

    def _end_input(self) -> None:
        """Tell the shim that nothing more comes from us, so that the container's stdin is at its end."""
        try:
            self._client.shutdown(socket.SHUT_WR)
        except OSError:  # the other side has left already
            return

    def _take_signals(self) -> None:
        os.read(self._wakeup_fd, _NEWS_MAX)
        if self._on_signal is not None:
            self._on_signal()


def write_all(fd: int, content: bytes) -> None:
    """Write everything. Raises OSError."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
