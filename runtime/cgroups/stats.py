"""What a container uses at this moment: memory, CPU time, processes.

Sources: the kernel's admin-guide/cgroup-v2.rst; admin-guide/cgroup-v1/memory.rst, cpuacct.rst, pids.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.cgroups import tree
from holdfast.runtime.cgroups.convert import MAX
from holdfast.runtime.cgroups.detect import V2
from holdfast.runtime.cgroups.place import opened

if TYPE_CHECKING:
    from holdfast.runtime.cgroups.place import Cgroup
    from holdfast.runtime.sys.executor import Here

_V1_UNLIMITED = 2**62
"""v1 says "no limit" by the largest number of bytes that is a multiple of the page size: nearly 2**63."""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers; None for what the container's cgroup does not tell."""

    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    """None also if there is no limit; the same for processes."""
    cpu_ns: int | None = None
    """Time that CPUs have worked for it."""
    processes: int | None = None
    """Threads, to be exact: that is what the kernel counts and limits."""
    processes_limit: int | None = None


def read_stats(x: Here, cgroup: Cgroup) -> Stats:
    """Ask for what the container uses."""
    return Stats(
        memory_bytes=_number(x, cgroup, "memory", "memory.usage_in_bytes", "memory.current"),
        memory_limit_bytes=_number(x, cgroup, "memory", "memory.limit_in_bytes", "memory.max"),
        cpu_ns=_cpu_ns(x, cgroup),
        processes=_number(x, cgroup, "pids", "pids.current", "pids.current"),
        processes_limit=_number(x, cgroup, "pids", "pids.max", "pids.max"),
    )


def _number(x: Here, cgroup: Cgroup, controller: str, old: str, new: str) -> int | None:
    """Read a number from the file of v1 or v2, whichever has the controller."""
    place = cgroup.holder(controller)
    if place is None:
        return None
    with opened(x, place) as fd:
        name = new if place.version == V2 else old
        content = tree.read(x, fd, name.encode()) if fd is not None else None
    if content is None or content.strip() == MAX.encode():
        return None
    number = int(content)
    return number if number < _V1_UNLIMITED else None


def _cpu_ns(x: Here, cgroup: Cgroup) -> int | None:
    old = cgroup.holder("cpuacct")
    if old is not None:
        return _number(x, cgroup, "cpuacct", "cpuacct.usage", "")
    if cgroup.unified is None:
        return None
    # The kernel accounts for the time of every cgroup of v2, also where no controller is enabled.
    with opened(x, cgroup.unified) as fd:
        used_us = tree.value(tree.read(x, fd, b"cpu.stat"), b"usage_usec") if fd is not None else None
    return None if used_us is None else used_us * 1000
