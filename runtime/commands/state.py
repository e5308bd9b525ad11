"""state and list: what the kernel and the records say of containers.

Source: runtime-spec, runtime.md "State", "Query State".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol import errors
from holdfast.protocol.oci.state import State
from holdfast.runtime.cgroups import freezer
from holdfast.runtime.container import container_ids, open_container
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.runtime.container import Container


def state(root: bytes, container_id: str) -> State:
    """Return a container's state. Raises HoldfastError if there is none, or its record cannot be trusted."""
    with open_container(root, container_id) as container:
        return _state_of(container)


def list_states(root: bytes, tell: Callable[[str], None]) -> Iterator[State]:
    """Yield the state of each container below the root, in the order of the ids.

    tell: is given a sentence about one whose record cannot be read, which is then left out.
    """
    for container_id in container_ids(root):
        try:
            yield state(root, container_id)
        except errors.DoesNotExist:  # deleted meanwhile
            continue
        except (errors.HoldfastError, OSError) as error:
            tell(str(error))


def is_paused(container: Container) -> bool:
    """Whether the processes of a container that runs are frozen."""
    cgroup = container.record.cgroup
    return cgroup is not None and freezer.is_frozen(here, cgroup)


def _state_of(container: Container) -> State:
    record, status = container.record, container.status()
    alive = status in ("created", "running")
    if alive and is_paused(container):
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
