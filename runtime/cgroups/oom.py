"""Processes of a container that the kernel has killed for want of memory: how many, and being told of it.

The kernel counts them. v1 adds to a counter of our own (an eventfd) whenever memory runs out, and also when
the cgroup is removed; v2 marks a file as modified. Both only say that something has happened, so that the
count is to be read again: a limit can be hit without anybody being killed.

Sources: the kernel's admin-guide/cgroup-v1/memory.rst, "OOM Control"; admin-guide/cgroup-v2.rst,
"memory.events"; inotify(7); eventfd(2).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from holdfast.runtime.cgroups import tree
from holdfast.runtime.cgroups.detect import V2
from holdfast.runtime.cgroups.place import opened
from holdfast.runtime.sys import files, watches

if TYPE_CHECKING:
    from holdfast.runtime.cgroups.place import Cgroup, Place
    from holdfast.runtime.sys.executor import Here

_EVENTS, _CONTROL = b"memory.events", b"memory.oom_control"
_KILLED = b"oom_kill"
_READ_SIZE = 4096


def oom_killed(x: Here, cgroup: Cgroup) -> int:
    """Return how many processes were killed for want of memory; 0 if nobody counts."""
    place = cgroup.holder("memory")
    if place is None:
        return 0
    with opened(x, place) as fd:
        return _count(x, fd, place) if fd is not None else 0


class Watch:
    """Becomes readable when processes may have been killed for want of memory."""

    def __init__(self, x: Here, place: Place, fd: int, kept: list[int]) -> None:
        self.fd = fd
        """Readable when there is reason to call `count`; not blocking."""
        self._x = x
        self._place = place
        self._kept = kept
        self._last = 0

    def count(self) -> int:
        """Return how many were killed so far, and wait for news again."""
        with suppress(BlockingIOError):
            while os.read(self.fd, _READ_SIZE):
                pass
        with opened(self._x, self._place) as fd:
            if fd is not None:
                self._last = _count(self._x, fd, self._place)
        return self._last

    def close(self) -> None:
        """Stop watching."""
        for fd in (self.fd, *self._kept):
            os.close(fd)


def watch(x: Here, cgroup: Cgroup) -> Watch | None:
    """Begin to watch; None for a container whose memory nobody counts. Raises CallFailed."""
    place = cgroup.holder("memory")
    if place is None:
        return None
    with opened(x, place) as directory:
        if directory is None:
            return None
        return (
            _watch_events(x, place, directory)
            if place.version == V2
            else _watch_control(x, place, directory)
        )


def _watch_events(x: Here, place: Place, directory: int) -> Watch:
    queue_fd = x.do(watches.inotify_init1())
    # By the descriptor: what is watched is the cgroup that was opened, whatever its path leads to.
    path = b"/proc/self/fd/%d/%s" % (directory, _EVENTS)
    x.do(watches.inotify_add_watch(queue_fd, path, watches.IN_MODIFY))
    return Watch(x, place, queue_fd, [])


def _watch_control(x: Here, place: Place, directory: int) -> Watch:
    counter_fd = x.do(watches.eventfd2())
    control_fd = x.do(files.openat(directory, _CONTROL, os.O_RDONLY))
    tree.write(x, directory, b"cgroup.event_control", b"%d %d" % (counter_fd, control_fd))
    return Watch(x, place, counter_fd, [control_fd])


def _count(x: Here, directory: int, place: Place) -> int:
    file = _EVENTS if place.version == V2 else _CONTROL
    return tree.value(tree.read(x, directory, file), _KILLED) or 0
