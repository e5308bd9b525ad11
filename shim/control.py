"""The control socket: questions and requests about one container, from whoever is the same user.

Source: protocol/control.py has the messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from holdfast.protocol import control
from holdfast.shim import serving

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

    from holdfast.shim.diagnostics import Diagnostics

CONNECTIONS_MAX = 256
_FAREWELL_S = 2


class Held(Protocol):
    """What a control connection can be told of, and what it can do."""

    async def ended(self) -> control.Event:
        """Wait for the process to end, or not to come to life: Exited or Failed."""

    def status(self) -> control.Event:
        """Return what is known now. Raises OSError if that is nothing yet."""

    def resize(self, height: int, width: int) -> None:
        """Give the terminal a size. Raises OSError if there is none."""

    def reopen_logs(self) -> None:
        """Open the log files anew. Raises OSError."""


class ControlServer:
    """Answers requests."""

    def __init__(self, nursery: trio.Nursery, held: Held, diagnostics: Diagnostics) -> None:
        """Answer for this one."""
        self._nursery = nursery
        self._held = held
        self._diagnostics = diagnostics
        self._connections = 0
        self._unanswered = 0
        self._answered = trio.Event()

    async def farewell(self) -> None:
        """Wait until the requests that have come are answered, for a bounded time."""
        with trio.move_on_after(_FAREWELL_S):
            while self._unanswered:
                await self._answered.wait()

    async def listen(self, listener: socket.socket) -> None:
        """Take connections as they come."""
        await serving.accept_all(listener, self._take, self._diagnostics)

    def _take(self, sock: socket.socket) -> None:
        if self._connections >= CONNECTIONS_MAX:
            sock.close()
            return
        self._connections += 1
        self._nursery.start_soon(self._serve, sock)

    async def _serve(self, sock: socket.socket) -> None:
        try:
            async with trio.SocketStream(trio.socket.from_stdlib_socket(sock)) as stream:
                async for line in _lines(stream):
                    if not await self._reply(line, sock, stream):
                        return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        except Exception as error:  # noqa: BLE001  # a mistake over one request must not cost the container
            self._diagnostics.error("control.connection_failed", exc_info=error)
        finally:
            self._connections -= 1

    async def _reply(self, line: bytes, sock: socket.socket, stream: trio.SocketStream) -> bool:
        """Answer a request. Returns False if nobody waits for the reply any more."""
        self._unanswered += 1
        try:
            reply = await self._answer(line, sock)
            if reply is not None:
                await stream.send_all(control.encode(reply))
        finally:
            self._unanswered -= 1
            answered, self._answered = self._answered, trio.Event()
            answered.set()
        return reply is not None

    async def _answer(self, line: bytes, sock: socket.socket) -> control.Event | None:
        """Carry out a request. Returns the reply; None if nobody waits for it any more."""
        try:
            match control.decode_request(line):
                case control.Wait():
                    return await self._ended(sock)
                case control.Status():
                    return self._held.status()
                case control.Resize(height, width):
                    self._held.resize(height, width)
                case control.ReopenLogs():
                    self._held.reopen_logs()
        except (OSError, ValueError) as error:
            return control.Refused(error=str(error))
        return control.Done()

    async def _ended(self, sock: socket.socket) -> control.Event | None:
        """Wait for the end of the process, or of the one who asks."""
        exited: control.Event | None = None
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                nonlocal exited
                exited = await self._held.ended()
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait)
            await serving.hung_up(sock)
            nursery.cancel_scope.cancel()
        return exited


async def _lines(stream: trio.SocketStream) -> AsyncIterator[bytes]:
    """Yield the lines of a connection, until it ends or one is too long."""
    waiting = b""
    while len(waiting) <= control.LINE_MAX:
        received = await stream.receive_some(control.LINE_MAX)
        if not received:
            return
        *lines, waiting = (waiting + received).split(b"\n")
        for line in lines:
            yield line
