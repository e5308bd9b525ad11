"""What cgroup hierarchies this machine has, where they are mounted, and where this process is in each.

A *hierarchy* is a tree of cgroups; every process is in exactly one cgroup of each. Of cgroup v1 there are
several, each with some *controllers* (memory, cpu, …), or with a name only, for somebody's book-keeping
(`name=systemd`). Of v2 there is one, the unified hierarchy, with all controllers that no v1 hierarchy has
taken. A controller is in one hierarchy at a time. So there are three modes: unified (v2 alone), v1, and
hybrid: v1 for the limits with an unified hierarchy beside it, usually without controllers, which still can
kill, freeze and hold new processes from their birth.

The kernel tells in two files: /proc/self/cgroup has a line for each hierarchy with the path of this process
in it; /proc/self/mountinfo has the mounts. A line there may be out of date in its meaning (something else is
mounted on top) or hold any byte in its paths, as octal numbers. So it is read as bytes, and a mount counts
only if its directory, once open, is of the device that the line names.

Nothing is remembered between two calls: a process that makes many containers would otherwise not see a
hierarchy mounted meanwhile, nor that it was moved. Whoever makes one container asks once and hands the value
on.

Sources: cgroups(7); proc_pid_cgroup(5); proc_pid_mountinfo(5); the kernel's admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from holdfast.runtime.cgroups import tree
from holdfast.runtime.procfs import Procfs
from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import CallFailed
from holdfast.runtime.sys.executor import here
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from holdfast.runtime.sys.executor import Here

UNIFIED = "unified"
HYBRID = "hybrid"
V1 = "v1"

V2 = 2
"""The version of the unified hierarchy."""

USUAL_PLACE = "/sys/fs/cgroup"
"""Where everybody mounts the unified hierarchy, or the v1 hierarchies below it."""

_WHOLE_MACHINE = [b"0", b"0", b"4294967295"]
"""The uid map of the initial user namespace."""


class Hierarchy(msgspec.Struct, frozen=True, kw_only=True):
    """A hierarchy that is mounted."""

    mount: str
    """The mount point, absolute."""
    version: int
    """1 or 2."""
    controllers: tuple[str, ...] = ()
    """Of v2: those that it offers at the top of the mount."""
    name: str = ""
    """`systemd` for `name=systemd`."""
    own: str | None = None
    """The cgroup of this process, as a path below the mount; empty for its top. None: it is not there."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What there is."""

    mode: str
    """`unified`, `hybrid` or `v1`; the last also for a machine without any hierarchy."""
    hierarchies: tuple[Hierarchy, ...] = ()
    is_rootless: bool = False
    """Whether this process is not root, or root of a user namespace only."""

    def holder(self, controller: str, version: int) -> Hierarchy | None:
        """Return the hierarchy of this version that has the controller."""
        for hierarchy in self.hierarchies:
            if hierarchy.version == version and controller in hierarchy.controllers:
                return hierarchy
        return None


class Membership(NamedTuple):
    """A hierarchy and where a process is in it: a line of /proc/PID/cgroup."""

    controllers: tuple[bytes, ...]
    """Of v1, `name=systemd` being one of them; empty for the unified hierarchy."""
    path: bytes


class Mount(NamedTuple):
    """A mount of a cgroup filesystem: a line of /proc/PID/mountinfo."""

    device: tuple[int, int]
    root: bytes
    """Which directory of the filesystem is mounted, as the cgroup namespace of the reader sees it."""
    point: bytes
    is_writable: bool
    version: int
    options: frozenset[bytes]
    """Of the filesystem: the controllers among others."""


def detect(x: Here = here) -> Host:
    """Look at what this machine has. Raises CallFailed if /proc cannot be had."""
    proc = Procfs.shared(x)
    mounts = list(parse_mounts(proc.read(b"self/mountinfo")))
    found = (_hierarchy(x, member, mounts) for member in parse_memberships(proc.read(b"self/cgroup")))
    hierarchies = tuple(hierarchy for hierarchy in found if hierarchy is not None)
    rootless = os.geteuid() != 0 or proc.read(b"self/uid_map").split() != _WHOLE_MACHINE
    return sort_out(hierarchies, is_rootless=rootless)


