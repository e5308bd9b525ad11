"""From the configuration to what the container's file tree will be: decisions; nothing is made or looked at.

Sources: runtime-spec, config.md "Root", "Mounts"; config-linux.md.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import ConfigError, Problem
from holdfast.protocol.oci import names
from holdfast.protocol.oci.rules.mounts import PROC_FILES, cleaned
from holdfast.runtime.mounts import cgroup
from holdfast.runtime.mounts.bind import Bind, IdMap
from holdfast.runtime.mounts.devices import DevicesPlan, plan_devices
from holdfast.runtime.mounts.entry import Entry, Propagation, Remount
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
    """Decide everything, for a configuration that was checked. Raises ConfigError for what cannot be done.

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
        options = parse(mount.options, f"{field}.options", self.problems)
        what = self._what(field, mount, options)
        place = cleaned(mount.destination)
        destination = self._destination(field, mount)
        kind = what.type if isinstance(what, Filesystem) else b""
        is_late = kind == b"tmpfs" or (bool(kind) and place == "/dev")
        is_substitute = isinstance(what, Bind) and not options.has(names.MS_BIND)
        entry = Entry(
            field=field,
            about=f"mount {shown(os.fsencode(mount.source or mount.type))} on {shown(destination)}",
            destination=destination,
            what=what,
            attributes=options.attributes.for_tree() if is_substitute else options.attributes,
            propagation=options.propagation,
            real_directory=kind in (b"proc", b"sysfs"),
            nofollow="dest-nofollow" in options.extensions,
            at_proc=place == "/proc",
            in_proc=place in PROC_FILES,
            locked_late=is_late and options.has(names.MS_RDONLY),
        )
        if isinstance(what, Filesystem) and kind in (b"cgroup", b"cgroup2"):
            return cgroup.plan(entry, what, self.hierarchies, self.namespaces)
        return [entry]

    def _destination(self, field: str, mount: config.Mount) -> bytes:
        parts = components(os.fsencode(mount.destination))
        if len(parts) > DEPTH_MAX:
            allowed = f"a path of at most {DEPTH_MAX} directories"
            self.problems.append(Problem(f"{field}.destination", mount.destination, allowed, "is too deep"))
        return b"/" + b"/".join(parts)

    def _what(self, field: str, mount: config.Mount, options: Options) -> Filesystem | Bind | Remount:
        idmap = _idmap(mount, options)
        if options.has(names.MS_REMOUNT):
            is_bind = options.has(names.MS_BIND)
            return Remount(() if is_bind else (*options.parameters, *options.data))
        if options.has(names.MS_BIND):
            return Bind(
                source=_below(self.bundle, mount.source),
                recursive=options.has(names.MS_REC),
                nofollow="src-nofollow" in options.extensions,
                idmap=idmap,
            )
        if idmap is not None:
            self.problems.append(Problem(f"{field}.type", mount.type, "a bind mount", "cannot map ids"))
        return self._filesystem(mount, options)

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


def _idmap(mount: config.Mount, options: Options) -> IdMap | None:
    asked = options.extensions & {"idmap", "ridmap"}
    if not asked and not mount.uid_mappings:
        return None
    return IdMap(id_map(mount.uid_mappings), id_map(mount.gid_mappings), recursive="ridmap" in asked)
