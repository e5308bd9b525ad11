"""From the configuration to what the container's file tree will be: decisions; nothing is made or looked at.

Sources: runtime-spec, config.md "Root", "Mounts"; config-linux.md.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import ConfigError, Problem
from holdfast.protocol.oci import names
from holdfast.runtime.mounts import cgroup
from holdfast.runtime.mounts.bind import Bind, IdMap
from holdfast.runtime.mounts.devices import DevicesPlan, plan_devices
from holdfast.runtime.mounts.entry import Entry, Propagation, Remount, inside_proc
from holdfast.runtime.mounts.fs import Filesystem
from holdfast.runtime.mounts.options import parse
from holdfast.runtime.mounts.propagation import plan_propagation
from holdfast.runtime.namespaces.plan import id_map
from holdfast.runtime.paths import DEPTH_MAX, components
from holdfast.runtime.sys.call import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.protocol.oci import config
    from holdfast.runtime.mounts.cgroup import Hierarchy
    from holdfast.runtime.mounts.options import Options
    from holdfast.runtime.namespaces.plan import NamespacesPlan

_REPLACEABLE_IN_PROC = frozenset(
    b"cpuinfo diskstats loadavg meminfo net/dev slabinfo stat swaps uptime "
    b"sys/crypto/fips_enabled sys/kernel/ns_last_pid".split()
)
"""Files below /proc that may be replaced by others: what lxcfs provides, as runc has the list."""

_WITHOUT_A_DISK = frozenset(b"proc sysfs tmpfs devpts mqueue cgroup cgroup2".split())
"""Filesystems that stay writable themselves, and only their mounts are read-only: others may share them."""

_TTY_GROUP = 5


class MountsPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The container's file tree."""

    rootfs: bytes
    """Absolute path on the host."""
    readonly: bool
    propagation: Propagation | None
    """Of the rootfs, if the configuration asks for one."""
    mounts: tuple[Entry, ...]
    devices: DevicesPlan
    masked_paths: tuple[bytes, ...]
    readonly_paths: tuple[bytes, ...]


def plan_mounts(
    parsed: config.Config,
    bundle: bytes,
    namespaces: NamespacesPlan,
    *,
    hierarchies: Sequence[Hierarchy] = (),
    can_make_nodes: bool = True,
) -> MountsPlan:
    """Decide everything. Raises ConfigError with all that is wrong.

    bundle: absolute path, for relative ones. hierarchies: the cgroup hierarchies of the host, with the
    container's place in each. can_make_nodes: whether the runtime has CAP_MKNOD.
    """
    linux = parsed.linux
    problems: list[Problem] = []
    if not namespaces.has("mount"):
        problems += _needing_a_mount_namespace(parsed)
    planner = _Planner(parsed, bundle, namespaces, hierarchies, problems)
    mounts: list[Entry] = []
    for i, mount in enumerate(parsed.mounts):
        mounts += planner.plan(f"mounts[{i}]", mount)
    if problems:
        raise ConfigError(problems)
    dev_is_bind = any(one.destination == b"/dev" and isinstance(one.what, Bind) for one in mounts)
    return MountsPlan(
        rootfs=_below(bundle, parsed.root.path),
        readonly=parsed.root.readonly,
        propagation=plan_propagation(linux.rootfs_propagation),
        mounts=tuple(mounts),
        devices=plan_devices(
            linux.devices,
            bound=namespaces.has("user") or not can_make_nodes,
            dev_is_bind=dev_is_bind or not namespaces.has("mount"),
        ),
        masked_paths=tuple(os.fsencode(path) for path in linux.masked_paths),
        readonly_paths=tuple(os.fsencode(path) for path in linux.readonly_paths),
    )


def _needing_a_mount_namespace(parsed: config.Config) -> list[Problem]:
    """Return what cannot be done without: it would be done to the host."""
    asked = {
        "mounts": parsed.mounts,
        "root.readonly": parsed.root.readonly,
        "linux.devices": parsed.linux.devices,
        "linux.maskedPaths": parsed.linux.masked_paths,
        "linux.readonlyPaths": parsed.linux.readonly_paths,
        "linux.rootfsPropagation": parsed.linux.rootfs_propagation,
    }
    return [
        Problem(field, value, "nothing without a mount namespace", "would change the host's file tree")
        for field, value in asked.items()
        if value
    ]


def _below(bundle: bytes, path: str) -> bytes:
    """Return a path of the host; a relative one is below the bundle."""
    encoded = os.fsencode(path)
    return encoded if encoded.startswith(b"/") else bundle + b"/" + encoded


