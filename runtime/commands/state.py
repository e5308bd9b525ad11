"""state and list: what the kernel and the records say of containers.

Source: runtime-spec, runtime.md "State", "Query State".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.oci.state import State
from holdfast.runtime.cgroups import freezer
from holdfast.runtime.container import container_ids, open_container
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.runtime.container import Container


def state(root: bytes, container_id: str) -> State:
    """Return a container's state. Raises HoldfastError if there is none, or its record cannot be trusted."""
    with open_container(root, container_id) as container:
        return _state_of(container)


def list_states(root: bytes) -> Iterator[State]:
    """Yield the state of each container below the root, in the order of the ids."""
    for container_id in container_ids(root):
        with open_container(root, container_id) as container:
            yield _state_of(container)


def _state_of(container: Container) -> State:
    record, status = container.record, container.status()
    alive = status in ("created", "running")
    if alive and record.cgroup is not None and freezer.is_frozen(here, record.cgroup):
        status = "paused"
    return State(
        id=record.id,
        status=status,
        pid=record.pid if alive else 0,
        bundle=record.bundle,
        rootfs=record.rootfs,
        created=record.created,
        owner=record.owner,
        annotations=record.annotations,
    )
