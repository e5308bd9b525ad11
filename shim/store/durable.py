"""Files of ours that a power cut or a kill leaves whole: as they were, or as they were to become.

Sources: rename(2), fsync(2), which has to be called for the directory as well.
"""

from __future__ import annotations

import os
import stat

from holdfast.protocol.errors import HoldfastError, quoted

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OUR_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def write_durably(directory_fd: int, name: bytes, content: bytes) -> None:
    """Put a file into a directory of ours: complete and on disk before it has its name. Raises OSError."""
    temporary = b"%s.%s" % (name, os.urandom(4).hex().encode())
    fd = os.open(temporary, _NEW_FILE, 0o600, dir_fd=directory_fd)
    try:
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except OSError as error:
        os.unlink(temporary, dir_fd=directory_fd)
        raise OSError(error.errno, f"write {quoted(name)}: {error.strerror}") from None
    os.fsync(directory_fd)


def read_ours(directory_fd: int, name: bytes, limit: int) -> bytes:
    """Read a file in a directory of ours: a regular file, no link, not larger than the limit.

    Raises FileNotFoundError, HoldfastError, OSError.
    """
    fd = os.open(name, _OUR_FILE, dir_fd=directory_fd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise HoldfastError(f"read {quoted(name)}: not a regular file")
        content = b""
        while piece := os.read(fd, limit + 1 - len(content)):
            content += piece
    finally:
        os.close(fd)
    if len(content) > limit:
        raise HoldfastError(f"read {quoted(name)}: more than {limit} bytes")
    return content
