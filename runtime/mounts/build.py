"""Mounts what the configuration lists, in its order.

Each mount is made (fs.py) or was opened before (sources.py), and is finished while it is attached to
nothing. Its target is opened below the rootfs, by paths.py, made if it is missing, and the mount is attached
to that very descriptor: there is no moment between looking at a path and using it. All of it goes to init in
a few batches.

Source: runtime-spec, config.md "Mounts"; move_mount(2).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from holdfast.protocol.errors import ConfigError, HoldfastError, Problem
from holdfast.protocol.oci.rules.mounts import PROC_FILES
from holdfast.runtime.mounts import bind, copyup, fs, propagation
from holdfast.runtime.mounts.bind import Bind
from holdfast.runtime.mounts.entry import Links, Remount
from holdfast.runtime.mounts.fs import Filesystem
from holdfast.runtime.paths import in_order
from holdfast.runtime.sys import files, mount
from holdfast.runtime.sys.call import CallFailed, Out

if TYPE_CHECKING:
    from holdfast.runtime.mounts.entry import Entry
    from holdfast.runtime.mounts.plan import MountsPlan
    from holdfast.runtime.mounts.sources import Sources
    from holdfast.runtime.paths import Rootfs
    from holdfast.runtime.sys.call import Arg, Executor, Value


def mount_all(x: Executor, rootfs: Rootfs, plan: MountsPlan, sources: Sources) -> list[Value]:
    """Mount all.

    Needs: the rootfs attached, init root of its user namespace, in its cgroup namespace. Leaves the umask at
    0. Returns the mounts that lock.py is to make read-only in the end, as descriptors of init. Raises
    CallFailed, ConfigError for a destination that turns out to be in a procfs.
    """
    x.do(files.umask(0))  # what is made for a mount to be put on must be usable by everybody
    work = _Work(x, rootfs, sources)
    try:
        in_order(x, [lambda entry=entry: work.do(entry) for entry in plan.mounts])  # type: ignore[misc]
    except CallFailed as error:
        raise work.explained(error) from error
    x.subject = ""
    work.check_targets()
    return list(work.late.values())


class _Target(NamedTuple):
    """Where a mount goes, with what the kernel says of it once the calls have been carried out."""

    entry: Entry
    fd: Value
    filesystem: Out


class _Work:
    """The mounting, entry by entry. What is kept is kept by entry, since one may have to be repeated."""

    def __init__(self, x: Executor, rootfs: Rootfs, sources: Sources) -> None:
        self.x = x
        self.rootfs = rootfs
        self.sources = sources
        self.targets: dict[str, _Target] = {}
        self.late: dict[str, Value] = {}

    def do(self, entry: Entry) -> Value:
        """Put the calls for an entry into the batch, the lookups first. Returns the last one's result."""
        x, what = self.x, entry.what
        x.subject = entry.about
        match what:
            case Bind():
                return self._bind(entry)
            case Filesystem():
                return self._filesystem(entry, what)
            case Remount():
                return self._remount(entry, what)
            case Links():
                return self._link(entry, what)

    def check_targets(self) -> None:
        """Raise ConfigError for a destination that a link has led into a procfs."""
        for entry, _, filesystem in self.targets.values():
            on_procfs = files.filesystem_of(filesystem) == files.PROC_SUPER_MAGIC
            if on_procfs and not (entry.at_proc or entry.in_proc):
                why = "cannot be mounted because it is inside /proc"
                raise ConfigError(
                    [Problem(f"{entry.field}.destination", entry.destination, ", ".join(PROC_FILES), why)]
                )

    def explained(self, error: CallFailed) -> Exception:
        """Return the error in words that help, where the kernel's own don't."""
        target = next((one for one in self.targets.values() if one.entry.about == error.operation), None)
        if target is None:
            return error
        entry = target.entry
        if error.errno == errno.ELOOP and entry.real_directory:
            allowed = "a path in which nothing is a symbolic link"
            return ConfigError([Problem(f"{entry.field}.destination", entry.destination, allowed)])
        if error.errno == errno.EINVAL and error.call.name == "move_mount":
            source = self.sources.binds.get(entry.field)
            if source and source.is_directory != self._is_directory(target.fd):
                # Docker looks for "not a directory", and explains.
                return HoldfastError(f"{entry.about}: {os.strerror(errno.ENOTDIR)}")
        return error

    def _is_directory(self, target: Value) -> bool:
        status = files.new_stat()
        self.x.do(files.statx(target, b"", status))
        self.x.flush()
        return stat.S_ISDIR(files.Stat.of(status).mode)

    def _bind(self, entry: Entry) -> Value:
        source = self.sources.binds[entry.field]
        target = self._target(entry, is_directory=source.is_directory)
        bind.set_attributes(self.x, source.tree, entry.attributes)
        return self._attach(entry, source.tree, target)

    def _filesystem(self, entry: Entry, what: Filesystem) -> Value:
        x = self.x
        if what.mode_of_target:
            what = fs.options_for_target(x, self.rootfs, entry, what)
        target = self._target(entry, is_directory=True)
        given = entry.attributes
        attributes = given.set & ~given.recursive_clear | given.recursive_set
        if entry.locked_late:
            attributes &= ~mount.MOUNT_ATTR_RDONLY
        tree = fs.make(x, entry, what, attributes)
        if what.copy_up:
            copyup.copy(x, target, tree)
            x.subject = entry.about
        if not entry.locked_late:
            self._attach(entry, tree, target)
            return x.do(files.close(tree))
        self.late[entry.field] = tree
        return self._attach(entry, tree, target)

    def _remount(self, entry: Entry, what: Remount) -> Value:
        target = self._opened(entry, self.rootfs.look(entry.destination, files.O_PATH))
        if what.options:
            fs.reconfigure(self.x, entry, target, what.options)
        bind.set_attributes(self.x, target, entry.attributes)
        return self.x.do(files.close(target))

    def _link(self, entry: Entry, what: Links) -> Value:
        directory = self.rootfs.directory(entry.destination)
        for name, target in what.links:
            self.x.do(files.symlinkat(target, directory, name).accepting(errno.EEXIST))
        return self.x.do(files.close(directory))

    def _target(self, entry: Entry, *, is_directory: bool) -> Value:
        """Open the place for a mount; make it, if it is missing."""
        resolve = files.RESOLVE_NO_SYMLINKS if entry.real_directory else 0
        if is_directory:
            return self._opened(entry, self.rootfs.directory(entry.destination, resolve=resolve))
        return self._opened(entry, self.rootfs.file(entry.destination, nofollow=entry.nofollow))

    def _opened(self, entry: Entry, target: Value) -> Value:
        filesystem = Out(files.STATFS_SIZE)
        self.targets[entry.field] = _Target(entry, target, filesystem)
        self.x.do(files.fstatfs(target, filesystem))
        return target

    def _attach(self, entry: Entry, tree: Arg, target: Value) -> Value:
        self.x.do(mount.move_mount(tree, target))
        for one in entry.propagation:
            propagation.apply(self.x, tree, one)
        return self.x.do(files.close(target))
