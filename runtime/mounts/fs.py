"""Mounts of a filesystem of their own: proc, tmpfs, devpts, and whatever else the kernel knows by a name.

The filesystem is configured one option at a time. With mount(2) the options are one string, and a path or a
label with a comma in it becomes an option of its own (`size=1m,upperdir=/etc`); here it stays a value.

Some filesystems belong to a namespace, the one of the process that makes them: procfs to its pid namespace,
sysfs to its network namespace, mqueue to its ipc namespace, cgroup to its cgroup namespace. So init makes
all of them.

Sources: fsopen(2), fsconfig(2), fsmount(2); tmpfs(5), proc(5), sysfs(5); runtime-spec, config.md "Mounts".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.sys import files, mount
from holdfast.runtime.sys.call import shown

if TYPE_CHECKING:
    from holdfast.runtime.mounts.entry import Entry
    from holdfast.runtime.paths import Rootfs
    from holdfast.runtime.sys.call import Executor, Value

    Options = tuple[tuple[bytes, bytes | None], ...]


class Filesystem(msgspec.Struct, frozen=True, kw_only=True):
    """A filesystem to make."""

    type: bytes
    source: bytes
    options: Options = ()
    """In the order of the configuration: a name with a value, or one that is a flag."""
    mode_of_target: bool = False
    """Whether its top gets the permissions of the directory that it hides, if there is one (tmpfs)."""
    copy_up: bool = False
    """Whether it gets a copy of what it hides (tmpfs)."""


def make(x: Executor, entry: Entry, what: Filesystem, attributes: int) -> Value:
    """Make the filesystem and return its mount, which is attached to nothing yet."""
    context = x.do(mount.fsopen(what.type))
    _configure(x, entry, context, (*what.options, (b"source", what.source)))
    x.do(mount.fsconfig_create(context))
    tree = x.do(mount.fsmount(context, attributes))
    x.do(files.close(context))
    return tree


def reconfigure(x: Executor, entry: Entry, mounted: Value, options: Options) -> None:
    """Change options of a filesystem that is mounted already."""
    context = x.do(mount.fspick(mounted, b""))
    _configure(x, entry, context, options)
    x.do(mount.fsconfig_reconfigure(context))
    x.do(files.close(context))


def _configure(x: Executor, entry: Entry, context: Value, options: Options) -> None:
    for key, value in options:
        x.subject = f"{entry.about}: option {shown(key if value is None else key + b'=' + value)}"
        x.do(mount.fsconfig_set(context, key, value))
    x.subject = entry.about


def options_for_target(x: Executor, rootfs: Rootfs, entry: Entry, what: Filesystem) -> Filesystem:
    """Return what is to be made, with the mode of the directory that it is going to hide, if there is one.

    A tmpfs is writable for everybody unless told otherwise. In place of a directory that only its owner
    could read that would be a surprise. It takes a look, and so a round trip, which the others don't need.
    """
    (hidden,) = rootfs.find_all([entry.destination], files.O_DIRECTORY_PATH)
    if hidden is None:
        return what
    x.do(files.close(hidden.fd))
    mode = b"%o" % (hidden.stat.mode & 0o7777)
    return msgspec.structs.replace(what, options=(*what.options, (b"mode", mode)))