def sort_out(hierarchies: tuple[Hierarchy, ...], *, is_rootless: bool = False) -> Host:
    """Decide the mode, and which of the hierarchies count.

    A unified hierarchy in the usual place is the machine's one; what is mounted of v1 beside it is
    somebody's own.
    """
    unified = tuple(one for one in hierarchies if one.version == V2)
    old = tuple(one for one in hierarchies if one.version == 1)
    if unified and (not old or unified[0].mount == USUAL_PLACE):
        return Host(mode=UNIFIED, hierarchies=unified, is_rootless=is_rootless)
    # The unified one comes last: what needs it is looked for in the others first.
    return Host(mode=HYBRID if unified else V1, hierarchies=old + unified, is_rootless=is_rootless)


def parse_memberships(content: bytes) -> Iterator[Membership]:
    """Yield the lines of /proc/PID/cgroup: `4:memory:/a`, `0::/b`. A path holds any byte but a newline."""
    for line in content.split(b"\n"):
        _, colon, rest = line.partition(b":")
        controllers, _, path = rest.partition(b":")
        if colon:
            yield Membership(tuple(controllers.split(b",")) if controllers else (), path)


def parse_mounts(content: bytes) -> Iterator[Mount]:
    """Yield the cgroup filesystems among the lines of /proc/PID/mountinfo."""
    for line in content.split(b"\n"):
        first, dash, last = line.partition(b" - ")
        if not dash or not last.startswith((b"cgroup ", b"cgroup2 ")):
            continue
        _, _, device, root, point, attributes, *_ = first.split(b" ")
        kind, _, options = last.split(b" ")[:3]
        major, _, minor = device.partition(b":")
        names = frozenset(options.split(b","))
        yield Mount(
            device=(int(major), int(minor)),
            root=unescape(root),
            point=unescape(point),
            is_writable=b"rw" in attributes.split(b",") and b"rw" in names,
            version=V2 if kind == b"cgroup2" else 1,
            options=names,
        )


def unescape(text: bytes) -> bytes:
    r"""Return a path of mountinfo as it is: `\040` there is a space. Source: proc_pid_mountinfo(5)."""
    first, *rest = text.split(b"\\")
    return first + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in rest)


def below(root: bytes, path: bytes) -> str | None:
    """Return a cgroup's path as it is below a mount of `root`, None if it is not there or is no text."""
    top = root.rstrip(b"/") + b"/"
    if not (path + b"/").startswith(top) or b".." in path.split(b"/"):
        return None
    try:
        return path[len(top) :].decode()
    except UnicodeDecodeError:
        return None


def _hierarchy(x: Here, member: Membership, mounts: Iterable[Mount]) -> Hierarchy | None:
    """Return the hierarchy of a membership by the best of its mounts, None if there is none."""
    version = 1 if member.controllers else V2
    fitting = [
        one for one in mounts if one.version == version and one.options.issuperset(member.controllers)
    ]
    for mount in sorted(fitting, key=_rank, reverse=True):
        controllers = _look(x, mount)
        if controllers is None:
            continue
        names = controllers or [name.decode() for name in member.controllers]
        return Hierarchy(
            mount=mount.point.decode(),
            version=version,
            controllers=tuple(name for name in names if not name.startswith("name=")),
            name="".join(name.removeprefix("name=") for name in names if name.startswith("name=")),
            own=below(mount.root, member.path),
        )
    return None


def _rank(mount: Mount) -> tuple[bool, bool, bool]:
    """Order the mounts of one hierarchy: best the whole of it, writable, in the usual place."""
    usual = (mount.point + b"/").startswith(USUAL_PLACE.encode() + b"/")
    return mount.root == b"/", mount.is_writable, usual


def _look(x: Here, mount: Mount) -> list[str] | None:
    """Return the controllers that a v2 mount offers (none of v1); None if its path does not lead to it."""
    try:
        mount.point.decode()
        fd = x.do(files.openat(AT_FDCWD, mount.point, os.O_RDONLY | os.O_DIRECTORY))
    except (CallFailed, UnicodeDecodeError):
        return None
    try:
        status = files.new_stat()
        x.do(files.statx(fd, b"", status))
        if files.Stat.of(status).dev != mount.device:
            return None
        offered = tree.read(x, fd, b"cgroup.controllers") if mount.version == V2 else None
        return (offered or b"").decode().split()
    finally:
        x.do(files.close(fd))
