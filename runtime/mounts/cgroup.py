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
from holdfast.runtime.cgroups.detect import UNIFIED as UNIFIED_ALONE
from holdfast.runtime.cgroups.detect import V2
from holdfast.runtime.mounts.bind import Bind
from holdfast.runtime.mounts.entry import Links
from holdfast.runtime.mounts.fs import Filesystem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.runtime.cgroups import detect
    from holdfast.runtime.cgroups.detect import Host
    from holdfast.runtime.cgroups.plan import PlannedPlace
    from holdfast.runtime.mounts.entry import Entry
    from holdfast.runtime.namespaces.plan import NamespacesPlan

_UNIFIED_MOUNT = b"/sys/fs/cgroup"
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


def hierarchies_of(host: Host, places: Iterable[PlannedPlace]) -> tuple[Hierarchy, ...]:
    """Return the hierarchies, if the unified one is not alone, with the container's place in each."""
    if host.mode == UNIFIED_ALONE:
        return ()
    paths = {place.mount: place.path for place in places}
    return tuple(_hierarchy_of(one, paths[one.mount]) for one in host.hierarchies if one.mount in paths)


def _hierarchy_of(one: detect.Hierarchy, path: str) -> Hierarchy:
    mount = os.fsencode(one.mount)
    name = mount.rpartition(b"/")[2]
    directory = mount + b"/" + os.fsencode(path)
    if one.version == V2:
        return Hierarchy(name=name, options=(), type=b"cgroup2", directory=directory)
    options: list[tuple[bytes, bytes | None]] = [
        (controller.encode(), None) for controller in one.controllers
    ]
    if not options:
        options.append((b"none", None))
    if one.name:
        options.append((b"name", os.fsencode(one.name)))
    return Hierarchy(
        name=name,
        options=tuple(options),
        type=b"cgroup",
        directory=directory,
        links=tuple(controller.encode() for controller in one.controllers if controller.encode() != name),
    )


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
        bind = Bind(source=_UNIFIED_MOUNT, recursive=True)
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
