"""Whether the kernel has killed something in a container for want of memory.

Source: cgroups(7); the kernel's admin-guide/cgroup-v2.rst, memory.events.
"""

from __future__ import annotations

from holdfast.runtime.cgroups.oom import oom_killed
from holdfast.runtime.container import open_container
from holdfast.runtime.sys.executor import here


def oom_kills(root: bytes, container_id: str) -> int:
    """Return how many of the container's processes were killed so; 0 if nobody counts.

    Raises HoldfastError.
    """
    with open_container(root, container_id) as container:
        cgroup = container.record.cgroup
        return oom_killed(here, cgroup) if cgroup is not None else 0
