"""Files by descriptor: openat(2), openat2(2), mkdirat(2), mknodat(2), statx(2) and their kin.

Every path is relative to a descriptor. Paths below a container's rootfs go through `openat2` with IN_ROOT,
by runtime/paths.py; nobody else passes a path from a container to these.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from holdfast.runtime.sys.call import Arg, Call, Out, Value, cstring, shown
from holdfast.runtime.sys.numbers import AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.runtime.sys.call import Executor

O_PATH = os.O_PATH | os.O_CLOEXEC
O_DIRECTORY_PATH = O_PATH | os.O_DIRECTORY

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

F_DUPFD_CLOEXEC = 1030
_DT_DIR = 4
STATX_SIZE = 256
STATX_BASIC_STATS = 0x7FF
STATX_MNT_ID = 0x1000


UNCHANGED = -1
"""For fchownat: leave this id as it is."""
_ID_MAX = 2**32 - 2


def openat(directory: Arg, path: bytes, flags: int, mode: int = 0) -> Call:
    """Open a file, always close-on-exec. Source: openat(2)."""
    args = (directory, cstring(path), flags | os.O_CLOEXEC, mode)
    return Call(NUMBERS["openat"], "openat", args, shown(path))


def openat2(directory: Arg, path: bytes, flags: int, *, mode: int = 0, resolve: int) -> Call:
    """Open a file with rules for how its path may be resolved, always close-on-exec. Source: openat2(2)."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)
    return Call(NUMBERS["openat2"], "openat2", (directory, cstring(path), how, len(how)), shown(path))


def close(fd: Arg) -> Call:
    """Close a descriptor. Source: close(2)."""
    return Call(NUMBERS["close"], "close", (fd,))


def close_range(first: int, last: int = 2**32 - 1, *, on_exec: bool = False) -> Call:
    """Close all descriptors from first to last, now or at the next exec. Source: close_range(2)."""
    return Call(NUMBERS["close_range"], "close_range", (first, last, 4 if on_exec else 0))


def dup3(fd: Arg, target: int, flags: int = 0) -> Call:
    """Make `target` a copy of the descriptor; without flags it stays open over exec. Source: dup(2)."""
    return Call(NUMBERS["dup3"], "dup3", (fd, target, flags))


def dup_above(fd: Arg, lowest: int) -> Call:
    """Duplicate the descriptor to the first free number from `lowest` on, close-on-exec.

    Source: fcntl(2).
    """
    return Call(NUMBERS["fcntl"], "fcntl", (fd, F_DUPFD_CLOEXEC, lowest))


def read(fd: Arg, out: Out) -> Call:
    """Read at most the size of `out`; the result is the count of bytes. Source: read(2)."""
    return Call(NUMBERS["read"], "read", (fd, out, out.size))


def write(fd: Arg, data: bytes) -> Call:
    """Write. Source: write(2)."""
    return Call(NUMBERS["write"], "write", (fd, data, len(data)), shown(data[:80]))


def sendfile(target: Arg, source: Arg, count: int) -> Call:
    """Copy at most so many bytes from where one file stands to where the other does. Source: sendfile(2)."""
    return Call(NUMBERS["sendfile"], "sendfile", (target, source, 0, count))


def getdents64(directory: Arg, out: Out) -> Call:
    """Read the next entries of a directory; decode `out` with `names_in`. Source: getdents(2)."""
    return Call(NUMBERS["getdents64"], "getdents64", (directory, out, out.size))


def names_in(entries: bytes) -> list[bytes]:
    """Return the names in what getdents64 gave, without `.` and `..`.

    Source: getdents(2), linux_dirent64.
    """
    return [name for name, _ in _entries_in(entries)]


def directories_in(entries: bytes) -> list[bytes]:
    """Return the names of the directories only, on a filesystem that tells the types here.

    Source: getdents(2).
    """
    return [name for name, kind in _entries_in(entries) if kind == _DT_DIR]


def _entries_in(entries: bytes) -> Iterator[tuple[bytes, int]]:
    place = 0
    while place < len(entries):
        size, kind = struct.unpack_from("=16xHB", entries, place)
        name = entries[place + 19 : place + size].partition(b"\0")[0]
        if name not in (b".", b".."):
            yield name, kind
        place += size


def mkdirat(directory: Arg, path: bytes, mode: int) -> Call:
    """Make a directory; its mode is narrowed by the umask. Source: mkdir(2)."""
    return Call(NUMBERS["mkdirat"], "mkdirat", (directory, cstring(path), mode), shown(path))


def mknodat(directory: Arg, path: bytes, mode: int, device: int = 0) -> Call:
    """Make a device node, a fifo or an empty file. `device` as os.makedev gives it. Source: mknod(2)."""
    return Call(NUMBERS["mknodat"], "mknodat", (directory, cstring(path), mode, device), shown(path))


def symlinkat(target: bytes, directory: Arg, path: bytes) -> Call:
    """Make a symbolic link. Source: symlink(2)."""
    return Call(NUMBERS["symlinkat"], "symlinkat", (cstring(target), directory, cstring(path)), shown(path))


def unlinkat(directory: Arg, path: bytes, flags: int = 0) -> Call:
    """Remove a file, or with AT_REMOVEDIR an empty directory. Source: unlink(2)."""
    return Call(NUMBERS["unlinkat"], "unlinkat", (directory, cstring(path), flags), shown(path))


