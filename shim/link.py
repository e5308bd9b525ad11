"""Talking to a shim that is there already: its control socket, its attach socket, and itself as a process.

Who listens is asked of the kernel: from its pid comes a pidfd, by which one sees the shim leave,
which it does only when everything is tidied up.

Sources: unix(7) SO_PEERCRED; pidfd_open(2).
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from typing import TYPE_CHECKING

from holdfast.protocol import control
from holdfast.shim import sockets

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_UCRED = struct.Struct("=3i")
_NOBODY_THERE = (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, BrokenPipeError)


class ShimLink:
    """A connection to one shim. Use it as a context manager."""

    def __init__(self, connection: socket.socket, pidfd: int) -> None:
        """Take over both; use `open_link`."""
        self.connection = connection
        self.pidfd = pidfd
        self._waiting = b""
        self._events: list[control.Event] = []

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; see the class."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
        os.close(self.pidfd)

    def send(self, request: control.Request) -> None:
        """Send a request; nothing happens if the shim has left."""
        try:
            self.connection.sendall(control.encode(request), socket.MSG_NOSIGNAL)
        except _NOBODY_THERE:
            return

    def receive(self, timeout_s: float | None = None) -> control.Event | None:
        """Return the next event; None if none comes in time, or the shim has left."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._events:
            if not _is_readable(self.connection.fileno(), deadline):
                return None
            try:
                piece = self.connection.recv(control.LINE_MAX)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return None
            self._events += self.understand(piece)
        return self._events.pop(0)

    def understand(self, piece: bytes) -> list[control.Event]:
        """Return the events that a piece of what was received completes. Raises ValueError."""
        *lines, self._waiting = (self._waiting + piece).split(b"\n")
        return [control.decode_event(line) for line in lines]

    def ask(self, request: control.Request) -> control.Event | None:
        """Send a request and return the answer; None if the shim has left."""
        self.send(request)
        return self.receive()

    def has_left(self, timeout_s: float | None = None) -> bool:
        """Wait until the shim has ended, with everything that it had to do.

        Returns whether it has, in time.
        """
        return _is_readable(self.pidfd, None if timeout_s is None else time.monotonic() + timeout_s)


def open_link(run_dir: bytes) -> ShimLink | None:
    """Connect to the shim whose sockets are in a directory; None if there is no shim. Raises OSError."""
    connection = _connect(run_dir, sockets.CONTROL)
    if connection is None:
        return None
    try:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        return ShimLink(connection, os.pidfd_open(_UCRED.unpack(credentials)[0]))
    except ProcessLookupError:  # it has left a moment ago
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise


def attach(run_dir: bytes) -> socket.socket | None:
    """Connect to a shim as an attach client; None if there is no shim. Raises OSError."""
    return _connect(run_dir, sockets.ATTACH)


def _connect(run_dir: bytes, name: bytes) -> socket.socket | None:
    try:
        return sockets.connect(run_dir, name)
    except _NOBODY_THERE:
        return None


def _is_readable(fd: int, deadline: float | None) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    return bool(poll.poll(None if left is None else left * 1000))
