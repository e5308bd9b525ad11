"""The control socket: questions and requests about one container, from whoever is the same user.

Source: protocol/control.py has the messages; unix(7) SO_PEERCRED.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, Protocol

import trio

from holdfast.protocol import control

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from holdfast.shim.diagnostics import Diagnostics

CONNECTIONS_MAX = 256
_UCRED = struct.Struct("=3i")


class Held(Protocol):
    """What a control connection can be told of, and what it can do."""

    async def ended(self) -> control.Exited:
        """Wait for the process to end."""

    def status(self) -> control.Event:
        """Return what is known now."""

    def resize(self, height: int, width: int) -> None:
        """Give the terminal a size. Raises OSError if there is none."""

    def reopen_logs(self) -> None:
        """Open the log files anew. Raises OSError."""


class ControlServer:
    """Answers requests."""

    def __init__(self, held: Held, diagnostics: Diagnostics) -> None:
        """Answer for this one."""
        self._held = held
        self._diagnostics = diagnostics
        self._connections = 0

    async def listen(self, listener: socket.socket) -> None:
        """Take connections as they come."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(listener)
                try:
                    sock, _ = listener.accept()
                except (BlockingIOError, ConnectionAbortedError):
                    continue
                if self._connections >= CONNECTIONS_MAX or not _is_ours(sock):
                    sock.close()
                else:
                    nursery.start_soon(self._serve, trio.SocketStream(trio.socket.from_stdlib_socket(sock)))

    async def _serve(self, stream: trio.SocketStream) -> None:
        self._connections += 1
        try:
            async with stream:
                async for line in _lines(stream):
                    await stream.send_all(control.encode(await self._answer(line)))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        except Exception as error:  # noqa: BLE001  # a mistake over one request must not cost the container
            self._diagnostics.error("control.connection_failed", exc_info=error)
        finally:
            self._connections -= 1

    async def _answer(self, line: bytes) -> control.Event:
        try:
            request = control.decode_request(line)
            match request:
                case control.Wait():
                    return await self._held.ended()
                case control.Status():
                    return self._held.status()
                case control.Resize(height, width):
                    self._held.resize(height, width)
                case control.ReopenLogs():
                    self._held.reopen_logs()
        except (OSError, ValueError) as error:
            return control.Refused(error=str(error))
        return control.Done()


async def _lines(stream: trio.SocketStream) -> AsyncIterator[bytes]:
    """Yield the lines of a connection, until it ends or one is too long."""
    waiting = b""
    while len(waiting) <= control.LINE_MAX:
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            yield line
        received = await stream.receive_some(control.LINE_MAX)
        if not received:
            return
        waiting += received


def _is_ours(sock: socket.socket) -> bool:
    """Whether the other side runs as our user, or as root."""
    _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return uid in (0, os.geteuid())
