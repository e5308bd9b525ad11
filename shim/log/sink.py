"""A log file: where output becomes durable, and what happens when it can't.

Records are appended whole. If the disk is full they wait here, up to a limit, and are tried again;
beyond the limit they are dropped, and a record in the file says how much is missing. The container never
waits for room and is never told.

The file is opened below its directory, which is opened first; a link, a fifo without a reader, or
somebody else's file in its place is refused. At a size limit it is renamed to NAME.1 and begun anew,
always between two records: nothing is thrown away that has not been renamed first.

What was begun anew is durable only together with what was renamed, and with the directory that holds the
names. So the descriptor of the file before stays open until it has been synced.

Sources: open(2), write(2), fsync(2), rename(2).
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WAITING_MAX = 4 << 20
"""Bytes that wait for room on the disk."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_MODE = 0o640


class Sink:
    """An open log file."""

    def __init__(self, path: bytes, limit_bytes: int, gap: Callable[[int, str], bytes]) -> None:
        """Open the file.

        limit_bytes: size at which it is rotated; 0: never. A single record may be larger.
        gap: makes the record for bytes that were lost. Raises OSError.
        """
        self._path = path
        self._limit_bytes = limit_bytes
        self._gap = gap
        self._waiting = bytearray()
        self._lost_bytes = 0
        self._reason = ""
        self._fd, self._directory_fd, self._before_fd = -1, -1, -1
        self._size = 0
        self._is_regular = False
        self.reopen()

    @property
    def waits(self) -> bool:
        """Whether something waits for room on the disk."""
        return bool(self._waiting or self._lost_bytes)

    @property
    def reason(self) -> str:
        """Why something waits, in the kernel's words."""
        return self._reason

    def write(self, records: bytes) -> None:
        """Append whole records; they wait if there is no room."""
        if self.waits:
            self.retry()
        if not self._limit_bytes or not self._is_regular:
            self._put(records)
            return
        start = 0
        while start < len(records):
            end = self._end_of_fitting(records, start)
            if end == start:
                self._rotate()
                end = self._end_of_fitting(records, start)
            if end == start:  # the old file is still in use, and a log that is too large is better than none
                end = len(records)
            self._put(records[start:end])
            start = end

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
        """Open the file by its name (again). Raises OSError; the old one stays in use then."""
        directory, _, name = self._path.rpartition(b"/")
        directory_fd = os.open(directory + b"/" if directory else b"/", _DIRECTORY)
        try:
            fd, status = _open(directory_fd, name, self._path)
        except OSError:
            os.close(directory_fd)
            raise
        self._close_all(self._before_fd, self._directory_fd)
        self._before_fd, self._directory_fd, self._fd = self._fd, directory_fd, fd
        self._size, self._is_regular = status.st_size, stat.S_ISREG(status.st_mode)

    def unsynced(self) -> list[int]:
        """Return descriptors of all that has to be on disk for the log to be so; the caller's to close."""
        fds = (self._before_fd, self._fd, self._directory_fd) if self._is_regular else ()
        return [os.dup(fd) for fd in fds if fd >= 0]

    def close(self) -> int:
        """Close the file, after a last try. Returns how many bytes did not get into it."""
        self.retry()
        self._close_all(self._before_fd, self._directory_fd, self._fd)
        return len(self._waiting) + self._lost_bytes

    def _put(self, records: bytes) -> None:
        """Append records to this file, or have them wait."""
        if self.waits:
            self._put_off(records)
            return
        done = self._append(records)
        if done < len(records):
            # The rest of a record that was begun must get in, or the line would be torn.
            self._waiting += memoryview(records)[done:]

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

    def _end_of_fitting(self, records: bytes, start: int) -> int:
        """Return up to where records fit into the file as it is; `start` if it has to be rotated first."""
        if self.waits:
            return len(records)  # the file ends with a torn record now, whose rest has to follow
        room = self._limit_bytes - self._size
        if len(records) - start <= room:
            return len(records)
        end = records.rfind(b"\n", start, start + max(room, 0)) + 1
        if end:
            return end
        # In an empty file one record is put whatever its size.
        return records.index(b"\n", start) + 1 if not self._size else start

    def _rotate(self) -> None:
        """Begin the file anew; if that fails, go on with the old one, and try again at the next record."""
        _, _, name = self._path.rpartition(b"/")
        try:
            with suppress(FileNotFoundError):  # renamed by somebody else, or by us before we failed
                os.rename(name, name + b".1", src_dir_fd=self._directory_fd, dst_dir_fd=self._directory_fd)
            self.reopen()
        except OSError as error:
            self._reason = error.strerror or str(error)

    @staticmethod
    def _close_all(*fds: int) -> None:
        for fd in fds:
            if fd >= 0:
                os.close(fd)


def _open(directory_fd: int, name: bytes, path: bytes) -> tuple[int, os.stat_result]:
    """Open a log file for appending, making it if it is not there. Raises OSError.

    Refused is what is no regular file and no null device (a fifo that has a reader is fine), and a file of
    somebody else's that has other names too, since one of those may be where nobody wants a log.
    """
    try:
        fd = os.open(name, _FILE, _MODE, dir_fd=directory_fd)
    except OSError as error:
        raise OSError(error.errno, f'open log file "{os.fsdecode(path)}": {error.strerror}') from None
    status = os.fstat(fd)
    refusal = ""
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode) or _is_null(status)):
        refusal = "is no regular file"
    elif status.st_uid != os.geteuid() and status.st_nlink > 1:
        refusal = "is somebody else's, and has other names"
    if refusal:
        os.close(fd)
        raise OSError(f'open log file "{os.fsdecode(path)}": {refusal}')
    return fd, status


def _is_null(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)
