"""pause and resume: a container's processes stop where they are, and go on later.

Source: runc(8) "pause", "resume", which the runtime-spec leaves to runtimes.
"""

from __future__ import annotations

from holdfast.protocol import errors
from holdfast.runtime.cgroups import freezer
from holdfast.runtime.container import open_container
from holdfast.runtime.sys.executor import here


def pause(root: bytes, container_id: str) -> None:
    """Freeze a container, created or running; returns when all of its processes are frozen.

    Raises HoldfastError: no such container, it has ended, or it cannot be frozen.
    """
    with open_container(root, container_id) as container:
        container.lock()
        if container.status() not in ("created", "running") or container.record.cgroup is None:
            raise errors.not_running(container_id)
        freezer.pause(here, container.record.cgroup)


def resume(root: bytes, container_id: str) -> None:
    """Let a paused container go on. Raises HoldfastError: no such container, or it is not paused."""
    with open_container(root, container_id) as container:
        container.lock()
        cgroup = container.record.cgroup
        if cgroup is None or not freezer.is_frozen(here, cgroup):
            raise errors.not_paused(container_id)
        freezer.resume(here, cgroup)
