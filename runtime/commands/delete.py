"""delete: remove what create has made of a container that has ended.

Source: runtime-spec, runtime.md "Delete".
"""

from __future__ import annotations

import signal

from holdfast.protocol import errors
from holdfast.runtime.cgroups import group, intent
from holdfast.runtime.commands import kill
from holdfast.runtime.container import Container, open_container, remove
from holdfast.runtime.sys.executor import here

_DEATH_TIMEOUT_S = 10


def delete(root: bytes, container_id: str, *, force: bool = False) -> None:
    """Delete a container.

    A created one is killed first; with force a running one too, and an unknown one is fine.

    Raises HoldfastError: no such container, it runs, or it does not die.
    """
    try:
        with open_container(root, container_id) as container:
            if force and container.status() == "creating":
                _end(container)  # so that a create that hangs gives up, and the lock is free
            container.lock()
            _delete(root, container, force=force)
    except errors.DoesNotExist:
        if not force:
            raise


def _delete(root: bytes, container: Container, *, force: bool) -> None:
    status = container.status()
    if status == "running" and not force:
        raise errors.not_stopped(container.record.id, status)
    if status != "stopped":
        _end(container)
    _remove_cgroup(container)
    remove(root, container.record.id, container.directory_fd)


def _remove_cgroup(container: Container) -> None:
    cgroup = container.record.cgroup
    if cgroup is not None:
        (group if container.record.pid else intent).remove(here, cgroup)


def _end(container: Container) -> None:
    """Kill init and wait until it is gone."""
    if kill.send(container, signal.SIGKILL) and not container.await_end(_DEATH_TIMEOUT_S):
        raise errors.HoldfastError(
            f'container "{container.record.id}": kill init: not gone after {_DEATH_TIMEOUT_S} s'
        )
