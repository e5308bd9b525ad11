"""Reading a container's log file: from a line near its end on, and on and on while the container writes.

The shim renames a log that has become too large to ctr.log.1 and begins it anew. So what there is
to read is the old file, if there is one, and then the new one; and whoever follows reads a file to
its end before he takes the one that now has its name.

Sources: inotify(7), which watches the directory: the log's writes, its renaming, and exit.json are
all events of that.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from holdfast.protocol.log.read import Entry, TailCounter, parse_line
from holdfast.runtime.sys import watches
from holdfast.runtime.sys.executor import here
from holdfast.shim.link import open_link
from holdfast.shim.store.record import LOG_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

_BLOCK = 1 << 18
_LINE_MAX = 1 << 17
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100


def open_logs(directory_fd: int) -> list[int]:
    """Open the files of a log, the oldest first; the descriptors are the caller's to close."""
    found = []
    for name in (LOG_FILE + b".1", LOG_FILE):
        try:
            found.append(os.open(name, _OPEN, dir_fd=directory_fd))
        except FileNotFoundError:
            continue
    return found


def seek_tail(fds: list[int], wanted: int) -> list[int]:
    """Put the last of some files where their last lines begin.

    Returns those files in which something is wanted.
    """
    counter = TailCounter(wanted)
    for place in range(len(fds) - 1, -1, -1):
        for offset, line in _lines_backwards(fds[place]):
            if counter.is_before(line):
                os.lseek(fds[place], offset + len(line) + 1, os.SEEK_SET)
                return fds[place:]
        os.lseek(fds[place], 0, os.SEEK_SET)
    return fds


def _lines_backwards(fd: int) -> Iterator[tuple[int, bytes]]:
    """Yield where each line begins, and the line, from the last one on; a torn one is left out."""
    end, rest = os.fstat(fd).st_size, b""
    while end > 0:
        begin = max(0, end - _BLOCK)
        block = os.pread(fd, end - begin, begin) + rest
        # What stands before the first newline may have begun in the block before.
        first = block.find(b"\n") + 1 if begin else 0
        lines = block[first:].split(b"\n") if first or not begin else [b""]
        lines.pop()  # behind the last newline: nothing, or a torn line
        found, offset = [], begin + first
        for line in lines:
            found.append((offset, line))
            offset += len(line) + 1
        yield from reversed(found)
        end, rest = begin, block[:first] if first else block


class Reader:
    """Reads the entries of one file as far as it is written."""

    def __init__(self, fd: int) -> None:
        """Read on from where the descriptor is."""
        self.fd = fd
        self._torn = b""

    def read(self) -> list[Entry]:
        """Return the entries of the next block; none at what is now the end."""
        entries: list[Entry] = []
        while not entries:
            block = os.read(self.fd, _BLOCK)
            if not block:
                break
            *lines, self._torn = (self._torn + block).split(b"\n")
            if len(self._torn) > _LINE_MAX:  # no line of ours is that long
                self._torn = b""
            entries = [entry for entry in map(parse_line, lines) if entry is not None]
        return entries


class Follower:
    """Waits for more of a log. Use it as a context manager."""

    def __init__(self, directory_fd: int, run_dir: bytes) -> None:
        """Watch a container's directory, and its shim."""
        self._directory_fd = directory_fd
        self._inotify_fd = here.do(watches.inotify_init1())
        # By way of the descriptor: the path could be another's by now.
        directory, events = b"/proc/self/fd/%d" % directory_fd, _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE
        here.do(watches.inotify_add_watch(self._inotify_fd, directory, events))
        self._link = open_link(run_dir)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave; see the class."""
        os.close(self._inotify_fd)
        if self._link is not None:
            self._link.close()

    def wait(self) -> bool:
        """Wait until there may be more. Returns False if nobody writes any more."""
        if self._link is None:
            return False
        poll = select.poll()
        poll.register(self._inotify_fd, select.POLLIN)
        poll.register(self._link.pidfd, select.POLLIN)
        ready = dict(poll.poll())
        if self._inotify_fd in ready:
            os.read(self._inotify_fd, 1 << 16)
        return self._link.pidfd not in ready

    def replaced(self, fd: int) -> int | None:
        """Open the file that has the log's name now, if that is another than `fd`; None if it is not."""
        try:
            new_fd = os.open(LOG_FILE, _OPEN, dir_fd=self._directory_fd)
        except FileNotFoundError:
            return None
        if os.path.samestat(os.fstat(new_fd), os.fstat(fd)):
            os.close(new_fd)
            return None
        return new_fd