class _Planner:
    """Decides on mounts one by one, and notes what is wrong."""

    def __init__(
        self,
        parsed: config.Config,
        bundle: bytes,
        namespaces: NamespacesPlan,
        hierarchies: Sequence[Hierarchy],
        problems: list[Problem],
    ) -> None:
        self.linux = parsed.linux
        self.bundle = bundle
        self.namespaces = namespaces
        self.hierarchies = hierarchies
        self.problems = problems

    def plan(self, field: str, mount: config.Mount) -> Sequence[Entry]:
        """Return what a mount of the configuration stands for: itself, or several of cgroup hierarchies."""
        found = len(self.problems)
        destination = self._destination(field, mount)
        options = parse(mount.options, f"{field}.options", self.problems)
        what = self._what(field, mount, options)
        if what is None or len(self.problems) > found:
            return []
        place = _lexical(destination)
        at_proc = place == [b"proc"]
        in_proc = place[:1] == [b"proc"] and b"/".join(place[1:]) in _REPLACEABLE_IN_PROC
        if place[:1] == [b"proc"] and not in_proc and not (at_proc and _may_be_at_proc(what)):
            self.problems.append(inside_proc(field, destination))
        kind = what.type if isinstance(what, Filesystem) else b""
        is_late = kind == b"tmpfs" or (bool(kind) and place == [b"dev"])
        is_substitute = isinstance(what, Bind) and not self._asks_for_a_bind(mount, options)
        entry = Entry(
            field=field,
            about=f"mount {shown(_source(mount))} on {shown(destination)}",
            destination=destination,
            what=what,
            attributes=options.attributes.for_tree() if is_substitute else options.attributes,
            propagation=options.propagation,
            real_directory=kind in (b"proc", b"sysfs"),
            nofollow="dest-nofollow" in options.extensions,
            at_proc=at_proc,
            in_proc=in_proc,
            locked_late=is_late and options.has(names.MS_RDONLY),
        )
        if isinstance(what, Filesystem) and kind in (b"cgroup", b"cgroup2"):
            return cgroup.plan(entry, what, self.hierarchies, self.namespaces)
        return [entry]

    def _destination(self, field: str, mount: config.Mount) -> bytes:
        destination = os.fsencode(mount.destination)
        parts = components(destination)
        if not _lexical(destination):
            self.problems.append(Problem(f"{field}.destination", mount.destination, "a path below the root"))
        elif len(parts) > DEPTH_MAX:
            allowed = f"a path of at most {DEPTH_MAX} directories"
            self.problems.append(Problem(f"{field}.destination", mount.destination, allowed))
        return b"/" + b"/".join(parts)

    def _what(self, field: str, mount: config.Mount, options: Options) -> Filesystem | Bind | Remount | None:
        idmap = self._idmap(field, mount, options)
        if options.has(names.MS_REMOUNT):
            is_bind = options.has(names.MS_BIND)
            return Remount(() if is_bind else (*options.parameters, *options.data))
        if self._asks_for_a_bind(mount, options):
            return self._bind(field, mount, options, idmap)
        if not mount.type:
            allowed = "a filesystem; or bind or rbind in the options"
            self.problems.append(Problem(f"{field}.type", None, allowed))
            return None
        if idmap is not None:
            self.problems.append(Problem(f"{field}.options", "idmap", "on bind mounts only"))
        return self._filesystem(mount, options)

    @staticmethod
    def _asks_for_a_bind(mount: config.Mount, options: Options) -> bool:
        return options.has(names.MS_BIND) or mount.type == "bind"

    def _bind(self, field: str, mount: config.Mount, options: Options, idmap: IdMap | None) -> Bind | None:
        if options.data:
            key = os.fsdecode(options.data[0][0])
            allowed = "options of the spec, since a bind mount has no filesystem of its own"
            self.problems.append(Problem(f"{field}.options", key, allowed))
        if not mount.source:
            self.problems.append(Problem(f"{field}.source", None, "a path of the host, to bind"))
            return None
        return Bind(
            source=_below(self.bundle, mount.source),
            recursive=options.has(names.MS_REC),
            nofollow="src-nofollow" in options.extensions,
            idmap=idmap,
        )

    def _filesystem(self, mount: config.Mount, options: Options) -> Filesystem | Bind:
        kind = os.fsencode(mount.type)
        if kind == b"sysfs" and self.namespaces.has("user") and not self.namespaces.makes("network"):
            # The kernel gives a sysfs only to who owns the network namespace that it shows.
            return Bind(source=b"/sys", recursive=True)
        given = [*options.parameters, *(one for one in options.data if not self._is_unmapped_tty(kind, one))]
        if options.has(names.MS_RDONLY) and kind not in _WITHOUT_A_DISK:
            given.append((b"ro", None))
        is_tmpfs = kind == b"tmpfs"
        return Filesystem(
            type=kind,
            source=os.fsencode(mount.source or mount.type),
            options=tuple(given),
            mode_of_target=is_tmpfs and not any(key == b"mode" for key, _ in given),
            copy_up=is_tmpfs and "tmpcopyup" in options.extensions,
        )

    def _is_unmapped_tty(self, kind: bytes, option: tuple[bytes, bytes | None]) -> bool:
        """Whether it gives ptys to the group tty, where the user namespace has no such group."""
        if kind != b"devpts" or option != (b"gid", b"%d" % _TTY_GROUP) or not self.namespaces.makes("user"):
            return False
        mappings = self.linux.gid_mappings
        return not any(one.container_id <= _TTY_GROUP < one.container_id + one.size for one in mappings)

    def _idmap(self, field: str, mount: config.Mount, options: Options) -> IdMap | None:
        asked = options.extensions & {"idmap", "ridmap"}
        if bool(mount.uid_mappings) != bool(mount.gid_mappings):
            missing = "gidMappings" if mount.uid_mappings else "uidMappings"
            self.problems.append(Problem(f"{field}.{missing}", None, "a mapping of both, or of neither"))
        if not asked and not mount.uid_mappings:
            return None
        if not mount.uid_mappings and not self.namespaces.has("user"):
            allowed = "mappings, or a user namespace of the container to take them from"
            self.problems.append(Problem(f"{field}.uidMappings", None, allowed))
        recursive = "ridmap" in asked
        return IdMap(id_map(mount.uid_mappings), id_map(mount.gid_mappings), recursive)


def _may_be_at_proc(what: Filesystem | Bind | Remount) -> bool:
    """Whether it can be the container's /proc; of a bind the source is looked at when it is opened."""
    return isinstance(what, (Bind, Remount)) or what.type == b"proc"


def _lexical(destination: bytes) -> list[bytes]:
    """Return where a path leads if there are no links in it: for rules about names, not to open anything."""
    place: list[bytes] = []
    for name in components(destination):
        if name == b"..":
            del place[-1:]
        else:
            place.append(name)
    return place


def _source(mount: config.Mount) -> bytes:
    return os.fsencode(mount.source or mount.type)
