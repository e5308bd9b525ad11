"""A container's cgroup as it is kept on record, and how to be sure that it is still the same.

A path alone could lead to a cgroup that somebody else has made meanwhile under the same name, or, in a
record that was tampered with, anywhere. So the mount point is opened and has to be a cgroup filesystem; the
path goes downwards from there, never to the top itself, and the cgroup at its end has to bear the number
that the kernel gave to this one and gives to no other until the next boot.

Source: cgroups(7); openat2(2), RESOLVE_BENEATH.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.runtime.cgroups import tree
from holdfast.runtime.cgroups.detect import V2
from holdfast.runtime.cgroups.path import is_plain
from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import CallFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.runtime.sys.executor import Here


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The cgroup in one hierarchy."""

    mount: str
    version: int
    path: str
    """Below the mount, without a slash at its beginning."""
    number: int
    """Which the kernel has given to this cgroup alone: its inode number."""
    made: int = 0
    """How many directories at the end of the path were made for the container, and go with it."""
    controllers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a path that leads elsewhere. Raises ValueError, which msgspec tells as the record's."""
        if self.version not in tree.MAGIC or not self.mount.startswith("/") or not is_plain(self.path):
            raise ValueError(f"no cgroup can be at {quoted(self.path)} in {quoted(self.mount)}")
        if not 0 <= self.made <= self.path.count("/") + 1:
            raise ValueError(f"{self.made} directories are not in {quoted(self.path)}")

    def __str__(self) -> str:
        """Return how a sentence names it."""
        return f"cgroup {quoted(self.path)} in {quoted(self.mount)}"


class Cgroup(msgspec.Struct, frozen=True):
    """The cgroups of a container, at most one in each hierarchy. None at all: the machine gave none."""

    places: tuple[Place, ...] = ()

    @property
    def unified(self) -> Place | None:
        """The one of cgroup v2."""
        return next((place for place in self.places if place.version == V2), None)

    def holder(self, controller: str) -> Place | None:
        """Return the one that has the controller."""
        return next((place for place in self.places if controller in place.controllers), None)


def find(x: Here, top: int | None, place: Place) -> int | None:
    """Open a cgroup's directory below its open mount; None if it is gone, whoever has its name now."""
    fd = tree.open_below(x, top, place.path.encode()) if top is not None else None
    if fd is None:
        return None
    try:
        is_it = tree.identity(x, fd) == place.number
    except CallFailed:
        x.do(files.close(fd))
        raise
    if is_it:
        return fd
    x.do(files.close(fd))
    return None


@contextmanager
def opened(x: Here, place: Place) -> Iterator[int | None]:
    """Open a cgroup's directory for a while; None if it is gone."""
    with tree.mounted(x, place.mount, place.version) as top:
        fd = find(x, top, place)
        try:
            yield fd
        finally:
            if fd is not None:
                x.do(files.close(fd))


@contextmanager
def required(x: Here, place: Place) -> Iterator[int]:
    """Open a cgroup's directory for a while. Raises HoldfastError if it is gone."""
    with opened(x, place) as fd:
        if fd is None:
            raise HoldfastError(f"{place}: is gone")
        yield fd
