"""Cgroups as directories: opened by descriptor, walked, read and written.

A cgroup filesystem looks like any other, with some rights of its own. A directory is a cgroup; its files are
made by the kernel and answer a read with the state of this moment. A cgroup can be removed once no process
is in it and no cgroup below it, whatever files are there. Directories cannot be moved, and there are no
links, so `..` of an open directory always leads to where it was found.

Source: cgroups(7).
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import ACCEPT_ANY, CallFailed, Out, operation_of
from holdfast.runtime.sys.numbers import AT_FDCWD, AT_REMOVEDIR

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from holdfast.runtime.sys.executor import Here

CGROUP_SUPER_MAGIC = 0x27E0EB
CGROUP2_SUPER_MAGIC = 0x63677270
MAGIC = {1: CGROUP_SUPER_MAGIC, 2: CGROUP2_SUPER_MAGIC}
"""The type of the filesystem, as fstatfs tells it, by version."""

_PROCESSES = b"cgroup.procs"
_THREADS = b"cgroup.threads"

_RESOLVE = (
    files.RESOLVE_BENEATH | files.RESOLVE_NO_XDEV | files.RESOLVE_NO_SYMLINKS | files.RESOLVE_NO_MAGICLINKS
)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_PIECE = 1 << 14
_GONE = (errno.ENOENT, errno.ENODEV)
"""What the kernel says of a file that is not there, and of one whose cgroup is removed at this moment."""


@contextmanager
def mounted(x: Here, mount: str, version: int) -> Iterator[int | None]:
    """Open a mount point's directory for a while; None if no cgroup filesystem of this version is there."""
    fd = x.do(files.openat(AT_FDCWD, mount.encode(), _DIRECTORY).accepting(errno.ENOENT))
    if fd < 0:
        yield None
        return
    try:
        x.do(files.fstatfs(fd, kind := Out(files.STATFS_SIZE)))
        yield fd if files.filesystem_of(kind) == MAGIC[version] else None
    finally:
        x.do(files.close(fd))


def open_below(x: Here, directory: int, path: bytes) -> int | None:
    """Open a cgroup below an open one, without leaving the filesystem; None if there is none."""
    fd = x.do(files.openat2(directory, path, _DIRECTORY, resolve=_RESOLVE).accepting(errno.ENOENT))
    return fd if fd >= 0 else None


def identity(x: Here, fd: int) -> int:
    """Return the number of a cgroup, which no other has had since the machine was booted, or will have."""
    status = files.new_stat()
    x.do(files.statx(fd, b"", status))
    return files.Stat.of(status).inode


def read(x: Here, directory: int, name: bytes) -> bytes | None:
    """Return what a file of a cgroup says, None if there is no such file, or not any more."""
    fd = _open(x, directory, name, os.O_RDONLY)
    if fd is None:
        return None
    content = bytearray()
    try:
        while count := x.do(files.read(fd, piece := Out(_PIECE)).accepting(errno.ENODEV)):
            if count < 0:
                return None
            content += piece.data[:count]
    finally:
        x.do(files.close(fd))
    return bytes(content)


def write(x: Here, directory: int, name: bytes, data: bytes) -> bool:
    """Write to a file of a cgroup, in one call as the kernel wants it. Returns False if there is none."""
    fd = _open(x, directory, name, os.O_WRONLY)
    if fd is None:
        return False
    try:
        x.do(files.write(fd, data))
    finally:
        x.do(files.close(fd))
    return True


def _open(x: Here, directory: int, name: bytes, flags: int) -> int | None:
    call = files.openat(directory, name, flags)
    fd = x.do(call.accepting(ACCEPT_ANY))
    if fd >= 0:
        return fd
    if -fd in _GONE:
        return None
    raise CallFailed(-fd, operation_of(call, x.subject), call)


def value(content: bytes | None, key: bytes) -> int | None:
    """Return the number behind a key in a file of lines such as `oom_kill 3`; None if it is not there."""
    for line in (content or b"").split(b"\n"):
        name, _, number = line.partition(b" ")
        if name == key:
            return int(number)
    return None


def children(x: Here, directory: int) -> list[bytes]:
    """Return the names of the cgroups in a cgroup."""
    fd = x.do(files.openat(directory, b".", _DIRECTORY))
    names = []
    try:
        while count := x.do(files.getdents64(fd, piece := Out(_PIECE)).accepting(errno.ENOENT)):
            if count < 0:  # removed meanwhile
                break
            names += files.directories_in(piece.data[:count])
    finally:
        x.do(files.close(fd))
    return names


def walk(x: Here, top: int, *, remove: bool = False) -> Generator[int, None, None]:
    """Yield each cgroup below an open one, lower ones first, and at last `top`: a descriptor for the moment.

    remove: once the caller is done with a cgroup below the top, remove it; one that is in use stays.
    However deep the tree is, which a process inside decides, few descriptors are open at a time.
    """
    fd = x.do(files.dup_above(top, 0))
    try:
        trail = [(b"", children(x, fd))]
        while True:
            name, waiting = trail[-1]
            if waiting:
                deeper = open_below(x, fd, child := waiting.pop())
                if deeper is not None:
                    x.do(files.close(fd))
                    fd = deeper
                    trail.append((child, children(x, fd)))
                continue
            yield fd
            trail.pop()
            if not trail:
                return
            above = x.do(files.openat(fd, b"..", _DIRECTORY))
            x.do(files.close(fd))
            fd = above
            if remove:
                remove_empty(x, fd, name)
    finally:
        x.do(files.close(fd))


def remove_empty(x: Here, directory: int, name: bytes) -> bool:
    """Remove a cgroup in an open one. Returns False if it is in use; that it is gone already is fine."""
    call = files.unlinkat(directory, name, AT_REMOVEDIR)
    result = x.do(call.accepting(ACCEPT_ANY))
    if result >= 0 or -result in _GONE:
        return True
    if -result == errno.EBUSY:
        return False
    raise CallFailed(-result, operation_of(call, x.subject), call)


def processes(x: Here, directory: int) -> list[int]:
    """Return the processes in a cgroup itself, without those of pid namespaces that we don't see."""
    try:
        content = read(x, directory, _PROCESSES)
    except CallFailed as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        content = read(x, directory, _THREADS)  # a threaded cgroup knows no processes
    return [pid for pid in map(int, (content or b"").split()) if pid]
