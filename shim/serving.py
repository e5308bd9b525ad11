"""What both of a shim's servers need: to take connections, from whom it may be, and to see them go.

Sources: unix(7) SO_PEERCRED; accept(2) "Error handling"; epoll(7), of which EPOLLHUP and EPOLLERR are
always told.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.shim.diagnostics import Diagnostics

_UCRED = struct.Struct("=3i")
_AT_ONCE = 64
_PAUSE_S = 0.5


async def accept_all(
    listener: socket.socket, take: Callable[[socket.socket], None], diagnostics: Diagnostics
) -> None:
    """Give every connection of our own user or root to `take`, for ever; close those of others."""
    while True:
        await trio.lowlevel.wait_readable(listener)
        try:
            accept_waiting(listener, take)
        except OSError as error:  # no descriptors or no memory left for now; who waits can wait on
            diagnostics.warning("connection.not_accepted", errno=error.errno)
            await trio.sleep(_PAUSE_S)


def accept_waiting(listener: socket.socket, take: Callable[[socket.socket], None]) -> None:
    """Give those to `take` that have connected by now: they count, from here on. Raises OSError."""
    for _ in range(_AT_ONCE):
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        if _is_ours(sock):
            take(sock)
        else:
            sock.close()


def _is_ours(sock: socket.socket) -> bool:
    _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return uid in (0, os.geteuid())


async def hung_up(sock: socket.socket) -> None:
    """Wait until the other side is closed, and not only shut for writing.

    A socket that is shut for writing over there is readable from then on, so there is nothing to wait for
    but its end; to look now and then would keep an idle shim busy. An epoll that is asked for nothing else
    becomes readable at the end.
    """
    with select.epoll() as epoll:
        epoll.register(sock, 0)
        await trio.lowlevel.wait_readable(epoll.fileno())


def has_hung_up(sock: socket.socket) -> bool:
    """Return whether the other side is closed, and not only shut for writing."""
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(0))
