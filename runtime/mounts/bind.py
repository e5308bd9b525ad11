"""Bind mounts: a part of the host's tree, cloned and mounted into the container.

The clone is made by open_tree, once, and is what will be mounted, whatever happens to its path afterwards.
It is a mount of its own from the start, so what is changed about it (read-only, ids, propagation) changes
nothing on the host, and it is finished before it can be seen anywhere. That is done by mount_setattr, which
is why Holdfast needs Linux 5.12: with mount(2) a read-only bind is writable for a moment, and any mount
inside of it stays so.

Sources: open_tree(2), mount_setattr(2), move_mount(2); runtime-spec, config.md "Mounts".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from holdfast.runtime.sys import mount

if TYPE_CHECKING:
    from holdfast.runtime.mounts.entry import Attributes
    from holdfast.runtime.sys.call import Arg, Executor


class Bind(msgspec.Struct, frozen=True, kw_only=True):
    """What is bound. The source is an absolute path of the host."""

    source: bytes
    recursive: bool
    nofollow: bool = False
    """Whether the source, if it is a symbolic link, is bound itself."""
    idmap: IdMap | None = None
    """How owners are seen through the mount; None: as they are."""


class IdMap(msgspec.Struct, frozen=True):
    """The ids of an idmapped mount, in the form of /proc/PID/uid_map; both empty: those of the container."""

    uid_map: bytes
    gid_map: bytes
    recursive: bool


class Source(NamedTuple):
    """A clone that is mounted nowhere yet, as an argument of init's calls."""

    tree: Arg
    is_directory: bool


def set_attributes(x: Executor, tree: Arg, attributes: Attributes) -> None:
    """Change the attributes of a mount, and of those below it: only what was asked for, the rest stays."""
    if attributes.recursive_set or attributes.recursive_clear:
        set_, clear = attributes.recursive_set, attributes.recursive_clear
        x.do(mount.mount_setattr(tree, set_=set_, clear=clear, recursive=True))
    if attributes.set or attributes.clear:
        x.do(mount.mount_setattr(tree, set_=attributes.set, clear=attributes.clear))
