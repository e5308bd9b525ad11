"""The sockets in a container's run directory, from both sides.

A socket's address holds a path of at most 107 bytes, and the directory's may be longer. So both the shim and
its clients go through a descriptor of the directory: /proc/self/fd/N/attach.

The directory is ours and closed to others, so nobody else can connect.

Source: unix(7).
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import NamedTuple

ATTACH = b"attach"
CONTROL = b"control"
_BACKLOG = 64
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


class Listeners(NamedTuple):
    """The shim's side."""

    attach: socket.socket
    control: socket.socket


def listen(run_dir: bytes) -> Listeners:
    """Make the directory's sockets, in place of any that a shim before has left. Raises OSError."""
    directory_fd = os.open(run_dir, _DIRECTORY)
    try:
        return Listeners(
            _listen(directory_fd, ATTACH, socket.SOCK_SEQPACKET),
            _listen(directory_fd, CONTROL, socket.SOCK_STREAM),
        )
    finally:
        os.close(directory_fd)


def connect(run_dir: bytes, name: bytes) -> socket.socket:
    """Connect to ATTACH or CONTROL of a container. Raises OSError: there is no shim there."""
    directory_fd = os.open(run_dir, _DIRECTORY)
    kind = socket.SOCK_SEQPACKET if name == ATTACH else socket.SOCK_STREAM
    sock = socket.socket(socket.AF_UNIX, kind)
    try:
        sock.connect(_address(directory_fd, name))
    except OSError:
        sock.close()
        raise
    finally:
        os.close(directory_fd)
    return sock


def remove(run_dir: bytes) -> None:
    """Remove the sockets and their directory; what is gone already is fine."""
    with suppress(FileNotFoundError):
        for name in (ATTACH, CONTROL):
            with suppress(FileNotFoundError):
                os.unlink(run_dir + b"/" + name)
        os.rmdir(run_dir)


def _listen(directory_fd: int, name: bytes, kind: int) -> socket.socket:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory_fd)
    listener = socket.socket(socket.AF_UNIX, kind)
    mask = os.umask(0o177)  # the mode of a socket's file comes from here alone
    try:
        listener.bind(_address(directory_fd, name))
    finally:
        os.umask(mask)
    listener.listen(_BACKLOG)
    listener.setblocking(False)  # noqa: FBT003  # its only parameter
    return listener


def _address(directory_fd: int, name: bytes) -> bytes:
    return b"/proc/self/fd/%d/%s" % (directory_fd, name)
