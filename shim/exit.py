"""The exit record: how a container ended, written once, when all of its output is in the log.

Whoever sees the file sees a whole one: it is written under another name, brought to disk, and renamed.
Room for it is taken when the container starts, since the disk may be full when it ends; a container
whose end could not be recorded is not started.

Sources: rename(2), fsync(2), posix_fallocate(3).
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from holdfast.protocol import control

EXIT_FILE = "exit.json"
_RESERVED = "exit.json.new"
_ROOM_BYTES = 4096
_MODE = 0o600
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ExitRecord:
    """The place of one run's exit.json, and then the file."""

    def __init__(self, directory: bytes) -> None:
        """Take the room, and remove the record of an earlier run. Raises OSError."""
        self._directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._fd = -1
        try:
            self._remove(EXIT_FILE)
            self._remove(_RESERVED)
            self._fd = os.open(_RESERVED, _NEW_FILE, _MODE, dir_fd=self._directory_fd)
            _take_room(self._fd)
        except OSError as error:
            self.abandon()
            raise OSError(error.errno, f'make room for "{EXIT_FILE}": {error.strerror}') from None

    def write(self, exited: control.Exited) -> None:
        """Write the record and give it its name. Raises OSError."""
        rest = memoryview(msgspec.json.encode(exited) + b"\n")
        os.ftruncate(self._fd, len(rest))  # what was taken beyond it is given back; what is needed stays
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        os.fsync(self._fd)
        os.rename(_RESERVED, EXIT_FILE, src_dir_fd=self._directory_fd, dst_dir_fd=self._directory_fd)
        os.fsync(self._directory_fd)

    def abandon(self) -> None:
        """Give the room back: there will be no record."""
        if self._fd >= 0:
            os.close(self._fd)
        with suppress(OSError):
            self._remove(_RESERVED)
        os.close(self._directory_fd)

    def _remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._directory_fd)


def _take_room(fd: int) -> None:
    try:
        os.posix_fallocate(fd, 0, _ROOM_BYTES)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a filesystem that can't promise room
            raise
