"""Paths that a container must not read, or not write: parts of /proc and /sys that are the whole machine's.

A file is covered with the null device, a directory with an empty, read-only tmpfs. Neither is looked up in
the container, where somebody could have put something else in its place (CVE-2025-31133): the null device is
the host's, opened and checked before the container existed, and the tmpfs is made here. One of each serves
for all paths: the first is attached, the others are clones of it.

A path that is to be read-only is bound onto itself, with everything below it, and the bind is made
read-only.

What does not exist needs no protection and is skipped; any other error is one, so that nothing stays open by
mistake.

Sources: runtime-spec, config-linux.md "Masked Paths", "Readonly Paths"; tmpfs(5), mount_setattr(2).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from holdfast.runtime.sys import files, mount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast.runtime.mounts.sources import Sources
    from holdfast.runtime.paths import Rootfs
    from holdfast.runtime.sys.call import Arg, Executor, Value

_EMPTY = [(b"nr_blocks", b"1"), (b"nr_inodes", b"1"), (b"mode", b"0755"), (b"source", b"tmpfs")]
"""A tmpfs in which nothing can be made: its only inode is its top. A `size=0` would mean no limit."""
_SAFE = mount.MOUNT_ATTR_NOSUID | mount.MOUNT_ATTR_NODEV | mount.MOUNT_ATTR_NOEXEC
_LOCKED = mount.MOUNT_ATTR_RDONLY | _SAFE
_PER_BATCH = 50


class _Stamp:
    """A mount that is put on many places: itself on the first one, clones of it on the others."""

    def __init__(self, tree: Arg) -> None:
        self._tree = tree
        self._is_attached = False

    def put(self, x: Executor, target: Value) -> None:
        if not self._is_attached:
            x.do(mount.move_mount(self._tree, target))
            self._is_attached = True
            return
        # Cloning one that is attached works on any kernel; a detached one, only on recent ones.
        clone = x.do(mount.open_tree(self._tree, b""))
        x.do(mount.move_mount(clone, target))
        x.do(files.close(clone))


def mask(x: Executor, rootfs: Rootfs, paths: Sequence[bytes], sources: Sources) -> None:
    """Hide what is at the paths. Needs `sources.null`, and that all writing to those places is over."""
    x.subject = "make an empty directory to mask with"
    empty_fd = mount.new_filesystem(x, b"tmpfs", _EMPTY, _LOCKED)
    null, empty = _Stamp(sources.null.tree), _Stamp(empty_fd)
    for path, target, is_directory in _look(x, rootfs, paths):
        x.subject = f'mask "{os.fsdecode(path)}"'
        (empty if is_directory else null).put(x, target)
        x.do(files.close(target))
    x.do(files.close(empty_fd))
    x.subject = ""


def make_readonly(x: Executor, rootfs: Rootfs, paths: Sequence[bytes]) -> None:
    """Make the paths, and what is mounted below them, read-only."""
    for path, target, _ in _look(x, rootfs, paths):
        x.subject = f'make "{os.fsdecode(path)}" read-only'
        clone = x.do(mount.open_tree(target, b"", recursive=True))
        x.do(mount.mount_setattr(clone, set_=mount.MOUNT_ATTR_RDONLY, recursive=True))
        x.do(mount.move_mount(clone, target))
        x.do(files.close(clone))
        x.do(files.close(target))
    x.subject = ""


def _look(x: Executor, rootfs: Rootfs, paths: Sequence[bytes]) -> Iterator[tuple[bytes, Value, bool]]:
    """Open what there is of the paths; yields path, descriptor, and whether it is a directory."""
    for begin in range(0, len(paths), _PER_BATCH):
        some = paths[begin : begin + _PER_BATCH]
        x.subject = "look for the paths to mask and to make read-only"
        for path, found in zip(some, rootfs.find_all(some), strict=True):
            if found is not None:
                yield path, found.fd, stat.S_ISDIR(found.stat.mode)
