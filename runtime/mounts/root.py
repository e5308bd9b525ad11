"""The rootfs: attached where the bundle has it, then made the root, with nothing of the host left in reach.

pivot_root swaps the root mount of the mount namespace, so the host's tree can be unmounted; chroot would
only hide it from path lookups, and whoever may call chroot again, with a directory open, walks out. The
rootfs is a clone of the bundle's, private from the start, so neither pivot_root nor a mount below it can be
seen on the host.

Sources: pivot_root(2), its NOTES on `pivot_root(".", ".")`; chroot(2); runtime-spec, config.md "Root".
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from holdfast.runtime.mounts.mountinfo import below, parse
from holdfast.runtime.paths import Rootfs
from holdfast.runtime.sys import files, mount
from holdfast.runtime.sys.call import number_of, shown
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.runtime.mounts.mountinfo import Mount
    from holdfast.runtime.mounts.plan import MountsPlan
    from holdfast.runtime.mounts.sources import Sources
    from holdfast.runtime.sys.call import Executor

_LOWEST_FD = 10
"""Where init keeps descriptors of its own."""
_HOLES = (b"proc", b"sysfs")


def attach_root(x: Executor, plan: MountsPlan, sources: Sources) -> Rootfs:
    """Mount the rootfs at its own path in init's mount namespace, where hooks look for it.

    Needs: `propagation.isolate`. In a user namespace: that init has not yet become root of it, which may not
    be able to reach the path. Gives the rootfs, for all that is done below it.
    """
    x.subject = f"mount the rootfs on {shown(plan.rootfs)}"
    target = x.do(files.openat(AT_FDCWD, plan.rootfs, files.O_DIRECTORY_PATH))
    x.do(mount.move_mount(sources.rootfs.tree, target))
    x.do(files.close(target))
    rootfs = Rootfs(x, x.do(files.dup_above(sources.rootfs.tree, _LOWEST_FD)))
    x.subject = ""
    return rootfs


def pivot(x: Executor, rootfs: Rootfs) -> None:
    """Make the rootfs the root of init's mount namespace, unmount the host's tree, and change to `/`.

    Needs: all that has to be found on the host, found.
    """
    x.subject = "make the rootfs the root"
    old = x.do(files.openat(AT_FDCWD, b"/", files.O_DIRECTORY_PATH))
    x.do(files.fchdir(rootfs.fd))
    x.do(mount.pivot_root(b".", b"."))
    # Now the old root lies on top of the new one. Gone there by its descriptor, "." is the one to unmount.
    x.do(files.fchdir(old))
    # Unmounting it must not unmount anything on the host.
    x.do(mount.mount_setattr(old, propagation=mount.MS_SLAVE, recursive=True))
    x.do(mount.umount2(b".", mount.MNT_DETACH))
    x.do(files.chdir(b"/"))
    x.do(files.close(old))
    x.subject = ""


def move_and_chroot(x: Executor, rootfs: Rootfs, mountinfo: bytes) -> None:
    """Make the rootfs the root without pivot_root, which refuses where the root is a ramfs (`--no-pivot`).

    The host's tree stays mounted, below the rootfs; a container that may call chroot can get there. The
    worst that it would find goes, or is covered: the procfs and sysfs of the host.

    mountinfo: content of /proc/PID/mountinfo of init.
    """
    x.subject = "unmount the host's procfs and sysfs"
    status = files.new_stat()
    x.do(files.statx(rootfs.fd, b"", status))
    x.flush()
    for place in _holes(parse(mountinfo), files.Stat.of(status).mount):
        # One that came with a user namespace is locked in its place.
        gone = x.do(mount.umount2(place, mount.MNT_DETACH).accepting(errno.EINVAL))
        x.flush()
        if number_of(gone) < 0:
            _cover(x, place)
    x.subject = "move the rootfs to the root"
    x.do(mount.move_mount(rootfs.fd, AT_FDCWD, b"/"))
    x.subject = ""
    change_root(x, rootfs)


def _holes(mounts: Sequence[Mount], rootfs_id: int) -> list[bytes]:
    """Return the mount points of procfs and sysfs outside the rootfs, the latest first."""
    inside = below(mounts, rootfs_id)
    return [one.point for one in reversed(mounts) if one.type in _HOLES and one.id not in inside]


def _cover(x: Executor, place: bytes) -> None:
    empty = mount.new_filesystem(x, b"tmpfs", [(b"nr_inodes", b"1")], mount.MOUNT_ATTR_RDONLY)
    x.do(mount.move_mount(empty, AT_FDCWD, place))
    x.do(files.close(empty))


def change_root(x: Executor, rootfs: Rootfs) -> None:
    """Make the rootfs the root of the process alone: for a container without a mount namespace."""
    x.subject = "make the rootfs the root"
    x.do(files.fchdir(rootfs.fd))
    x.do(files.chroot(b"."))
    x.do(files.chdir(b"/"))
    x.subject = ""
