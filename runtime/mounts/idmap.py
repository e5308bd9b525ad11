"""Idmapped mounts: a bind through which the owners of files are seen by other ids.

The mapping is that of a user namespace, which need not have a process in it. It is made here by a puppet
that does nothing else: it leaves its user namespace for a new one, gets its maps written, and ends; the
descriptor stays. Seen through such a mount a file of host id `h` belongs to the id to which the namespace
maps `h`, and one whose owner has no mapping to nobody at all: not even the container's root has rights over
it but those that all have.

The filesystem must support it: ext4, xfs and btrfs do, tmpfs and overlay on recent kernels. EINVAL says that
it, or one that is mounted in it, does not.

Sources: mount_setattr(2), "ID-mapped mounts"; user_namespaces(7).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.mounts.bind import Bind, IdMap
from holdfast.runtime.puppet import puppet
from holdfast.runtime.sys import mount, process
from holdfast.runtime.sys.call import CallFailed, Passed, number_of
from holdfast.runtime.sys.executor import close_quietly
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from holdfast.runtime.mounts.plan import MountsPlan
    from holdfast.runtime.mounts.sources import Sources
    from holdfast.runtime.procfs import Procfs
    from holdfast.runtime.sys.call import Arg
    from holdfast.runtime.sys.executor import Here


class CannotMap(HoldfastError):  # noqa: N818  # reads as what it tells
    """A filesystem that cannot be mounted with mapped ids."""


def apply(x: Here, proc: Procfs, plan: MountsPlan, sources: Sources, pid: int) -> None:
    """Give the binds that ask for it their ids. By the parent, with the rights of root.

    Needs: the sources; if the container has a user namespace, that init's maps are written. pid: of init.
    Raises CannotMap, CallFailed.
    """
    namespaces: dict[IdMap, int] = {}
    try:
        for entry in plan.mounts:
            if not isinstance(entry.what, Bind) or entry.what.idmap is None:
                continue
            ids = entry.what.idmap
            if ids not in namespaces:
                x.subject = f"{entry.about}: make a user namespace with its ids"
                namespaces[ids] = _namespace(proc, ids, pid)
            x.subject = f"{entry.about}: map the ids"
            _map(x, sources.binds[entry.field].tree, namespaces[ids], ids)
    finally:
        close_quietly(*namespaces.values())
    x.subject = ""


def can_map(x: Here, proc: Procfs, path: bytes, ids: IdMap) -> bool:
    """Whether what is at a path of the host can be bound with these ids, which are not a container's.

    Raises CallFailed for a path that cannot be opened.
    """
    tree = x.do(mount.open_tree(AT_FDCWD, path, recursive=ids.recursive))
    namespace = user_namespace(proc, ids.uid_map, ids.gid_map)
    try:
        _map(x, Passed(tree), namespace, ids)
    except CannotMap:
        return False
    finally:
        close_quietly(tree, namespace)
    return True


def user_namespace(proc: Procfs, uid_map: bytes, gid_map: bytes) -> int:
    """Make a user namespace with these maps; nobody is in it. Returns a descriptor, the caller's to close.

    The maps are written by this process, which needs the right to map the ids. Raises CallFailed.
    """
    started = _start_puppet()
    try:
        started.puppet.do(process.unshare(process.CLONE_NEWUSER))
        started.puppet.flush()
        proc.write(b"%d/uid_map" % started.pid, uid_map)
        proc.write(b"%d/gid_map" % started.pid, gid_map)
        return number_of(proc.namespace(started.pid, b"user"))
    finally:
        started.puppet.hang_up()
        started.child.hang_up()
        os.waitpid(started.pid, 0)


def _namespace(proc: Procfs, ids: IdMap, pid: int) -> int:
    if ids.uid_map:
        return user_namespace(proc, ids.uid_map, ids.gid_map)
    return number_of(proc.namespace(pid, b"user"))


def _map(x: Here, tree: Arg, namespace: int, ids: IdMap) -> None:
    call = mount.mount_setattr(tree, set_=mount.MOUNT_ATTR_IDMAP, userns=namespace, recursive=ids.recursive)
    try:
        x.do(call)
    except CallFailed as error:
        if error.errno == errno.EINVAL:
            why = "its filesystem, or one mounted in it, has no support for that"
            raise CannotMap(f"{error.operation}: {why}") from error
        raise


def _start_puppet() -> puppet.Started:
    program_fd = puppet.sealed_program()
    null_fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        return puppet.start(program_fd, (null_fd, null_fd, null_fd))
    finally:
        close_quietly(program_fd, null_fd)
