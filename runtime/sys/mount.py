"""The mount API by descriptor.

A mount is made or cloned detached, finished while nobody can see it, then attached.

Sources: open_tree(2), fsopen(2), fsconfig(2), fsmount(2), move_mount(2), mount_setattr(2) of the man-pages
project; include/uapi/linux/mount.h.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from holdfast.runtime.sys.call import Arg, Call, Member, Struct, cstring, shown
from holdfast.runtime.sys.files import close
from holdfast.runtime.sys.numbers import AT_EMPTY_PATH, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.runtime.sys.call import Executor, Value

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = 0o2000000

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_IDMAP = 0x100000

MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

MNT_DETACH = 2

_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_FSCONFIG_CMD_RECONFIGURE = 7
_MOVE_MOUNT_FROM_EMPTY_PATH = 0x4
_MOVE_MOUNT_TO_EMPTY_PATH = 0x40


def open_tree(directory: Arg, path: bytes, *, recursive: bool = False, nofollow: bool = False) -> Call:
    """Clone what is mounted at a path (with what is below it, if recursive) as a detached mount.

    Source: open_tree(2), OPEN_TREE_CLONE.
    """
    flags = OPEN_TREE_CLOEXEC | OPEN_TREE_CLONE | (AT_RECURSIVE if recursive else 0)
    flags |= AT_SYMLINK_NOFOLLOW if nofollow else 0
    flags |= 0 if path else AT_EMPTY_PATH
    return Call(NUMBERS["open_tree"], "open_tree", (directory, cstring(path), flags), shown(path))


def fsopen(filesystem: bytes) -> Call:
    """Open a context to configure a new filesystem in. Source: fsopen(2)."""
    return Call(NUMBERS["fsopen"], "fsopen", (cstring(filesystem), 1), shown(filesystem))


def fsconfig_set(context: Arg, key: bytes, value: bytes | None = None) -> Call:
    """Set one option of a filesystem to come: a flag, or a string. Source: fsconfig(2)."""
    command = _FSCONFIG_SET_FLAG if value is None else _FSCONFIG_SET_STRING
    text: Arg = 0 if value is None else cstring(value)
    about = shown(key if value is None else key + b"=" + value)
    return Call(NUMBERS["fsconfig"], "fsconfig", (context, command, cstring(key), text, 0), about)


def fsconfig_create(context: Arg) -> Call:
    """Make the filesystem as configured. Source: fsconfig(2)."""
    return Call(NUMBERS["fsconfig"], "fsconfig", (context, _FSCONFIG_CMD_CREATE, 0, 0, 0), "create")


def fsconfig_reconfigure(context: Arg) -> Call:
    """Change the filesystem as configured. Source: fsconfig(2)."""
    return Call(
        NUMBERS["fsconfig"], "fsconfig", (context, _FSCONFIG_CMD_RECONFIGURE, 0, 0, 0), "reconfigure"
    )


def fspick(directory: Arg, path: bytes) -> Call:
    """Open a context to change an existing filesystem in. Source: fspick(2)."""
    flags = 1 | (8 if not path else 0)
    return Call(NUMBERS["fspick"], "fspick", (directory, cstring(path), flags), shown(path))


def fsmount(context: Arg, attributes: int = 0) -> Call:
    """Turn a created filesystem into a detached mount with these MOUNT_ATTR_ flags. Source: fsmount(2)."""
    return Call(NUMBERS["fsmount"], "fsmount", (context, 1, attributes))


def move_mount(mount: Arg, target: Arg, path: bytes = b"") -> Call:
    """Attach a detached mount (or move one) to the place that `target` is open on. Source: move_mount(2)."""
    flags = _MOVE_MOUNT_FROM_EMPTY_PATH | (0 if path else _MOVE_MOUNT_TO_EMPTY_PATH)
    args = (mount, cstring(b""), target, cstring(path), flags)
    return Call(NUMBERS["move_mount"], "move_mount", args, shown(path) if path else "")


def mount_setattr(
    mount: Arg,
    *,
    path: bytes = b"",
    set_: int = 0,
    clear: int = 0,
    propagation: int = 0,
    userns: Arg = 0,
    recursive: bool = False,
) -> Call:
    """Change attributes and propagation of an open mount, and of those below it.

    Source: mount_setattr(2).
    """
    flags = (AT_RECURSIVE if recursive else 0) | (AT_EMPTY_PATH if not path else 0)
    fixed = struct.pack("=QQQQ", set_, clear, propagation, 0)
    attributes = Struct(fixed, (Member(24, 8, userns),)) if userns else fixed
    return Call(NUMBERS["mount_setattr"], "mount_setattr", (mount, cstring(path), flags, attributes, 32))


def pivot_root(new: bytes, old: bytes) -> Call:
    """Make `new` the root mount and put the old one at `old`. Source: pivot_root(2)."""
    return Call(
        NUMBERS["pivot_root"], "pivot_root", (cstring(new), cstring(old)), f"{shown(new)} {shown(old)}"
    )


def umount2(path: bytes, flags: int = 0) -> Call:
    """Unmount what is topmost at the path. Source: umount(2)."""
    return Call(NUMBERS["umount2"], "umount2", (cstring(path), flags), shown(path))


def new_filesystem(
    x: Executor, filesystem: bytes, options: Sequence[tuple[bytes, bytes | None]], attributes: int
) -> Value:
    """Make a filesystem and return its detached mount: fsopen, fsconfig for each option, fsmount."""
    context = x.do(fsopen(filesystem))
    for key, value in options:
        x.do(fsconfig_set(context, key, value))
    x.do(fsconfig_create(context))
    mount = x.do(fsmount(context, attributes))
    x.do(close(context))
    return mount
