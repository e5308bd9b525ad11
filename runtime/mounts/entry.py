"""A mount of the configuration, decided: what is mounted where, and what it is like. Values only.

Source: runtime-spec, config.md "Mounts".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from holdfast.runtime.mounts.bind import Bind
    from holdfast.runtime.mounts.fs import Filesystem


class Attributes(msgspec.Struct, frozen=True):
    """MOUNT_ATTR_ bits to set and to clear: of the mount alone, and of all that is mounted below it too."""

    set: int = 0
    clear: int = 0
    recursive_set: int = 0
    recursive_clear: int = 0

    def for_tree(self) -> Attributes:
        """Return the same for a mount and all below it: for a bind that takes the place of a filesystem."""
        return Attributes(
            recursive_set=self.set & ~self.recursive_clear | self.recursive_set,
            recursive_clear=self.clear | self.recursive_clear,
        )


class Propagation(msgspec.Struct, frozen=True):
    """How mounts and unmounts spread to and from copies of a mount. Source: mount_namespaces(7)."""

    flag: int
    """MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE."""
    recursive: bool


class Remount(msgspec.Struct, frozen=True):
    """No new mount: what is at the destination changes its attributes, and its filesystem its options."""

    options: tuple[tuple[bytes, bytes | None], ...]


class Links(msgspec.Struct, frozen=True):
    """No mount: symbolic links in the directory at the destination."""

    links: tuple[tuple[bytes, bytes], ...]
    """Name, and where it leads."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One mount."""

    field: str
    """Where it stands: `mounts[3]`."""
    about: str
    """What it is, for the sentence of an error: `mount "proc" on "/proc"`."""
    destination: bytes
    what: Filesystem | Bind | Remount | Links
    attributes: Attributes = Attributes()
    propagation: tuple[Propagation, ...] = ()
    """In the order of the options."""
    real_directory: bool = False
    """Whether no component of the destination may be a symbolic link."""
    nofollow: bool = False
    """Whether the destination, if it is a symbolic link, is the link itself."""
    at_proc: bool = False
    """Whether the destination is /proc, where nothing but a whole procfs may be."""
    in_proc: bool = False
    """Whether the destination is one of the files below /proc that may be replaced."""
    locked_late: bool = False
    """Whether the mount is made read-only at the end, since there is something to be made in it before."""
