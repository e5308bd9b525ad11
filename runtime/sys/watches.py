"""Descriptors that become readable when something happens: eventfd(2), inotify(7)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.runtime.sys.call import Call, cstring, shown
from holdfast.runtime.sys.numbers import NUMBERS

if TYPE_CHECKING:
    from holdfast.runtime.sys.call import Arg

IN_MODIFY = 0x2


def eventfd2() -> Call:
    """Open a counter that somebody adds to, not blocking, close-on-exec. Source: eventfd(2)."""
    return Call(NUMBERS["eventfd2"], "eventfd2", (0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))


def inotify_init1() -> Call:
    """Open a queue for events of files, not blocking, close-on-exec. Source: inotify_init(2)."""
    return Call(NUMBERS["inotify_init1"], "inotify_init1", (os.O_CLOEXEC | os.O_NONBLOCK,))


def inotify_add_watch(queue: Arg, path: bytes, mask: int) -> Call:
    """Have events of a file put into the queue. Source: inotify_add_watch(2)."""
    return Call(NUMBERS["inotify_add_watch"], "inotify_add_watch", (queue, cstring(path), mask), shown(path))
