"""A procfs of our own: the only way by which the runtime reads and writes /proc.

What stands at the path /proc may be anything: a tmpfs with planted files, a procfs with one of its files
bound over another, so that a label meant for `attr/exec` lands in a harmless `comm` and the caller believes
itself confined (CVE-2019-16884, CVE-2025-52881). Asking for the type of the filesystem does not show that.
So a procfs is made with fsopen and fsmount and never attached anywhere: nobody can mount anything into it.
Paths are resolved beneath it, without crossing a mount and without following the magic links of /proc/PID,
which lead out of it.

It shows the pid namespace of whoever opens it, and of /proc/sys the namespaces of whoever reads or writes
it.

Sources: proc(5), fsopen(2), fsmount(2), openat2(2).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from holdfast.runtime.sys import files, mount
from holdfast.runtime.sys.call import CallFailed, Out, number_of
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from holdfast.runtime.sys.call import Executor, Value
    from holdfast.runtime.sys.executor import Here

_RESOLVE = files.RESOLVE_BENEATH | files.RESOLVE_NO_XDEV | files.RESOLVE_NO_MAGICLINKS
_ATTRIBUTES = mount.MOUNT_ATTR_NOSUID | mount.MOUNT_ATTR_NODEV | mount.MOUNT_ATTR_NOEXEC
_PIECE = 1 << 16

_shared_fds: list[int] = []
# A process that was forked may close what it has inherited (a shim does): it makes a procfs of its own.
os.register_at_fork(after_in_child=_shared_fds.clear)


class Procfs:
    """A detached procfs, in the hands of one executor. Paths are relative to it: `self/attr/exec`."""

    def __init__(self, x: Executor, fd: Value) -> None:
        """Take over a descriptor of a procfs that nobody else can reach."""
        self._x = x
        self._fd = fd

    @classmethod
    def open(cls, x: Executor) -> Procfs:
        """Make a procfs of the executor's pid namespace.

        Raises CallFailed: EPERM in a user namespace that does not see a whole /proc already.
        """
        return cls(x, _new(x))

    @classmethod
    def shared(cls, x: Here = here) -> Procfs:
        """Return this process's own procfs, made at the first use, with calls going through `x`."""
        if not _shared_fds:
            _shared_fds.append(number_of(_new(x)))
        return cls(x, _shared_fds[0])

    def read(self, path: bytes) -> bytes:
        """Return the content of a file.

        Raises FileNotFoundError or ProcessLookupError for a process that is gone, CallFailed for anything
        else.
        """
        try:
            return self._read(path)
        except CallFailed as error:
            if error.errno in (errno.ENOENT, errno.ESRCH):
                # OSError itself picks the class that belongs to the errno.
                raise OSError(error.errno, str(error)) from None
            raise

    def write(self, path: bytes, data: bytes) -> None:
        """Write to a file, at once: the kernel takes all of it or refuses. Raises CallFailed."""
        fd = self._x.do(files.openat2(self._fd, path, os.O_WRONLY, resolve=_RESOLVE))
        try:
            self._x.do(files.write(fd, data))
        finally:
            self._x.do(files.close(fd))

    def link(self, path: bytes) -> bytes:
        """Return what a link says, without following it. Raises CallFailed."""
        fd = self._x.do(files.openat2(self._fd, path, files.O_PATH | os.O_NOFOLLOW, resolve=_RESOLVE))
        try:
            out = Out(_PIECE)
            size = self._x.do(files.readlinkat(fd, b"", out))
            self._x.flush()
            return out.data[: number_of(size)]
        finally:
            self._x.do(files.close(fd))

    def namespace(self, pid: int, name: bytes) -> Value:
        """Open a namespace of a process, `user` say; the caller's to close. Source: namespaces(7)."""
        directory = self._x.do(files.openat2(self._fd, b"%d/ns" % pid, files.O_PATH, resolve=_RESOLVE))
        # What is opened here is a magic link, which openat2 would not follow.
        fd = self._x.do(files.openat(directory, name, os.O_RDONLY))
        self._x.do(files.close(directory))
        return fd

    def close(self) -> None:
        """Close it; not for the shared one."""
        self._x.do(files.close(self._fd))

    def _read(self, path: bytes) -> bytes:
        x = self._x
        fd = x.do(files.openat2(self._fd, path, os.O_RDONLY, resolve=_RESOLVE))
        content = bytearray()
        try:
            while True:
                out = Out(_PIECE)
                count = x.do(files.read(fd, out))
                x.flush()
                if not number_of(count):
                    return bytes(content)
                content += out.data[: number_of(count)]
        finally:
            x.do(files.close(fd))


def _new(x: Executor) -> Value:
    return mount.new_filesystem(x, b"proc", [], _ATTRIBUTES)
