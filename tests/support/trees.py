"""Makes a container's file tree as the runtime does, step by step, without the rest of a container."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from support.inits import MAPPED, USUAL, new_init

from holdfast.protocol.oci import config
from holdfast.runtime.mounts import build, devices, idmap, lock, mountinfo, propagation, root
from holdfast.runtime.mounts.plan import plan_mounts
from holdfast.runtime.mounts.sources import Sources, open_sources
from holdfast.runtime.namespaces.plan import plan_namespaces
from holdfast.runtime.procfs import Procfs
from holdfast.runtime.sys import process
from holdfast.runtime.sys.executor import Here

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from support.inits import Init

    from holdfast.runtime.mounts.cgroup import Hierarchy
    from holdfast.runtime.mounts.mountinfo import Mount
    from holdfast.runtime.mounts.plan import MountsPlan
    from holdfast.runtime.paths import Rootfs
    from holdfast.runtime.sys.call import Value

    JSON = Mapping[str, object]

PROC: JSON = {"destination": "/proc", "type": "proc", "source": "proc"}
DEV: JSON = {
    "destination": "/dev",
    "type": "tmpfs",
    "source": "tmpfs",
    "options": ["nosuid", "mode=755", "size=65536k"],
}
PTS: JSON = {
    "destination": "/dev/pts",
    "type": "devpts",
    "source": "devpts",
    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
}
SHM: JSON = {
    "destination": "/dev/shm",
    "type": "tmpfs",
    "source": "shm",
    "options": ["nosuid", "noexec", "mode=1777"],
}
MQUEUE: JSON = {
    "destination": "/dev/mqueue",
    "type": "mqueue",
    "source": "mqueue",
    "options": ["nosuid", "noexec"],
}
SYS: JSON = {
    "destination": "/sys",
    "type": "sysfs",
    "source": "sysfs",
    "options": ["nosuid", "noexec", "nodev", "ro"],
}
DEFAULT_MOUNTS: tuple[JSON, ...] = (PROC, DEV, PTS, SHM, MQUEUE, SYS)

ID_MAPPINGS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
NAMESPACES = ("mount", "pid", "ipc", "uts", "network")


def parse(
    rootfs: Path | str,
    mounts: Sequence[JSON] = DEFAULT_MOUNTS,
    *,
    userns: bool = False,
    namespaces: Sequence[str] = NAMESPACES,
    readonly: bool = False,
    **linux: object,
) -> config.Config:
    """Return a configuration; `linux` are more of its members, as the spec names them."""
    linux["namespaces"] = [{"type": name} for name in (*namespaces, *(["user"] if userns else []))]
    if userns:
        linux |= {"uidMappings": ID_MAPPINGS, "gidMappings": ID_MAPPINGS}
    return msgspec.convert(
        {
            "ociVersion": "1.2.0",
            "root": {"path": os.fspath(rootfs), "readonly": readonly},
            "mounts": list(mounts),
            "linux": linux,
        },
        config.Config,
    )


def plan(
    parsed: config.Config, bundle: bytes = b"/nowhere", hierarchies: Sequence[Hierarchy] = ()
) -> MountsPlan:
    """Plan it."""
    return plan_mounts(parsed, bundle, plan_namespaces(parsed.linux), hierarchies=hierarchies)


class Tree:
    """A container's file tree in the making. Its methods are the steps, in their order."""

    def __init__(
        self, init: Init, parsed: config.Config, bundle: bytes, hierarchies: Sequence[Hierarchy] = ()
    ) -> None:
        self.init = init
        self.x = init.x
        self.here = Here()
        self.plan = plan(parsed, bundle, hierarchies)
        self.rootfs: Rootfs
        self.sources = Sources()
        self.late: list[Value] = []
        self._is_pivoted = False

    def path(self, inside: str) -> Path:
        """Return a path by which this process reaches a file; an absolute link in it leads astray."""
        top = Path(f"/proc/{self.init.pid}/root")
        return (
            top / inside.lstrip("/")
            if self._is_pivoted
            else top / os.fsdecode(self.plan.rootfs)[1:] / inside.lstrip("/")
        )

    def mounts(self) -> dict[str, Mount]:
        """Return what is mounted, by mount point; of several on one the topmost. After the pivot."""
        return {os.fsdecode(one.point): one for one in mountinfo.parse(self.init.mountinfo())}

    def open(self) -> None:
        """Do what the parent does; here after the clone, since ids may be taken from the container."""
        self.sources = open_sources(self.here, self.plan)
        idmap.apply(self.here, Procfs.shared(self.here), self.plan, self.sources, self.init.pid)

    def attach(self, *, root_of_userns: bool) -> None:
        propagation.isolate(self.x)
        self.rootfs = root.attach_root(self.x, self.plan, self.sources)
        if root_of_userns:
            self.x.flush()
            self.init.become_root()
        self.x.flush()

    def mount(self) -> None:
        self.late = build.mount_all(self.x, self.rootfs, self.plan, self.sources)
        self.x.flush()

    def make_devices(self) -> None:
        devices.make_devices(self.x, self.rootfs, self.plan.devices, self.sources)
        self.x.flush()

    def pivot(self) -> None:
        root.pivot(self.x, self.rootfs)
        self.x.flush()
        self._is_pivoted = True

    def lock(self) -> None:
        lock.lock_paths(self.x, self.rootfs, self.plan, self.sources, self.late)
        self.x.flush()


@contextmanager
def tree(
    parsed: config.Config,
    bundle: Path | str = "/nowhere",
    *,
    flags: int = USUAL,
    hierarchies: Sequence[Hierarchy] = (),
) -> Iterator[Tree]:
    """Give the tree of a configuration, with an init, before its first step."""
    id_map = MAPPED if parsed.linux.uid_mappings else b""
    if any(one.type == "cgroup" for one in parsed.linux.namespaces):
        flags |= process.CLONE_NEWCGROUP
    with new_init(flags, id_map=id_map) as init:
        made = Tree(init, parsed, os.fsencode(bundle), hierarchies)
        try:
            made.open()
            made.attach(root_of_userns=bool(id_map))
            yield made
        finally:
            made.sources.close(made.here)


@contextmanager
def whole_tree(
    parsed: config.Config, bundle: Path | str = "/nowhere", *, hierarchies: Sequence[Hierarchy] = ()
) -> Iterator[Tree]:
    """Give the finished tree of a configuration, and an init that has it as its root."""
    with tree(parsed, bundle, hierarchies=hierarchies) as made:
        made.mount()
        made.make_devices()
        made.pivot()
        made.lock()
        yield made
