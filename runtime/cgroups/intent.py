"""The cgroup that a create is about to make, noted before it does, so that one that is killed leaves none.

Between the first directory that is made and the record that names them all the runtime can be killed. So
what is missing of each path goes on record before anything is made. It is noted as a cgroup with number 0,
which no cgroup has: nobody signals, freezes or limits it. All that can be done with it is to remove the
directories that were missing, if nothing is in them.

Source: cgroups(7).
"""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.cgroups import tree
from holdfast.runtime.cgroups.place import Cgroup, Place
from holdfast.runtime.sys import files
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from holdfast.runtime.cgroups.plan import CgroupPlan, PlannedPlace
    from holdfast.runtime.sys.executor import Here

_TIMEOUT_S = 5.0
_PAUSE_S = 0.005


def intend(x: Here, plan: CgroupPlan) -> Cgroup:
    """Return what is going to be made, before it is. Raises CallFailed."""
    return Cgroup(
        tuple(
            Place(mount=one.mount, version=one.version, path=one.path, number=0, made=missing)
            for one in plan.places
            if (missing := _missing(x, one))
        )
    )


def _missing(x: Here, planned: PlannedPlace) -> int:
    """Return how many directories at the end of the path are not there."""
    names = planned.path.encode().split(b"/")
    status = files.new_stat()
    for count in range(len(names)):
        path = b"/".join((planned.mount.encode(), *names[: len(names) - count]))
        if x.do(files.statx(AT_FDCWD, path, status).accepting(errno.ENOENT)) == 0:
            return count
    return len(names)


def remove(x: Here, intended: Cgroup) -> None:
    """Remove what was made of it. Puppets in it end by themselves when their runtime has ended.

    Raises HoldfastError if they don't, and CallFailed.
    """
    deadline = time.monotonic() + _TIMEOUT_S
    for place in intended.places:
        while not _remove_place(x, place):
            if time.monotonic() > deadline:
                raise HoldfastError(f"remove {place}: still in use after {_TIMEOUT_S:.0f} s")
            time.sleep(_PAUSE_S)


def _remove_place(x: Here, place: Place) -> bool:
    """Remove the directories of one hierarchy. Returns False if there are processes in the lowest."""
    names = place.path.encode().split(b"/")
    with tree.mounted(x, place.mount, place.version) as top:
        if top is None:
            return True
        for count in range(place.made):
            if not tree.remove_empty(x, top, b"/".join(names[: len(names) - count])):
                return bool(count)  # one above has become another container's as well
    return True
