"""Files of ours that a power cut or a kill leaves whole: as they were, or as they were to become.

A file is written under a name that nobody else uses, brought to disk, and only then given its own name, in
one system call. The directory has to be brought to disk as well, for the name to last.

Sources: rename(2); fsync(2), on the directory that a file is in.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import number_of, shown

if TYPE_CHECKING:
    from holdfast.runtime.sys.executor import Here

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_OUR_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def write_durably(x: Here, directory_fd: int, name: bytes, content: bytes, *, mode: int = 0o600) -> None:
    """Put a file into the directory: complete and on disk before it has its name.

    mode: narrowed by the umask. Raises CallFailed; nothing is left of the attempt then.
    """
    temporary = b"%s.%s" % (name, os.urandom(4).hex().encode())
    subject, x.subject = x.subject, x.subject or f"write {shown(name)}"
    fd = number_of(x.do(files.openat(directory_fd, temporary, _NEW_FILE, mode)))
    try:
        try:
            done = 0
            while done < len(content):
                done += number_of(x.do(files.write(fd, content[done:])))
            x.do(files.fsync(fd))
        finally:
            x.do(files.close(fd))
        x.do(files.renameat2(directory_fd, temporary, directory_fd, name))
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory_fd)
        raise
    x.do(files.fsync(directory_fd))
    x.subject = subject


def read_at_most(fd: int, limit: int) -> bytes | None:
    """Return the rest of a file; None if that is more than `limit` bytes."""
    content = b""
    while piece := os.read(fd, limit + 1 - len(content)):
        content += piece
    return content if len(content) <= limit else None


def read_ours(directory_fd: int, name: bytes, limit: int) -> bytes:
    """Read a file in a directory of ours: a regular file, no link, not larger than the limit.

    Raises FileNotFoundError, HoldfastError, OSError.
    """
    fd = os.open(name, _OUR_FILE, dir_fd=directory_fd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise HoldfastError(f"read {shown(name)}: not a regular file")
        content = read_at_most(fd, limit)
    finally:
        os.close(fd)
    if content is None:
        raise HoldfastError(f"read {shown(name)}: more than {limit} bytes")
    return content
