"""A log file: where output becomes durable, and what happens when it can't.

Records are appended whole. If the disk is full they wait here, up to a limit, and are tried again; beyond
the limit they are dropped, and a record in the file says how much is missing. The container never waits for
the disk and is never told.

The file is opened by its name once; a link, a fifo without a reader, or somebody else's file in its place is
refused. At a size limit it is renamed to NAME.1 and begun anew: nothing is thrown away that has not been
renamed first.

Sources: open(2), write(2), fsync(2), rename(2).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WAITING_MAX = 4 << 20
"""Bytes that wait for room on the disk."""

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_MODE = 0o640


class Sink:
    """An open log file."""

    def __init__(self, path: bytes, limit_bytes: int, gap: Callable[[int, str], bytes]) -> None:
        """Open the file.

        limit_bytes: size at which it is rotated; 0: never. gap: makes the record for bytes that were lost.
        Raises OSError.
        """
        self._path = path
        self._limit_bytes = limit_bytes
        self._gap = gap
        self._waiting = bytearray()
        self._lost_bytes = 0
        self._reason = ""
        self._fd, self._size = open_log(path)

    @property
    def waits(self) -> bool:
        """Whether something waits for room on the disk."""
        return bool(self._waiting or self._lost_bytes)

    def write(self, records: bytes) -> None:
        """Append records; they wait if there is no room."""
        if self.waits:
            self.retry()
        if self._limit_bytes and self._size and self._size + len(records) > self._limit_bytes:
            self._rotate()
        if self.waits:
            self._put_off(records)
            return
        done = self._append(records)
        if done < len(records):
            # The rest of a record that was begun must get in, or the line would be torn.
            self._waiting += memoryview(records)[done:]

    def retry(self) -> bool:
        """Append what waits, then tell what is missing. Returns whether something still waits."""
        if self._waiting:
            del self._waiting[: self._append(self._waiting)]
        if self._lost_bytes and not self._waiting:
            self._waiting += self._gap(self._lost_bytes, self._reason)
            self._lost_bytes = 0
            del self._waiting[: self._append(self._waiting)]
        return self.waits

    def reopen(self) -> None:
        """Open the file by its name again. Raises OSError; the old one stays in use then."""
        fd, size = open_log(self._path)
        os.close(self._fd)
        self._fd, self._size = fd, size

    def sync(self) -> None:
        """Return when everything is on disk. Raises OSError."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _append(self, records: bytes | bytearray) -> int:
        """Write as much as there is room for. Returns the count of bytes."""
        done = 0
        try:
            while done < len(records):
                # The view is let go at once: a bytearray can't shrink while somebody looks at it.
                with memoryview(records) as whole, whole[done:] as rest:
                    done += os.write(self._fd, rest)
        except OSError as error:
            self._reason = error.strerror or str(error)
        self._size += done
        return done

    def _put_off(self, records: bytes) -> None:
        if self._lost_bytes or len(self._waiting) + len(records) > WAITING_MAX:
            self._lost_bytes += len(records)
        else:
            self._waiting += records

    def _rotate(self) -> None:
        try:
            os.rename(self._path, self._path + b".1")
            self.reopen()
        except OSError as error:
            self._reason = error.strerror or str(error)


def open_log(path: bytes) -> tuple[int, int]:
    """Open a log file for appending, making it if it is not there. Returns a descriptor and the file's size.

    Raises OSError: also for what is no regular file and no null device (a fifo that has a reader is fine).
    """
    try:
        fd = os.open(path, _FLAGS, _MODE)
    except OSError as error:
        raise OSError(error.errno, f'open log file "{os.fsdecode(path)}": {error.strerror}') from None
    status = os.fstat(fd)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode) or _is_null(status)):
        os.close(fd)
        raise OSError(f'open log file "{os.fsdecode(path)}": is no regular file')
    return fd, status.st_size


def _is_null(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)
