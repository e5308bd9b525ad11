"""What is mounted from the host: opened once, before anything is done with it.

Every path of the host that the configuration names is resolved here and nowhere else. What comes of it is a
clone that is mounted nowhere, loosened from the host, and handed to init as a descriptor: nobody can put
something else in its place, and init needs no right to reach it.

With the rights of root the parent opens. Without, init does: only in its own user namespace has it the right
to clone a mount. The functions are the same.

Sources: open_tree(2), mount_setattr(2).
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING, NamedTuple

from holdfast.protocol.errors import ConfigError, HoldfastError, Problem
from holdfast.runtime.mounts import propagation
from holdfast.runtime.mounts.bind import Bind, Source
from holdfast.runtime.sys import files, mount
from holdfast.runtime.sys.call import CallFailed, Out, Passed, shown
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from holdfast.runtime.mounts.devices import Device
    from holdfast.runtime.mounts.entry import Entry
    from holdfast.runtime.mounts.plan import MountsPlan
    from holdfast.runtime.sys.call import Arg, Executor, Value

_HARMLESS = mount.MOUNT_ATTR_NOSUID | mount.MOUNT_ATTR_NOEXEC
_NULL_DEVICE = (1, 3)
_PROC_ROOT_INODE = 1
_BATCH_CALLS = 400


class Sources:
    """Clones, by what they are for."""

    def __init__(self) -> None:
        """Begin with nothing opened."""
        self.rootfs: Source
        self.null: Source
        """The host's /dev/null, read-only; only if there are paths to mask."""
        self.binds: dict[str, Source] = {}
        """By the field of the entry."""
        self.devices: dict[bytes, Source] = {}
        """By path; only if the container's devices are bound."""
        self.opened: list[Value] = []

    def close(self, x: Executor) -> None:
        """Close all. By whom it was opened, when init has mounted what it wants of it."""
        while self.opened:
            x.do(files.close(self.opened.pop()))


class _Clone(NamedTuple):
    """A clone with what has been asked about it; the answers are there after a flush."""

    tree: Value
    status: Out
    filesystem: Out

    @property
    def stat(self) -> files.Stat:
        return files.Stat.of(self.status)

    def source(self) -> Source:
        """Return it for use, when the answers are there."""
        tree: Arg = Passed(self.tree) if isinstance(self.tree, int) else self.tree
        return Source(tree, stat.S_ISDIR(self.stat.mode))


def open_sources(x: Executor, plan: MountsPlan) -> Sources:
    """Open everything of the host that the container is made from.

    Needs: nothing of the container; in init, that its mount namespace is there. Gives clones, loosened from
    the host, without their attributes yet. Raises CallFailed, ConfigError for a source that cannot be what
    it is for, HoldfastError.
    """
    sources = Sources()
    try:
        _open_all(x, plan, sources)
    except CallFailed as error:
        sources.close(x)
        if error.errno == errno.ENOSYS:
            raise HoldfastError(f"{error}; needed: Linux 5.12 or later, for {error.call.name}") from error
        raise
    except BaseException:
        sources.close(x)
        raise
    return sources


def _open_all(x: Executor, plan: MountsPlan, sources: Sources) -> None:
    x.subject = f"root.path: open {shown(plan.rootfs)}"
    rootfs = _clone(x, sources, plan.rootfs, recursive=True)
    propagation.cut_off_wholly(x, rootfs.tree)
    binds = [
        (entry, _open_bind(x, sources, entry, entry.what, plan))
        for entry in plan.mounts
        if isinstance(entry.what, Bind)
    ]
    null = _open_null(x, sources) if plan.masked_paths else None
    devices = [_open_device(x, sources, device) for device in plan.devices.bound_nodes()]
    x.subject = ""
    x.flush()

    sources.rootfs = rootfs.source()
    if not sources.rootfs.is_directory:
        raise ConfigError([Problem("root.path", plan.rootfs, "a directory", "is not a directory")])
    for entry, clone in binds:
        _check_procfs(entry, clone)
        sources.binds[entry.field] = clone.source()
    if null is not None:
        if not stat.S_ISCHR(null.stat.mode) or null.stat.rdev != _NULL_DEVICE:
            raise HoldfastError("open the host's /dev/null: it is not the null device")
        sources.null = null.source()
    for device, clone in devices:
        sources.devices[device.path] = clone.source()


def _clone(
    x: Executor, sources: Sources, path: bytes, *, recursive: bool = False, nofollow: bool = False
) -> _Clone:
    if x.pending > _BATCH_CALLS:
        x.flush()
    tree = x.do(mount.open_tree(AT_FDCWD, path, recursive=recursive, nofollow=nofollow))
    sources.opened.append(tree)
    clone = _Clone(tree, files.new_stat(), Out(files.STATFS_SIZE))
    x.do(files.statx(tree, b"", clone.status))
    return clone


def _open_bind(x: Executor, sources: Sources, entry: Entry, what: Bind, plan: MountsPlan) -> _Clone:
    x.subject = entry.about
    clone = _clone(x, sources, what.source, recursive=what.recursive, nofollow=what.nofollow)
    x.do(files.fstatfs(clone.tree, clone.filesystem))
    propagation.cut_off(x, clone.tree, plan.propagation)
    return clone


def _open_null(x: Executor, sources: Sources) -> _Clone:
    x.subject = "open the host's /dev/null"
    clone = _clone(x, sources, b"/dev/null")
    propagation.cut_off_wholly(x, clone.tree)
    x.do(mount.mount_setattr(clone.tree, set_=mount.MOUNT_ATTR_RDONLY | _HARMLESS))
    return clone


def _open_device(x: Executor, sources: Sources, device: Device) -> tuple[Device, _Clone]:
    x.subject = f"{device.field}: open the host's {shown(device.path)}"
    clone = _clone(x, sources, device.path)
    propagation.cut_off_wholly(x, clone.tree)
    x.do(mount.mount_setattr(clone.tree, set_=_HARMLESS))
    return device, clone


def _check_procfs(entry: Entry, clone: _Clone) -> None:
    """Refuse to put at /proc what is no whole procfs: programs trust what is there (CVE-2019-19921)."""
    is_procfs = files.filesystem_of(clone.filesystem) == files.PROC_SUPER_MAGIC
    if entry.at_proc and not (is_procfs and clone.stat.inode == _PROC_ROOT_INODE):
        raise ConfigError([Problem(entry.field, entry.about, "the top of a procfs, for /proc")])
