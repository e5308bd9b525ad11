"""ps: which processes are in a container.

Source: cgroups(7).
"""

from __future__ import annotations

from holdfast.runtime.cgroups import kill
from holdfast.runtime.container import open_container
from holdfast.runtime.sys.executor import here


def processes(root: bytes, container_id: str) -> list[int]:
    """Return the ids of a container's processes, as this pid namespace has them; none of one that has ended.

    Raises HoldfastError.
    """
    with open_container(root, container_id) as container:
        found = kill.processes(here, container.record.cgroup) if container.record.cgroup else set()
        if container.is_alive():
            found.add(container.record.pid)  # also where there is no cgroup
        return sorted(found)
