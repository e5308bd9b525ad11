"""start: let a created init run the user's program.

Source: runtime-spec, runtime.md "Start".
"""

from __future__ import annotations

import os
import socket

from holdfast.protocol import errors
from holdfast.runtime.container import START_SOCKET, Container, name_of, open_container
from holdfast.runtime.puppet.batch import ANSWER

_END_TIMEOUT_S = 10


def start(root: bytes, container_id: str) -> None:
    """Start a created container; returns once its init has become the user's program.

    Raises HoldfastError: the container is not there or not created, or the program can't be run.
    """
    with open_container(root, container_id) as container:
        container.lock()
        status = container.status()
        if status != "created":
            raise errors.cannot_start(container_id, status)
        name = name_of(container.record.pid)
        try:
            answer = _let_go(container)
        except (ConnectionRefusedError, ConnectionResetError):  # init has died meanwhile
            raise errors.cannot_start(container_id, "stopped") from None
        os.unlink(START_SOCKET, dir_fd=container.directory_fd)
        if answer:
            # So that whoever hears of it finds a container that has stopped.
            container.await_end(_END_TIMEOUT_S)
            done, error = ANSWER.unpack(answer)
            raise errors.start_failed(container.record.after_start[done], error)
        if name_of(container.record.pid) == name:
            container.await_end(_END_TIMEOUT_S)
            raise errors.never_executed(container.record.program)


def _let_go(container: Container) -> bytes:
    """Connect to the init that waits.

    Returns the head of its answer; nothing if it has become the program.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        # Through the descriptor, since the path may be longer than a socket's address can be.
        connection.connect(b"/proc/self/fd/%d/%s" % (container.directory_fd, START_SOCKET))
        return connection.recv(ANSWER.size, socket.MSG_WAITALL)
