"""The attach socket: any number of clients see the output from when they come, and type into the stdin.

Each client has a queue of its own, of bounded size. One that falls behind is cut off, so that nobody else
waits for it; only the first client, if it was there before anything ran, is waited for: it *is* the
container's output (`holdfast run … | less`), as a reader of a pipe is.

The stdin is at its end when a client has ended its input and no other client is left that could still type.

Source: protocol/attach.py has the frames.
"""

from __future__ import annotations

import os
import select
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from holdfast.protocol import attach

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.shim.diagnostics import Diagnostics

CLIENTS_MAX = 256
QUEUE_BYTES_MAX = 8 << 20
"""What a client that came later may be behind."""
FIRST_QUEUE_BYTES = 1 << 20
"""What the first client may be behind before the container waits."""
_FAREWELL_S = 5
_DEPARTURE_PAUSE_MAX_S = 30


class Client:
    """One attached client."""

    def __init__(self, sock: socket.socket, *, first: bool = False) -> None:
        """Take over the socket."""
        sock.setblocking(False)  # noqa: FBT003  # its only parameter
        self.sock = sock
        self.first = first
        self.may_type = True
        self.gone = trio.Event()
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._moved = trio.Event()

    @property
    def is_full(self) -> bool:
        """Whether the first client is so far behind that the container has to wait."""
        return self.first and self._queued_bytes > FIRST_QUEUE_BYTES and not self.gone.is_set()

    def offer(self, packets: Iterable[bytes]) -> None:
        """Send packets, or queue what the socket does not take now.

        Cut the client off if it is too far behind.
        """
        if self.gone.is_set():
            return
        for packet in packets:
            if self._queue or not self._send(packet):
                if self.gone.is_set():
                    return
                self._queue.append(packet)
                self._queued_bytes += len(packet)
        if self._queued_bytes > QUEUE_BYTES_MAX and not self.first:
            self.cut()
        if self._queue:
            self._move()

    def cut(self) -> None:
        """Let go of the client."""
        self._queue.clear()
        self._queued_bytes = 0
        self.gone.set()
        self._move()

    async def send_queued(self) -> None:
        """Send what is queued, whenever something is, until the client is gone."""
        while not self.gone.is_set():
            if not self._queue:
                await self._moved.wait()
                continue
            try:
                await trio.lowlevel.wait_writable(self.sock)
            except trio.ClosedResourceError:
                return
            self._send_some()

    async def drained(self) -> None:
        """Wait until nothing is queued."""
        while self._queue and not self.gone.is_set():
            await self._moved.wait()

    async def room(self) -> None:
        """Wait until the client may be sent more."""
        while self.is_full:
            await self._moved.wait()

    def _send_some(self) -> None:
        while self._queue and self._send(self._queue[0]):
            self._queued_bytes -= len(self._queue.popleft())
        self._move()

    def _send(self, packet: bytes) -> bool:
        """Send one packet now. Returns whether the socket took it; if the client is gone, that is noted."""
        try:
            self.sock.send(packet, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError:
            self.cut()
            return False
        return True

    def _move(self) -> None:
        moved, self._moved = self._moved, trio.Event()
        moved.set()


class AttachServer:
    """All clients of one process."""

    def __init__(self, nursery: trio.Nursery, stdin: Stdin, diagnostics: Diagnostics) -> None:
        """Begin without clients."""
        self._nursery = nursery
        self._stdin = stdin
        self._diagnostics = diagnostics
        self._clients: list[Client] = []

    def add(self, client: Client) -> None:
        """Serve a client from now on."""
        self._clients.append(client)
        self._nursery.start_soon(self._serve, client)

    async def listen(self, listener: socket.socket) -> None:
        """Take clients as they come."""
        while True:
            await trio.lowlevel.wait_readable(listener)
            # All of them now: whoever has connected sees what is written from here on.
            with suppress(BlockingIOError):
                while True:
                    self._take(listener.accept()[0])

    def _take(self, sock: socket.socket) -> None:
        if len(self._clients) < CLIENTS_MAX:
            self.add(Client(sock))
        else:
            sock.close()

    def show(self, stream: str, chunk: bytes) -> None:
        """Give a chunk of output to every client."""
        if self._clients:
            packets = list(attach.packets(attach.STREAMS[stream], chunk))
            for client in self._clients:
                client.offer(packets)

    async def room(self) -> None:
        """Wait until the first client, if there is one, may be sent more."""
        for client in self._clients:
            await client.room()

    async def farewell(self) -> None:
        """Send every client what is queued for it, and let it go; only the first one may take its time."""
        async with trio.open_nursery() as nursery:
            for client in list(self._clients):
                nursery.start_soon(self._see_off, client)

    async def _see_off(self, client: Client) -> None:
        with trio.move_on_after(float("inf") if client.first else _FAREWELL_S):
            await client.drained()
        client.cut()

    async def _serve(self, client: Client) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send_queued)
                nursery.start_soon(self._take_input, client)
                await client.gone.wait()
                nursery.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001  # a mistake over one client must not cost the container
            self._diagnostics.error("attach.client_failed", exc_info=error)
            client.cut()
        self._clients.remove(client)
        client.sock.close()

    async def _take_input(self, client: Client) -> None:
        """Pass on what the client types, until it ends its input."""
        while True:
            await trio.lowlevel.wait_readable(client.sock)
            try:
                typed = client.sock.recv(attach.INPUT_MAX)
            except BlockingIOError:
                continue
            except OSError:
                typed = b""
            if not typed:
                break
            await self._stdin.write(typed)
        client.may_type = False
        if not any(other.may_type for other in self._clients):
            self._stdin.end()
        await _departure(client.sock)
        client.cut()


async def _departure(sock: socket.socket) -> None:
    """Wait until a client that has ended its input leaves.

    Its socket counts as readable from then on, so there is no event to wait for; looking now and then, ever
    more rarely, costs nothing that could be measured.
    """
    pause_s = 0.05
    while not _has_left(sock):
        await trio.sleep(pause_s)
        pause_s = min(2 * pause_s, _DEPARTURE_PAUSE_MAX_S)


def _has_left(sock: socket.socket) -> bool:
    """Whether the other side is closed, and not only shut for writing.

    Then it can't be written to either.
    """
    poll = select.poll()
    poll.register(sock, 0)
    return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))


class Stdin:
    """The container's stdin: a pipe, a terminal, or nothing at all."""

    def __init__(self, fd: int | None, *, terminal: bool = False) -> None:
        """Take our end; None: what is written is thrown away. A terminal's end may come later, by `open`."""
        self._fd = fd
        self._terminal = terminal
        self._opened = trio.Event()
        self._turn = trio.Lock()
        if fd is not None or not terminal:
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
