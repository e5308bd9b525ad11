"""Removing a tree of files that a container has written: whatever it made of it, and nothing beyond it.

Three things make this more than a walk. A mount that was left below the tree is somebody else's
data, and a removal that walks into it deletes that. A tree can be deeper than a recursion, a path
or the number of descriptors allows. And a name can become a link to a directory of the host between
the look at it and the use of it.

So nothing is resolved but single names in open directories, without following links or crossing
mounts; and the tree is not climbed down but taken apart: a directory that is not empty is moved up
to the top, where it waits for its turn.

Sources: openat2(2) RESOLVE_NO_XDEV; unlink(2), rename(2); proc_pid_mountinfo(5).
"""

from __future__ import annotations

import errno
import os

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import CallFailed, shown
from holdfast.runtime.sys.executor import here

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NOT_THROUGH = files.RESOLVE_NO_XDEV | files.RESOLVE_NO_SYMLINKS | files.RESOLVE_BENEATH


def remove_tree(parent_fd: int, name: bytes) -> None:
    """Remove a directory and all below it; it is no error if it is not there.

    The directory itself belongs to us (names are made in it); what is in its subdirectories may be
    anybody's. Raises HoldfastError if a filesystem is mounted somewhere in it: nothing is removed
    then. Raises OSError.
    """
    try:
        top_fd = _open(parent_fd, name)
    except FileNotFoundError:
        return
    # Other names than those of a removal that was interrupted.
    waiting = _Waiting(top_fd, b".removing-" + os.urandom(4).hex().encode())
    try:
        _refuse_mounts(top_fd)
        waiting.empty(top_fd)
        waiting.remove_all()
    finally:
        os.close(top_fd)
    os.rmdir(name, dir_fd=parent_fd)


class _Waiting:
    """The directories that have been moved to the top, and are removed one after the other."""

    def __init__(self, top_fd: int, prefix: bytes) -> None:
        self._top_fd = top_fd
        self._prefix = prefix
        self._count = 0

    def remove_all(self) -> None:
        """Remove each of them; while that is done more of them may come."""
        done = 0
        while done < self._count:
            name = self._name(done)
            directory_fd = _open(self._top_fd, name)
            try:
                self.empty(directory_fd)
            finally:
                os.close(directory_fd)
            os.rmdir(name, dir_fd=self._top_fd)
            done += 1

    def empty(self, directory_fd: int) -> None:
        """Empty a directory, moving those in it that are not empty to the top."""
        for text in os.listdir(directory_fd):
            name = os.fsencode(text)
            try:
                self._remove_or_move(directory_fd, name)
            except OSError as error:
                raise OSError(error.errno, f"remove {shown(name)}: {error.strerror}") from None

    def _remove_or_move(self, directory_fd: int, name: bytes) -> None:
        try:
            os.unlink(name, dir_fd=directory_fd)
        except IsADirectoryError:
            try:
                os.rmdir(name, dir_fd=directory_fd)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
                os.rename(name, self._name(self._count), src_dir_fd=directory_fd, dst_dir_fd=self._top_fd)
                self._count += 1

    def _name(self, number: int) -> bytes:
        return self._prefix + b"-%d" % number


def _open(parent_fd: int, name: bytes) -> int:
    try:
        return here.do(files.openat2(parent_fd, name, _DIRECTORY, resolve=_NOT_THROUGH))
    except CallFailed as error:
        if error.errno == errno.ENOENT:
            raise FileNotFoundError(errno.ENOENT, str(error)) from None
        if error.errno == errno.EXDEV:
            raise HoldfastError(
                f"remove {shown(name)}: a filesystem is mounted on it; unmount it first"
            ) from None
        raise


def _refuse_mounts(top_fd: int) -> None:
    """Make sure that nothing is mounted below a directory, before anything in it is touched."""
    below = os.readlink(b"/proc/self/fd/%d" % top_fd) + b"/"
    for mount_point in mount_points():
        if mount_point.startswith(below):
            raise HoldfastError(
                f"remove {shown(below[:-1])}: {shown(mount_point)} is mounted; unmount it first"
            )


def mount_points() -> list[bytes]:
    """Return where filesystems are mounted. Source: proc_pid_mountinfo(5), the fifth field."""
    with open("/proc/self/mountinfo", "rb") as file:
        lines = file.read().split(b"\n")
    return [_unescaped(line.split(b" ")[4]) for line in lines if line]


def _unescaped(field: bytes) -> bytes:
    """Undo the kernel's octal escapes of space, tab, newline and backslash."""
    for code in (b" ", b"\t", b"\n", b"\\"):
        field = field.replace(b"\\%03o" % code[0], code)
    return field
