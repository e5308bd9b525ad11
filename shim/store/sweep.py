"""Removing orphans: what belongs to no container because whoever made it, or was to remove it, was killed.

It is done with the store held alone, so that nothing is taken for an orphan that is just being
made; and what has a shim is left to the shim.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from holdfast.runtime.commands.delete import delete
from holdfast.runtime.container import container_ids, open_container
from holdfast.shim import sockets
from holdfast.shim.link import open_link
from holdfast.shim.store import words
from holdfast.shim.store.places import OPEN_DIRECTORY, open_private
from holdfast.shim.store.record import RECORD_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.shim.store.store import Store

_WITH_SOCKETS = (b"containers", b"exec")


def sweep(store: Store) -> list[str]:
    """Remove orphans. Returns what they were, for a person. Raises HoldfastError, OSError."""
    with store.held(alone=True):
        return [*_directories(store), *_names(store), *_sockets(store), *_runtime_state(store)]


def sweep_after_boot(store: Store) -> None:
    """Sweep, and note that it has been done since the boot. Raises HoldfastError, OSError."""
    os.close(open_private(store.places.run))
    sweep(store)
    os.close(os.open(store.places.swept, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def _directories(store: Store) -> Iterator[str]:
    for container_id in store.ids():
        try:
            os.stat(
                os.fsencode(container_id) + b"/" + RECORD_FILE,
                dir_fd=store.containers_fd,
                follow_symlinks=False,
            )
        except FileNotFoundError:
            store.remove_directory(container_id)
            yield f"directory of container {container_id}"


def _names(store: Store) -> Iterator[str]:
    there = set(store.ids())
    for name in os.listdir(store.names_fd):
        container_id = store.id_of_name(name)
        if container_id is not None and container_id not in there:
            os.unlink(name, dir_fd=store.names_fd)
            yield f"name {name}"


def _sockets(store: Store) -> Iterator[str]:
    run = store.places.run
    for kind in _WITH_SOCKETS:
        try:
            names = os.listdir(run + b"/" + kind)
        except FileNotFoundError:
            continue
        for name in names:
            directory = b"/".join((run, kind, name))
            if not _has_shim(directory):
                sockets.remove(directory)
                yield f"sockets of {os.fsdecode(kind)}/{os.fsdecode(name)}"


def _runtime_state(store: Store) -> Iterator[str]:
    """Remove what the runtime keeps of containers that don't run and whose shim is gone."""
    for container_id in container_ids(store.places.runtime):
        if not words.is_id(container_id) or _has_shim(store.places.run_dir(container_id)):
            continue
        with open_container(store.places.runtime, container_id) as container:
            ended = container.status() == "stopped"
        if ended:
            delete(store.places.runtime, container_id, force=True)
            yield f"runtime state of container {container_id}"


def _has_shim(directory: bytes) -> bool:
    """Whether a shim has its sockets in a directory, or whoever launches one holds the directory's lock."""
    try:
        fd = os.open(directory, OPEN_DIRECTORY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        link = open_link(directory)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    if link is None:
        return False
    with link:
        return True
