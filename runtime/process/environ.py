"""The program's environment.

What the configuration says; HOME, which programs expect, from the container's passwd; and where sockets of
socket activation are passed on, the variables that announce them. A program takes these for its own only if
LISTEN_PID is its process id, and that is known only inside.

The passwd file belongs to the image, so it may be anything: a fifo, a device, endless. Only a regular file
is read, a bounded part of it, and by code of our own: the C library's lookup would load modules that the
image names.

Sources: passwd(5); sd_listen_fds(3).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.runtime.sys import process
from holdfast.runtime.sys.call import number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.runtime.paths import Rootfs
    from holdfast.runtime.sys.call import Executor

_PASSWD_MAX = 1 << 20
_FIELDS = 7
_LISTEN = (b"LISTEN_FDS=", b"LISTEN_FDNAMES=", b"LISTEN_PID=")


def plan_environment(configured: Sequence[str], listen_fds: int, listen_names: str) -> tuple[bytes, ...]:
    """Return what is known before there is a process. What is announced counts, whatever is configured."""
    environment = [os.fsencode(entry) for entry in configured]
    if listen_fds:
        environment = [entry for entry in environment if not entry.startswith(_LISTEN)]
        environment.append(b"LISTEN_FDS=%d" % listen_fds)
        if listen_names:
            environment.append(b"LISTEN_FDNAMES=" + os.fsencode(listen_names))
    return tuple(environment)


def announced(x: Executor, environment: Sequence[bytes]) -> list[bytes]:
    """Return the environment with the id by which the process that carries this out knows itself."""
    pid = x.do(process.getpid())
    x.flush()
    return [*environment, b"LISTEN_PID=%d" % number_of(pid)]


def complete(rootfs: Rootfs, environment: Sequence[bytes], uid: int) -> list[bytes]:
    """Return the environment with a HOME in it.

    The one of the uid in the container's /etc/passwd, else `/`.
    """
    if any(entry.startswith(b"HOME=") for entry in environment):
        return list(environment)
    return [*environment, b"HOME=" + home_of(rootfs.read_file(b"etc/passwd", _PASSWD_MAX), uid)]


def home_of(passwd: bytes, uid: int) -> bytes:
    """Return the home directory of a uid, `/` if there is none that is an absolute path."""
    for line in passwd.split(b"\n"):
        fields = line.split(b":")
        if len(fields) == _FIELDS and fields[2] == b"%d" % uid and fields[5].startswith(b"/"):  # passwd(5)
            return fields[5]
    return b"/"
