"""Sockets: socket(2), bind(2), listen(2), accept(2), send(2), unix(7)."""

from __future__ import annotations

import struct

from holdfast.runtime.sys.call import Arg, Call, Member, Struct, shown
from holdfast.runtime.sys.numbers import NUMBERS

AF_UNIX = 1
AF_INET = 2
SOCK_STREAM = 1
SOCK_DGRAM = 2

_SOCK_CLOEXEC = 0o2000000
_MSG_NOSIGNAL = 0x4000
_UNIX_PATH_MAX = 107


def socket(family: int, kind: int) -> Call:
    """Make a socket, close-on-exec. Source: socket(2)."""
    return Call(NUMBERS["socket"], "socket", (family, kind | _SOCK_CLOEXEC, 0))


def bind_unix(sock: Arg, path: bytes) -> Call:
    """Give a UNIX socket its path, of at most 107 bytes. Source: bind(2), unix(7)."""
    if len(path) > _UNIX_PATH_MAX or b"\0" in path:
        raise ValueError(f"{shown(path)} is no path for a socket; allowed: {_UNIX_PATH_MAX} bytes")
    address = struct.pack("=H", AF_UNIX) + path + b"\0"
    return Call(NUMBERS["bind"], "bind", (sock, address, len(address)), shown(path))


def listen(sock: Arg, backlog: int) -> Call:
    """Let a socket take connections. Source: listen(2)."""
    return Call(NUMBERS["listen"], "listen", (sock, backlog))


def accept4(listener: Arg, *, becomes_channel: bool = False) -> Call:
    """Wait for a connection, close-on-exec. Source: accept(2)."""
    args = (listener, 0, 0, _SOCK_CLOEXEC)
    return Call(NUMBERS["accept4"], "accept4", args, becomes_channel=becomes_channel)


def sendto(sock: Arg, data: bytes) -> Call:
    """Send on a connected socket, without SIGPIPE. Source: send(2)."""
    return Call(NUMBERS["sendto"], "sendto", (sock, data, len(data), _MSG_NOSIGNAL, 0, 0))


def send_fd(sock: Arg, fd: Arg) -> Call:
    """Send one descriptor with one byte. Source: unix(7) "SCM_RIGHTS", cmsg(3)."""
    size = struct.calcsize("=Qiii")
    control = Struct(struct.pack("=Qiii4x", size, 1, 1, 0), (Member(16, 4, fd),))
    span = Struct(bytes(16), (Member(0, 8, b"\0"), Member(8, 8, 1)))
    members = (Member(16, 8, span), Member(24, 8, 1), Member(32, 8, control), Member(40, 8, size + 4))
    message = Struct(bytes(56), members)
    return Call(NUMBERS["sendmsg"], "sendmsg", (sock, message, _MSG_NOSIGNAL))
