"""The program's environment.

What the configuration says, and HOME, which programs expect, from the container's passwd.

The file belongs to the image, so it may be anything: a fifo, a device, endless. Only a regular file is read,
a bounded part of it, and by code of our own: the C library's lookup would load modules that the image names.

Source: passwd(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.runtime.paths import Rootfs

_PASSWD_MAX = 1 << 20
_FIELDS = 7


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
