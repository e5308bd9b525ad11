"""The descriptors that a program gets besides stdio, from 3 on.

The caller has left them open across the exec of the runtime, so they are not close-on-exec; whatever the
runtime has opened itself is. A number that the caller has not opened could be one of ours by now, and must
not go into the container.

Source: sd_listen_fds(3); fcntl(2), FD_CLOEXEC.
"""

from __future__ import annotations

import os

from holdfast.protocol.errors import HoldfastError


def check_preserved(count: int) -> None:
    """Raise HoldfastError unless the caller has opened so many descriptors from 3 on."""
    for fd in range(3, 3 + count):
        if not _is_inherited(fd):
            raise HoldfastError(f"preserved fd {fd} is not open")


def _is_inherited(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False
