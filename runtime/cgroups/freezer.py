"""Pausing a container: its processes stop where they are, and go on later without having noticed.

Both versions can. v1 has a controller for it, whose frozen processes do not even die when killed, and which
may need to be asked again and again while processes are in the middle of something. v2 has a file in every
cgroup, and a frozen process can be killed. So where a container is in both, v2 is used.

Whether a container counts as paused is what was asked of its own cgroup: a frozen cgroup above it does not
make it so.

Sources: the kernel's admin-guide/cgroup-v1/freezer-subsystem.rst; admin-guide/cgroup-v2.rst,
"cgroup.freeze".
"""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.cgroups import tree
from holdfast.runtime.cgroups.detect import V2
from holdfast.runtime.cgroups.place import opened, required
from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import Out

if TYPE_CHECKING:
    from holdfast.runtime.cgroups.place import Cgroup, Place
    from holdfast.runtime.sys.executor import Here

_STATE = b"freezer.state"
_FROZEN, _THAWED = b"FROZEN", b"THAWED"
_FREEZE, _EVENTS = b"cgroup.freeze", b"cgroup.events"

_TIMEOUT_S = 10.0
_HOLD_TIMEOUT_S = 1.0
_PAUSE_S = 0.001
_TRIES_BEFORE_A_THAW = 50
_EVENTS_SIZE = 4096


def pause(x: Here, cgroup: Cgroup) -> None:
    """Freeze the container's processes, and return when they are. Raises HoldfastError; then they run on."""
    if cgroup.unified is not None:
        with required(x, cgroup.unified) as fd:
            if tree.write(x, fd, _FREEZE, b"1"):
                if not _await_frozen(x, fd, _TIMEOUT_S):
                    tree.write(x, fd, _FREEZE, b"0")
                    raise HoldfastError(f"freeze {cgroup.unified}: not frozen after {_TIMEOUT_S:.0f} s")
                return
    with required(x, _v1(cgroup)) as fd:
        if not _freeze_v1(x, fd, _TIMEOUT_S):
            raise HoldfastError(f"freeze {cgroup.holder('freezer')}: not frozen after {_TIMEOUT_S:.0f} s")


def resume(x: Here, cgroup: Cgroup) -> None:
    """Let the container's processes go on, by whichever version they were frozen."""
    for place in _able(cgroup):
        with opened(x, place) as fd:
            if fd is not None and is_set(x, fd):
                _ = tree.write(x, fd, _FREEZE, b"0") or tree.write(x, fd, _STATE, _THAWED)


def is_frozen(x: Here, cgroup: Cgroup) -> bool:
    """Whether the container is paused."""
    for place in _able(cgroup):
        with opened(x, place) as fd:
            if fd is not None and is_set(x, fd):
                return True
    return False


def is_set(x: Here, fd: int) -> bool:
    """Whether an open cgroup was asked to freeze."""
    asked = tree.read(x, fd, _FREEZE)
    if asked is None:
        asked = tree.read(x, fd, b"freezer.self_freezing")
    return asked is not None and asked.strip() == b"1"


def is_stopped(x: Here, fd: int, version: int) -> bool:
    """Whether a process would stop on its way into an open cgroup, also for one above it that is frozen."""
    if version == V2:
        return tree.value(tree.read(x, fd, _EVENTS), b"frozen") == 1
    return (tree.read(x, fd, _STATE) or _THAWED).strip() != _THAWED


def _able(cgroup: Cgroup) -> list[Place]:
    """Return the places where the container can be frozen."""
    return [place for place in cgroup.places if place.version == V2 or "freezer" in place.controllers]


def _v1(cgroup: Cgroup) -> Place:
    place = cgroup.holder("freezer")
    if place is None:
        raise HoldfastError('freeze the container: controller "freezer" not available')
    return place


def hold(x: Here, cgroup: Cgroup) -> None:
    """Freeze as well as can be done in a second, so that nothing is forked while a signal goes round."""
    for place in _able(cgroup):
        with opened(x, place) as fd:
            if fd is None:
                continue
            if place.version != V2:
                _freeze_v1(x, fd, _HOLD_TIMEOUT_S)
            elif tree.write(x, fd, _FREEZE, b"1"):
                _await_frozen(x, fd, _HOLD_TIMEOUT_S)


def thaw_all(x: Here, cgroup: Cgroup) -> None:
    """Thaw it with all cgroups below, which it may have frozen itself: on v1 the frozen don't die."""
    place = cgroup.holder("freezer")
    if place is None:
        return
    with opened(x, place) as top:
        if top is not None:
            for fd in tree.walk(x, top):
                tree.write(x, fd, _STATE, _THAWED)


def _await_frozen(x: Here, fd: int, timeout_s: float) -> bool:
    """Wait until a cgroup of v2 says that it is frozen. Source: cgroups(7), "cgroup.events"; poll(2)."""
    deadline = time.monotonic() + timeout_s
    while True:
        events = x.do(files.openat(fd, _EVENTS, os.O_RDONLY))
        try:
            size = x.do(files.read(events, out := Out(_EVENTS_SIZE)))
            if tree.value(out.data[:size], b"frozen") == 1:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            # A change since the read above ends the wait at once.
            waiting = select.poll()
            waiting.register(events, select.POLLPRI)
            waiting.poll(left * 1000)
        finally:
            x.do(files.close(events))


def _freeze_v1(x: Here, fd: int, timeout_s: float) -> bool:
    """Freeze a cgroup of v1. Returns False, and thaws it, if some process does not stop in time."""
    deadline = time.monotonic() + timeout_s
    tries = 0
    while True:
        # Asked once more, the kernel also looks at what has been forked meanwhile.
        tree.write(x, fd, _STATE, _FROZEN)
        if (tree.read(x, fd, _STATE) or _FROZEN).strip() == _FROZEN:
            return True
        tries += 1
        if time.monotonic() > deadline:
            tree.write(x, fd, _STATE, _THAWED)
            return False
        if not tries % _TRIES_BEFORE_A_THAW:
            # A process may wait for one that is frozen already; it has to be let on.
            tree.write(x, fd, _STATE, _THAWED)
            time.sleep(10 * _PAUSE_S)
        time.sleep(_PAUSE_S)
