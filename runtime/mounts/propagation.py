"""Propagation: which mounts and unmounts are seen in which mount namespaces.

A new mount namespace is a copy of the old one, and copies of a shared mount stay in touch: what is mounted
below one appears below the others. On a machine that systemd has booted everything is shared. So before
anything is mounted for the container, its copy of the host's tree is made a slave: from the host events
still come, to the host none go.

What is mounted into the container comes straight from the host's namespace, as clones, and a clone of a
shared mount is shared with it too. `linux.rootfsPropagation` decides what becomes of that: only with
`shared` it stays so, and a volume can be used to hand mounts to the host. The rootfs itself is private until
it is the root; what is asked for it is given it then, since before an event could still have reached the
host.

Sources: mount_namespaces(7), "Shared subtrees"; runtime-spec, config-linux.md "Rootfs Mount Propagation".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.oci.names import MS_REC, PROPAGATION
from holdfast.runtime.mounts.entry import Propagation
from holdfast.runtime.sys import mount
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from holdfast.runtime.paths import Rootfs
    from holdfast.runtime.sys.call import Arg, Executor

_SLAVE = Propagation(mount.MS_SLAVE, recursive=True)
_PRIVATE = Propagation(mount.MS_PRIVATE, recursive=True)


def plan_propagation(name: str) -> Propagation | None:
    """Decide for the rootfs; None if the configuration does not care."""
    return named(name) if name else None


def named(name: str) -> Propagation:
    """Return what a name of the table stands for."""
    flags = PROPAGATION[name]
    return Propagation(flags & ~MS_REC, recursive=bool(flags & MS_REC))


def isolate(x: Executor) -> None:
    """Cut the new mount namespace off: nothing mounted in it reaches the host. Before its first mount."""
    x.subject = "stop mount events to the host"
    call = mount.mount_setattr(AT_FDCWD, path=b"/", propagation=_SLAVE.flag, recursive=True)
    x.do(call)
    x.subject = ""


def apply(x: Executor, fd: Arg, propagation: Propagation) -> None:
    """Set the propagation of a mount."""
    x.do(mount.mount_setattr(fd, propagation=propagation.flag, recursive=propagation.recursive))


def cut_off(x: Executor, clone: Arg, asked: Propagation | None) -> None:
    """Loosen a clone of a host's mount from the host, as far as the rootfs's propagation asks for it."""
    if asked is None or asked.flag in (mount.MS_SLAVE, mount.MS_UNBINDABLE):
        apply(x, clone, _SLAVE)
    elif asked.flag == mount.MS_PRIVATE:
        apply(x, clone, _PRIVATE)


def cut_off_wholly(x: Executor, clone: Arg) -> None:
    """Loosen a clone of a host's mount, and all below it, from the host."""
    apply(x, clone, _PRIVATE)


def apply_to_root(x: Executor, rootfs: Rootfs, asked: Propagation | None) -> None:
    """Give the rootfs the propagation that the configuration asks for. When it is the root already."""
    if asked is not None and asked.flag in (mount.MS_SHARED, mount.MS_UNBINDABLE):
        x.subject = "linux.rootfsPropagation: set"
        apply(x, rootfs.fd, asked)
        x.subject = ""
