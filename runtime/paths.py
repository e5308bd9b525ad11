"""Paths below a container's rootfs: the one place that opens them.

Whoever wrote the image, or shares a volume with the container, decides what a path below the rootfs leads
to, and may change it at any moment: `/etc` a symbolic link to `/`, a directory swapped for a link between
the check and the use (CVE-2021-30465, CVE-2024-45310). So no path is ever joined to the rootfs's own and
handed to the kernel. Each is resolved from a descriptor of the rootfs with RESOLVE_IN_ROOT: absolute links
and `..` stay inside as if the process had that root already; with RESOLVE_NO_MAGICLINKS, so that a link in a
procfs is not a way out either. What was opened is then used by its descriptor. What is missing is made
component by component, by calls that follow no link.

While something is renamed or mounted anywhere on the machine the kernel cannot be sure where a `..` of a
link has led, and says EAGAIN. Asking again helps. A batch of calls ends at that point, so `in_order` sends
the rest once more, and therefore whatever it is given must begin with its lookups, which may be repeated.

Source: openat2(2), "RESOLVE_IN_ROOT" and the note on EAGAIN.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import ACCEPT_ANY, CallFailed, Out, number_of, operation_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from holdfast.runtime.sys.call import Call, Executor, Value

    Unit = Callable[[], Value]

DEPTH_MAX = 64
"""Directories in a path that is made if it is missing: what a batch of calls has room for."""

_TRIES_MAX = 128
_ANY_ERROR = range(1, 4096)
_BATCH_CALLS = 400
_BATCH_UNITS = 32
_RESOLVE = files.RESOLVE_IN_ROOT | files.RESOLVE_NO_MAGICLINKS
_DIRECTORY_MODE = 0o755
_FILE_MODE = 0o644


class Found(NamedTuple):
    """What is at a path: an open descriptor, the caller's to close, and what the kernel says of it."""

    fd: Value
    stat: files.Stat


