"""The attach socket: any number of clients see the output from when they come, and type into the stdin.

Each client has a queue of its own, of bounded size. One that falls behind is cut off, so that nobody else
waits for it; only the first client, if it was there before anything ran, is waited for: it *is* the
container's output (`holdfast run … | less`), as a reader of a pipe is.

What a client has sent before it left is typed all the same. A client ends its input by shutting its socket
for writing, or by an empty packet; the program then sees the end as soon as no other client is there that
could still type. Just to leave asks for no end, as one takes one's hands off a keyboard; but the first
client's input has ended when it is gone, as a pipe's when its writer is.

Source: protocol/attach.py has the frames.
"""

from __future__ import annotations

import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from holdfast.protocol import attach
from holdfast.shim import serving

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.shim.diagnostics import Diagnostics
    from holdfast.shim.stdin import Stdin

CLIENTS_MAX = 256
QUEUE_BYTES_MAX = 8 << 20
"""What a client that came later may be behind."""
FIRST_QUEUE_BYTES = 1 << 20
"""What the first client may be behind before the container waits."""
_FAREWELL_S = 5


class Client:
    """One attached client."""

    def __init__(self, sock: socket.socket, *, first: bool = False) -> None:
        """Take over the socket."""
        sock.setblocking(False)  # noqa: FBT003  # its only parameter
        self.sock = sock
        self.first = first
        self.may_type = True
        self.gone = trio.Event()
        self._reads = True
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._moved = trio.lowlevel.ParkingLot()

    @property
    def is_behind(self) -> bool:
        """Whether more is queued than may be."""
        return self._queued_bytes > (FIRST_QUEUE_BYTES if self.first else QUEUE_BYTES_MAX)

    def offer(self, packets: Iterable[bytes]) -> None:
        """Send packets, or queue what the socket does not take now."""
        for packet in packets:
            if self._queue or not self._send(packet):
                if not self._reads:
                    return
                self._queue.append(packet)
                self._queued_bytes += len(packet)
        if self._queue:
            self._moved.unpark_all()

    def cut(self) -> None:
        """Let go of the client."""
        self._forget_output()
        self.gone.set()

    async def send_queued(self) -> None:
        """Send what is queued, whenever something is."""
        while True:
            while not self._queue:
                await self._moved.park()
            await trio.lowlevel.wait_writable(self.sock)
            while self._queue and self._send(self._queue[0]):
                self._queued_bytes -= len(self._queue.popleft())
            self._moved.unpark_all()

    async def drained(self) -> None:
        """Wait until nothing is queued."""
        while self._queue:
            await self._moved.park()

    async def caught_up(self) -> None:
        """Wait until not more is queued than may be."""
        while self.is_behind:
            await self._moved.park()

    def _send(self, packet: bytes) -> bool:
        """Send one packet now. Returns whether the socket took it; if nobody reads it, that is noted."""
        if not self._reads:
            return False
        try:
            self.sock.send(packet, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError:  # it has left; but what it has typed before may still be on its way
            self._forget_output()
            return False
        return True

    def _forget_output(self) -> None:
        self._reads = False
        self._queue.clear()
        self._queued_bytes = 0
        self._moved.unpark_all()


class AttachServer:
    """All clients of one process."""

    def __init__(self, nursery: trio.Nursery, stdin: Stdin, diagnostics: Diagnostics) -> None:
        """Begin without clients."""
        self._nursery = nursery
        self._stdin = stdin
        self._diagnostics = diagnostics
        self._clients: list[Client] = []
        self._first: Client | None = None
        self._end_is_asked = False
        self._listener: socket.socket | None = None

    def add_first(self, sock: socket.socket) -> None:
        """Serve the client that is there before anything runs."""
        self._first = Client(sock, first=True)
        self._add(self._first)

    async def listen(self, listener: socket.socket) -> None:
        """Take clients as they come."""
        self._listener = listener
        await serving.accept_all(listener, self._take, self._diagnostics)

    def show(self, stream: str, chunk: bytes) -> None:
        """Give a chunk of output to every client, and cut off those that are too far behind."""
        if not self._clients:
            return
        packets = list(attach.packets(attach.STREAMS[stream], chunk))
        for client in self._clients:
            client.offer(packets)
            if client.is_behind and not client.first:
                client.cut()
                self._diagnostics.warning("attach.client_dropped", behind_bytes=QUEUE_BYTES_MAX)

    async def room(self) -> None:
        """Wait until the first client, if there is one, may be sent more."""
        if self._first is not None:
            await self._first.caught_up()

    async def farewell(self) -> None:
        """Send every client what is queued for it, and let it go; only the first one may take its time."""
        async with trio.open_nursery() as nursery:
            for client in self._clients:
                nursery.start_soon(self._see_off, client)

    def _take(self, sock: socket.socket) -> None:
        if len(self._clients) < CLIENTS_MAX:
            self._add(Client(sock))
        else:
            sock.close()

    def _add(self, client: Client) -> None:
        self._clients.append(client)
        self._nursery.start_soon(self._serve, client)

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
        """Pass on what the client types, until it ends its input; then wait for it to leave."""
        while typed := await self._received(client):
            await self._stdin.write(typed)
        client.may_type = False
        if client.gone.is_set():
            return
        if client.first or not serving.has_hung_up(client.sock):
            self._end_is_asked = True
        if self._end_is_asked and not self._somebody_may_type():
            self._stdin.end()
        await serving.hung_up(client.sock)
        client.cut()

    def _somebody_may_type(self) -> bool:
        """Whether a client could still type; one that has connected but was not taken yet could."""
        if self._listener is not None:
            with suppress(OSError):
                serving.accept_waiting(self._listener, self._take)
        return any(client.may_type for client in self._clients)

    async def _received(self, client: Client) -> bytes:
        """Return the next packet of a client; nothing at the end of its input."""
        while True:
            await trio.lowlevel.wait_readable(client.sock)
            try:
                packet, _, flags, _ = client.sock.recvmsg(attach.INPUT_MAX)
            except (BlockingIOError, ConnectionResetError):
                # Reset: it has left without having read all that we sent. That is told once, before what
                # it sent.
                continue
            if flags & socket.MSG_TRUNC:  # half of what was typed is worse than nothing
                self._diagnostics.warning("attach.client_dropped", packet_bytes_max=attach.INPUT_MAX)
                client.cut()
                return b""
            return packet
