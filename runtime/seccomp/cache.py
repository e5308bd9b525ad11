"""Programs on disk, so that a profile is compiled once and not for each container.

Compiling the default profile for three architectures takes some 30 ms, more than all system calls of a
container's setup together; finding its program here takes half a millisecond.

A program is a security boundary, so what is found is only used if it cannot be anybody else's or another
profile's: the directory and the file belong to this user and are closed to all others, and the file holds
the whole key, which is compared.  Its name is a mere checksum of the key: two keys with one checksum take
turns, and no more.  The key is all that a program depends on: the checked profile, the library with its
version and what it found in this kernel, and Holdfast's own version.  A distribution may teach a library new
calls under the same version: then some name that was skipped is known, and the program is made again.

Nothing is forced to disk: a file that a crash has emptied fails its checksum, and is made again.
"""

from __future__ import annotations

import binascii
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

import holdfast
from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.seccomp.libseccomp import UNKNOWN
from holdfast.runtime.seccomp.profile import Built

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.runtime.seccomp.check import Profile
    from holdfast.runtime.seccomp.libseccomp import Library

FORMAT = 1
"""Of the file, and of the instructions that Holdfast adds: to be counted up when either changes."""

ENTRIES_MAX = 64
SIZE_MAX = 1 << 20
"""In bytes; what is larger is not kept. A program has 32 KiB at most, the rest is the profile."""

_CHECKSUM_SIZE = 4


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, Built]).decode
"""What a file holds, behind its checksum: the key, and what was made."""


DIRECTORY = b"@seccomp"
"""Beside the containers' state directories; no container can have that name."""


@contextmanager
def cache_in(root: bytes) -> Iterator[Cache | None]:
    """Open the cache below a runtime's root; None where there is no root yet, or it is not ours."""
    path = root + b"/" + DIRECTORY
    with suppress(OSError):
        os.mkdir(path, 0o700)
    try:
        directory_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield Cache(directory_fd) if _is_private(os.fstat(directory_fd)) else None
    finally:
        os.close(directory_fd)


class Cache:
    """Programs in one directory. Trouble with it is no error, since a program can always be made again."""

    def __init__(self, directory_fd: int) -> None:
        """Keep programs in this directory; the descriptor stays the caller's.

        Raises HoldfastError if the directory is not this user's alone.
        """
        if not _is_private(os.fstat(directory_fd)):
            raise HoldfastError("seccomp cache: its directory belongs to somebody else or is open to others")
        self._directory_fd = directory_fd

    def load(self, profile: Profile, library: Library) -> Built | None:
        """Return what was kept for this profile, or None."""
        key = _key(profile, library)
        content = self._read(_name(key))
        checksum = content[:_CHECKSUM_SIZE]
        if checksum != _checksum(content[_CHECKSUM_SIZE:]):
            return None
        try:
            its_key, built = _decode(content[_CHECKSUM_SIZE:])
        except msgspec.MsgspecError:
            return None
        is_stale = any(library.number(name) != UNKNOWN for name in built.skipped)
        return None if its_key != key or is_stale else built

    def store(self, profile: Profile, library: Library, built: Built) -> None:
        """Keep what was made of a profile; the oldest make room."""
        key = _key(profile, library)
        content = _encode((key, built))
        if len(content) > SIZE_MAX - _CHECKSUM_SIZE:
            return
        try:
            self._write(_name(key), _checksum(content) + content)
            self._make_room()
        except OSError:
            # A full or read-only disk, or another one tidies at the same time: the next one does it again.
            return

    def _read(self, name: str) -> bytes:
        """Return the content of a file of ours, or nothing."""
        try:
            # Without O_NONBLOCK a fifo in its place would hold us up.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(name, flags, dir_fd=self._directory_fd)
        except OSError:
            return b""
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or not _is_private(status) or status.st_size > SIZE_MAX:
                return b""
            return os.read(fd, SIZE_MAX)
        except OSError:
            return b""
        finally:
            os.close(fd)

    def _write(self, name: str, content: bytes) -> None:
        """Put a whole file in its place at once, or none."""
        temporary = f"{name}.{os.urandom(8).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=self._directory_fd)
        try:
            # A disk that is nearly full takes a part; a file cut short would fail its checksum each time.
            if os.write(fd, content) == len(content):
                os.rename(temporary, name, src_dir_fd=self._directory_fd, dst_dir_fd=self._directory_fd)
                return
        except OSError:
            pass
        finally:
            os.close(fd)
        os.unlink(temporary, dir_fd=self._directory_fd)

    def _make_room(self) -> None:
        """Take away the oldest files beyond ENTRIES_MAX."""
        with os.scandir(self._directory_fd) as entries:
            ages = sorted((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name) for entry in entries)
        for _, name in ages[:-ENTRIES_MAX]:
            os.unlink(name, dir_fd=self._directory_fd)


def _key(profile: Profile, library: Library) -> bytes:
    return _encode((FORMAT, holdfast.__version__, library.version, library.api_level(), profile))


def _checksum(content: bytes) -> bytes:
    return binascii.crc32(content).to_bytes(_CHECKSUM_SIZE, "little")


def _name(key: bytes) -> str:
    return _checksum(key).hex()


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077