class Rootfs:
    """A container's file tree, by a descriptor of its top that belongs to the executor.

    Paths are bytes; a leading slash means the same as none. `open`, `find_all` and `read_file` ask the
    kernel and know the answer when they return; `look`, `directory` and `file` only fill the batch.
    """

    def __init__(self, x: Executor, fd: Value) -> None:
        """Take over a descriptor of a directory."""
        self.x = x
        self.fd = fd

    def open(self, path: bytes, flags: int, *, resolve: int = 0) -> Value:
        """Open what is there. `resolve`: RESOLVE_ flags besides those always set. Raises CallFailed."""
        for _ in range(_TRIES_MAX):
            fd = self.x.do(self._lookup(path, flags, resolve).accepting(errno.EAGAIN))
            self.x.flush()
            if number_of(fd) >= 0:
                return fd
        raise self._failed(self._lookup(path, flags, resolve), errno.EAGAIN)

    def look(self, path: bytes, flags: int, *, resolve: int = 0) -> Value:
        """Open what is there, with the next batch."""
        return self.x.do(self._lookup(path, flags, resolve))

    def find_all(
        self, paths: Sequence[bytes], flags: int = files.O_PATH, *, absent: Container[int] = (errno.ENOENT,)
    ) -> list[Found | None]:
        """Open each path and ask what it is, all in one batch; None stands for one that does not exist.

        absent: what the kernel says of such a one. Raises CallFailed for anything else that prevents it.
        """
        looks = []
        for path in paths:
            call, status = self._lookup(path, flags, 0), files.new_stat()
            fd = self.x.do(call.accepting(ACCEPT_ANY))
            # If there is no descriptor, this fails too, and nobody asks why.
            self.x.do(files.statx(fd, b"", status).accepting(ACCEPT_ANY))
            looks.append((path, call, fd, status))
        self.x.flush()
        return [self._settled(path, flags, call, fd, status, absent) for path, call, fd, status in looks]

    def read_file(self, path: bytes, limit: int) -> bytes:
        """Return at most `limit` bytes of a file; none if it is anything but a regular file that opens.

        Not blocking: a fifo in the file's place must not hold the runtime up.
        """
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        (found,) = self.find_all([path], flags, absent=_ANY_ERROR)
        if found is None:
            return b""
        content = bytearray()
        while stat.S_ISREG(found.stat.mode):
            out = Out(limit - len(content))
            count = self.x.do(files.read(found.fd, out))
            self.x.flush()
            if not number_of(count):
                break
            content += out.data[: number_of(count)]
        self.x.do(files.close(found.fd))
        return bytes(content)

    def directory(self, path: bytes, *, resolve: int = 0) -> Value:
        """Open a directory, with O_PATH. What is missing of it is made, with mode 0755 less the umask."""
        fd = self.fd
        parts = components(path)
        for depth, name in enumerate(parts, start=1):
            self.x.do(files.mkdirat(fd, name, _DIRECTORY_MODE).accepting(errno.EEXIST))
            prefix = b"/".join(parts[:depth])
            above, fd = fd, self.x.do(self._lookup(prefix, files.O_DIRECTORY_PATH, resolve))
            if depth > 1:
                self.x.do(files.close(above))
        return fd if parts else self.x.do(files.dup_above(fd, 0))

    def file(self, path: bytes, *, nofollow: bool = False) -> Value:
        """Open what is there, with O_PATH. If missing it is made, an empty file, 0644 less the umask."""
        above, _, name = b"/".join(components(path)).rpartition(b"/")
        directory = self.directory(above)
        self.x.do(files.mknodat(directory, name, stat.S_IFREG | _FILE_MODE).accepting(errno.EEXIST))
        fd = self.x.do(self._lookup(path, files.O_PATH | (os.O_NOFOLLOW if nofollow else 0), 0))
        self.x.do(files.close(directory))
        return fd

    def _lookup(self, path: bytes, flags: int, resolve: int) -> Call:
        return files.openat2(self.fd, path.lstrip(b"/") or b".", flags, resolve=_RESOLVE | resolve)

    def _settled(
        self, path: bytes, flags: int, call: Call, fd: Value, status: Out, absent: Container[int]
    ) -> Found | None:
        error = -number_of(fd)
        if error == errno.EAGAIN:
            return self._find_again(path, flags, absent)
        if error in absent:
            return None
        if error > 0:
            raise self._failed(call, error)
        return Found(fd, files.Stat.of(status))

    def _find_again(self, path: bytes, flags: int, absent: Container[int]) -> Found | None:
        try:
            fd = self.open(path, flags)
        except CallFailed as failed:
            if failed.errno in absent:
                return None
            raise
        status = files.new_stat()
        self.x.do(files.statx(fd, b"", status))
        self.x.flush()
        return Found(fd, files.Stat.of(status))

    def _failed(self, call: Call, error: int) -> CallFailed:
        return CallFailed(error, operation_of(call, self.x.subject), call)


def components(path: bytes) -> list[bytes]:
    """Return the names in a path, without empty ones and `.`; a `..` stays, for the kernel to resolve."""
    return [name for name in path.split(b"/") if name not in (b"", b".")]


def in_order(x: Executor, units: Iterable[Unit]) -> None:
    """Carry out pieces of work in order, many in a batch, and go on behind a lookup that said EAGAIN.

    Each unit puts calls into the batch, those that may be repeated first, and returns the result of its last
    one. Raises CallFailed.
    """
    waiting = list(units)
    tries = 0
    while waiting:
        begun: list[Value] = []
        try:
            for unit in waiting[:_BATCH_UNITS]:
                begun.append(unit())
                if x.pending > _BATCH_CALLS:
                    break
            x.flush()
        except CallFailed as failed:
            tries += 1
            if failed.errno != errno.EAGAIN or failed.call.name != "openat2" or tries > _TRIES_MAX:
                raise
        done = sum(isinstance(value, int) or value.known for value in begun)
        tries = 0 if done else tries
        waiting = waiting[done:]
