"""The cgroup filesystems that a container sees: the unified hierarchy, or a directory for each old one.

With a cgroup namespace of its own the container gets fresh mounts, of which the top is the container's own
cgroup. Without one it cannot be shut in by a mount: a fresh mount of cgroup2 would show the whole machine's
tree and, made outside a cgroup namespace, even change the options of the host's mount. So then the host's
tree is bound, and of the old hierarchies the container's own directory.

Source: cgroup_namespaces(7), cgroups(7); runtime-spec, config-linux.md "Default Filesystems".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.oci.names import MOUNT_ATTR_RDONLY
from holdfast.runtime.mounts.bind import Bind
from holdfast.runtime.mounts.entry import Links
from holdfast.runtime.mounts.fs import Filesystem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.runtime.mounts.entry import Entry
    from holdfast.runtime.namespaces.plan import NamespacesPlan

UNIFIED = b"/sys/fs/cgroup"
_TMPFS_OPTIONS = ((b"mode", b"755"),)


class Hierarchy(msgspec.Struct, frozen=True, kw_only=True):
    """A cgroup hierarchy of the host, on a machine where there are several."""

    name: bytes
    """Of the directory that it is mounted on: `cpu,cpuacct`, `systemd`, `unified`."""
    options: tuple[tuple[bytes, bytes | None], ...]
    """What to mount it by: `cpu`, `cpuacct`; `none`, `name=systemd`; nothing for the unified one."""
    type: bytes
    """`cgroup` or `cgroup2`."""
    directory: bytes
    """The container's cgroup in it, as a path of the host."""
    links: tuple[bytes, ...] = ()
    """Other names for the directory: `cpu` and `cpuacct`."""


def plan(
    entry: Entry, what: Filesystem, hierarchies: Sequence[Hierarchy], namespaces: NamespacesPlan
) -> Sequence[Entry]:
    """Return the mounts that a `cgroup` or `cgroup2` of the configuration stands for.

    hierarchies: empty on a machine with the unified hierarchy alone.
    """
    replace = msgspec.structs.replace
    has_namespace = namespaces.has("cgroup")
    if what.type == b"cgroup2" or not hierarchies:
        if has_namespace:
            return [replace(entry, what=replace(what, type=b"cgroup2"))]
        bind = Bind(source=UNIFIED, recursive=True)
        return [replace(entry, what=bind, attributes=entry.attributes.for_tree())]
    attributes = entry.attributes if has_namespace else entry.attributes.for_tree()
    is_readonly = bool(entry.attributes.set & MOUNT_ATTR_RDONLY)
    top = Filesystem(type=b"tmpfs", source=what.source, options=_TMPFS_OPTIONS)
    entries = [replace(entry, what=top, locked_late=is_readonly)]
    for one in hierarchies:
        destination = entry.destination + b"/" + one.name
        entries.append(
            replace(
                entry,
                field=f"{entry.field} ({os.fsdecode(one.name)})",
                about=f"{entry.about}: {os.fsdecode(one.name)}",
                destination=destination,
                what=_hierarchy(one, fresh=has_namespace),
                attributes=attributes,
            )
        )
    links = tuple((link, one.name) for one in hierarchies for link in one.links)
    return [*entries, replace(entry, field=f"{entry.field} (links)", what=Links(links))]


def _hierarchy(one: Hierarchy, *, fresh: bool) -> Filesystem | Bind:
    if fresh:
        return Filesystem(type=one.type, source=one.type, options=one.options)
    return Bind(source=one.directory, recursive=True)