def renameat2(source_directory: Arg, source: bytes, directory: Arg, path: bytes, flags: int = 0) -> Call:
    """Give a file another name, atomically. Source: rename(2)."""
    args = (source_directory, cstring(source), directory, cstring(path), flags)
    return Call(NUMBERS["renameat2"], "renameat2", args, f"{shown(source)} to {shown(path)}")


def fsync(fd: Arg) -> Call:
    """Return when the file's content is on disk. Source: fsync(2)."""
    return Call(NUMBERS["fsync"], "fsync", (fd,))


def fchmod(fd: Arg, mode: int) -> Call:
    """Set the mode of an open file (not one opened with O_PATH). Source: chmod(2)."""
    return Call(NUMBERS["fchmod"], "fchmod", (fd, mode))


def fchownat(directory: Arg, path: bytes, uid: int, gid: int) -> Call:
    """Set the owner of a file, of a symbolic link itself. Source: chown(2)."""
    for number in (uid, gid):
        if not UNCHANGED <= number <= _ID_MAX:  # the kernel would look at its lower 32 bits
            raise ValueError(f"owner {number} is out of range; allowed: 0 to {_ID_MAX}")
    flags = AT_SYMLINK_NOFOLLOW | (0 if path else AT_EMPTY_PATH)
    return Call(NUMBERS["fchownat"], "fchownat", (directory, cstring(path), uid, gid, flags), shown(path))


def readlinkat(directory: Arg, path: bytes, out: Out) -> Call:
    """Read where a symbolic link points to; the result is the count of bytes. Source: readlink(2)."""
    return Call(NUMBERS["readlinkat"], "readlinkat", (directory, cstring(path), out, out.size), shown(path))


def fstatfs(fd: Arg, out: Out) -> Call:
    """Ask for the filesystem that a file is on; decode `out` with `filesystem_of`. Source: statfs(2)."""
    return Call(NUMBERS["fstatfs"], "fstatfs", (fd, out))


def faccessat2(directory: Arg, path: bytes, mode: int) -> Call:
    """Ask whether the effective user may read, write or execute the file. Source: access(2)."""
    args = (directory, cstring(path), mode, AT_EACCESS)
    return Call(NUMBERS["faccessat2"], "faccessat2", args, shown(path))


def statx(directory: Arg, path: bytes, out: Out, flags: int = AT_SYMLINK_NOFOLLOW) -> Call:
    """Ask for a file's type, mode, owner and device; decode `out` with `Stat.of`. Source: statx(2)."""
    if not path:
        flags |= AT_EMPTY_PATH
    args = (directory, cstring(path), flags, STATX_BASIC_STATS | STATX_MNT_ID, out)
    return Call(NUMBERS["statx"], "statx", args, shown(path))


class Stat(NamedTuple):
    """What statx(2) tells of a file, as far as the runtime looks."""

    mode: int
    uid: int
    gid: int
    inode: int
    size: int
    rdev: tuple[int, int]
    dev: tuple[int, int]
    mount: int
    """The id of the mount it was reached by, as in /proc/PID/mountinfo."""

    @classmethod
    def of(cls, out: Out) -> Stat:
        """Decode the buffer that statx filled. Source: statx(2), struct statx."""
        uid, gid, mode, inode, size = struct.unpack_from("=20x2IH2x2Q", out.data)
        rdev_major, rdev_minor, dev_major, dev_minor, mount = struct.unpack_from("=128x4IQ", out.data)
        return cls(mode, uid, gid, inode, size, (rdev_major, rdev_minor), (dev_major, dev_minor), mount)


def new_stat() -> Out:
    """Return a buffer for statx."""
    return Out(STATX_SIZE)


STATFS_SIZE = 120
PROC_SUPER_MAGIC = 0x9FA0


def filesystem_of(out: Out) -> int:
    """Return the magic number of a filesystem's type from the buffer that fstatfs filled.

    Source: statfs(2).
    """
    return int.from_bytes(out.data[:8], "little")


def chdir(path: bytes) -> Call:
    """Change the working directory. Source: chdir(2)."""
    return Call(NUMBERS["chdir"], "chdir", (cstring(path),), shown(path))


def fchdir(fd: Arg) -> Call:
    """Change the working directory to an open one. Source: chdir(2)."""
    return Call(NUMBERS["fchdir"], "fchdir", (fd,))


def chroot(path: bytes) -> Call:
    """Make a directory the root of the process; its mounts stay as they are. Source: chroot(2)."""
    return Call(NUMBERS["chroot"], "chroot", (cstring(path),), shown(path))


def getcwd(out: Out) -> Call:
    """Ask for the path of the working directory; it starts with "(unreachable)" outside the root.

    Source: getcwd(2).
    """
    return Call(NUMBERS["getcwd"], "getcwd", (out, out.size))


def umask(mask: int) -> Call:
    """Set the mask of permission bits that new files don't get. Source: umask(2)."""
    return Call(NUMBERS["umask"], "umask", (mask,))


def ioctl(fd: Arg, request: int, argument: Arg = 0) -> Call:
    """Ask a device. Source: ioctl(2)."""
    return Call(NUMBERS["ioctl"], "ioctl", (fd, request, argument))


def open_path(x: Executor, path: bytes, flags: int = O_PATH) -> Value:
    """Open a path of the host, as the caller of the runtime named it."""
    return x.do(openat(AT_FDCWD, path, flags))
