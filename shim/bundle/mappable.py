"""Which of the host's paths can be mounted with mapped ids: tried, and remembered until the mounts change.

To try costs a process and a detached mount for each path, some milliseconds in all, and the answer
is the same until something is mounted or unmounted there. So it is kept in the run directory, under
a key that is made of what is mounted at and below the paths; after a reboot that directory is
empty.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.durable import read_ours, write_durably
from holdfast.runtime.mounts.bind import IdMap
from holdfast.runtime.mounts.idmap import can_map
from holdfast.runtime.namespaces.plan import id_map
from holdfast.runtime.procfs import Procfs
from holdfast.runtime.sys.executor import here
from holdfast.shim.bundle.rootfs import NOBODY
from holdfast.shim.store.remove import mount_points

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE = b"mappable.json"
_FILE_MAX = 1 << 20


class _Remembered(msgspec.Struct):
    key: str
    paths: list[str]


def mappable_paths(paths: Sequence[str], run_fd: int) -> frozenset[str]:
    """Return those paths that can be bound with mapped ids, recursively. run_fd: an open directory of ours.

    Raises OSError.
    """
    key = _key(paths)
    try:
        known = msgspec.json.decode(read_ours(run_fd, _FILE, _FILE_MAX), type=_Remembered)
        if known.key == key:
            return frozenset(known.paths)
    except (OSError, HoldfastError, msgspec.MsgspecError):
        pass  # nothing that can be used: it is made anew
    nobody = id_map(NOBODY)
    ids = IdMap(nobody, nobody, recursive=True)
    found = [path for path in paths if can_map(here, Procfs.shared(), os.fsencode(path), ids)]
    write_durably(here, run_fd, _FILE, msgspec.json.encode(_Remembered(key=key, paths=found)))
    return frozenset(found)


def _key(paths: Sequence[str]) -> str:
    """Return a text that changes when what is mounted at or below the paths changes."""
    mounts = mount_points()
    parts = []
    for path in paths:
        status = os.stat(path)
        below = [point for point in mounts if point.startswith(os.fsencode(path) + b"/")]
        parts.append(f"{path} {status.st_dev} {sorted(below)}")
    return "; ".join(parts)
