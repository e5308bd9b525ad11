"""Steps that make the container's file tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.runtime.mounts import build, console, devices, idmap, lock, propagation, root, sources
from holdfast.runtime.mounts.bind import Bind
from holdfast.runtime.paths import Rootfs
from holdfast.runtime.sys import files
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from holdfast.runtime.making import Making
    from holdfast.runtime.sys.call import Value


def open_sources(making: Making) -> None:
    """Open the rootfs and all that is bound into it."""
    making.sources = sources.open_sources(making.parent, making.plan.mounts)


def has_mapped_binds(making: Making) -> bool:
    """Whether a bind asks for ids of its own."""
    return any(isinstance(one.what, Bind) and one.what.idmap for one in making.plan.mounts.mounts)


def map_ids(making: Making) -> None:
    """Give the binds that ask for it their ids."""
    idmap.apply(making.parent, making.proc, making.plan.mounts, making.sources, making.pid)


def isolate(making: Making) -> None:
    """Cut the mount namespace off from the host's, and attach the rootfs in it."""
    propagation.isolate(making.init)
    making.rootfs = root.attach_root(making.init, making.plan.mounts, making.sources)


def mount_all(making: Making) -> None:
    """Mount what the configuration lists."""
    making.late = build.mount_all(making.init, making.rootfs, making.plan.mounts, making.sources)


def make_devices(making: Making) -> None:
    """Make device nodes and links."""
    devices.make_devices(making.init, making.rootfs, making.plan.mounts.devices, making.sources)


def mount_console(making: Making, pts: Value) -> None:
    """Put the terminal where programs look for the console."""
    console.mount_console(making.init, making.rootfs, pts)


def make_working_directory(making: Making) -> None:
    """Make the working directory, with those above it, if it is missing."""
    x = making.init
    x.subject = "process.cwd: make the directory"
    x.do(files.close(making.rootfs.directory(making.process.cwd)))
    x.subject = ""


def pivot(making: Making) -> None:
    """Make the rootfs the root."""
    x, plan = making.init, making.plan
    if plan.no_pivot:
        root.move_and_chroot(x, making.rootfs, making.proc.read(b"%d/mountinfo" % making.pid))
    else:
        root.pivot(x, making.rootfs)


def change_root(making: Making) -> None:
    """Make the rootfs the root of the process, without a mount namespace."""
    x = making.init
    making.rootfs = Rootfs(
        x, x.do(files.openat(AT_FDCWD, making.plan.mounts.rootfs, files.O_DIRECTORY_PATH))
    )
    root.change_root(x, making.rootfs)


def lock_paths(making: Making) -> None:
    """Make read-only what is to be, and hide what is not to be seen."""
    lock.lock_paths(making.init, making.rootfs, making.plan.mounts, making.sources, making.late)
