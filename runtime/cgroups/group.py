"""A container's cgroup, one in each hierarchy: made, entered, limited, removed.

How a process gets in matters for the time that a container takes to start. A write of its id to cgroup.procs
makes the kernel hold back all forks and exits of the machine for a moment, which begins by waiting until
every CPU has passed a certain point: 5 ms, twice as long as everything else together. There are two ways
around it. A process can be born in a cgroup of v2 (clone3 with CLONE_INTO_CGROUP); and a thread may move
*itself* by a `0` written to the file `tasks` of v1, for which nobody has to be held back. The second takes a
thread that does as it is told, and a puppet is one.

Sources: cgroups(7); clone(2), CLONE_INTO_CGROUP; runtime-spec, config-linux.md "Control groups".
"""

from __future__ import annotations

import os
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.cgroups import devices, devices_v2, kill, limits, tree
from holdfast.runtime.cgroups.detect import V2
from holdfast.runtime.cgroups.make import make_place
from holdfast.runtime.cgroups.place import Cgroup, Place, find, required
from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import CallFailed, Passed
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.runtime.cgroups.plan import CgroupPlan
    from holdfast.runtime.sys.call import Executor
    from holdfast.runtime.sys.executor import Here

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.001, 0.1
_REMOVAL_TIMEOUT_S = 10.0
_MASK = 0o022
"""The usual umask: a container may look at its cgroup, whatever the caller's mask is."""


def make(x: Here, plan: CgroupPlan) -> Cgroup:
    """Make the cgroup in each hierarchy. Raises HoldfastError or CallFailed; then nothing is left of it."""
    places: list[Place] = []
    mask = x.do(files.umask(_MASK))
    try:
        for planned in plan.places:
            place = make_place(x, plan, planned)
            if place is not None:
                places.append(place)
    except BaseException:
        # What was wrong is to be told, not what else goes wrong now.
        with suppress(OSError, HoldfastError):
            remove(x, Cgroup(tuple(places)))
        raise
    finally:
        x.do(files.umask(mask))
    return Cgroup(tuple(places))


@contextmanager
def birthplace(cgroup: Cgroup | None, x: Here = here, *, beside: int = 0) -> Iterator[int | None]:
    """Open the cgroup of v2 for a clone3 with CLONE_INTO_CGROUP; None where there is none.

    beside: the id of a process in the container (its init) for one that joins it. If the container has
    cgroups of its own and passes controllers on to them, no process can be in the topmost one; then it is
    the one of that process.
    Raises HoldfastError if the cgroup is gone.
    """
    place = cgroup.unified if cgroup else None
    if place is None:
        yield None
        return
    with required(x, place) as top:
        passes_on = bool((tree.read(x, top, b"cgroup.subtree_control") or b"").strip())
        fd = _find(x, top, beside) if beside and passes_on else None
        try:
            yield top if fd is None else fd
        finally:
            if fd is not None:
                x.do(files.close(fd))


def enter_self(x: Here, who: Executor, cgroup: Cgroup) -> None:
    """Have the process behind an executor, of one thread, put itself into the cgroups of v1. Takes no 5 ms.

    x: opens the files, with the rights of the runtime, by which the kernel judges the write.
    Raises HoldfastError or CallFailed.
    """
    tasks_fds: list[int] = []
    try:
        for place in cgroup.places:
            if place.version != V2:
                who.subject = x.subject = f"enter {place}"
                with required(x, place) as fd:
                    tasks_fds.append(x.do(files.openat(fd, b"tasks", os.O_WRONLY)))
                who.do(files.write(Passed(tasks_fds[-1]), b"0"))
        who.flush()
    finally:
        who.subject = x.subject = ""
        for tasks_fd in tasks_fds:
            x.do(files.close(tasks_fd))


def limit(x: Here, cgroup: Cgroup, plan: CgroupPlan) -> None:
    """Write the limits, and set the rules for devices. Raises HoldfastError or CallFailed."""
    for planned in plan.places:
        place = next((one for one in cgroup.places if one.mount == planned.mount), None)
        if place is None or not (planned.limits or planned.devices):
            continue  # where it is missing there was no permission, and nothing is asked of it
        x.subject = f"limit {place}"
        with required(x, place) as fd:
            limits.apply(x, fd, planned.limits)
            if planned.devices is None:
                continue
            x.subject = f"{devices.FIELD}: limit {place}"
            try:
                devices_v2.attach(x, fd, planned.devices.code)
            except CallFailed:
                if not planned.devices.is_optional:
                    raise
    x.subject = ""


def remove(x: Here, cgroup: Cgroup) -> None:
    """Remove what was made of the cgroup. What is left in it is killed, and cgroups below it go too.

    Raises HoldfastError if something in it does not die.
    """
    x.subject = ""
    left = [place for place in cgroup.places if not _remove_place(x, place)]
    deadline, wait_s = time.monotonic() + _REMOVAL_TIMEOUT_S, _FIRST_WAIT_S
    while left:
        kill.kill_all(x, cgroup)
        left = [place for place in left if not _remove_place(x, place, with_children=True)]
        if left and time.monotonic() > deadline:
            raise HoldfastError(f"remove {left[0]}: still in use after {_REMOVAL_TIMEOUT_S:.0f} s")
        if left:
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def _remove_place(x: Here, place: Place, *, with_children: bool = False) -> bool:
    """Remove one hierarchy's cgroup, and of those above it what was made. Returns False if it is in use."""
    with tree.mounted(x, place.mount, place.version) as top:
        fd = find(x, top, place)
        if top is None or fd is None:
            return True
        try:
            if with_children:
                for _ in tree.walk(x, fd, remove=True):
                    pass
            if not place.made:  # it was there before the container, and stays
                return not tree.children(x, fd) and not tree.processes(x, fd)
        finally:
            x.do(files.close(fd))
        path = place.path.encode()
        if not tree.remove_empty(x, top, path):
            return False
        for _ in range(place.made - 1):
            path = path.rpartition(b"/")[0]
            if not tree.remove_empty(x, top, path):
                break  # another container has moved in
    return True


def _find(x: Here, top: int, pid: int) -> int | None:
    """Open the cgroup below an open one that a process is in."""
    with closing(tree.walk(x, top)) as each:
        for fd in each:
            if pid in tree.processes(x, fd):
                return x.do(files.dup_above(fd, 0))
    return None
