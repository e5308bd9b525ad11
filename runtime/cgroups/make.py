"""Makes a container's cgroup in each hierarchy.

What is there already is used if it is empty and not frozen; only what was made is on record as made, and
removed with the container. Between the look at a directory and the next one made below it another
container's removal may take it away, since its runtime made it; then the way is gone once more from the top.

On v2 a cgroup has the controllers that its parent passes on, and so does the parent; so on the way down each
is told to. That a cgroup with processes of its own cannot pass any on shows at the end, when a controller is
missing. On v1 a new cpuset has no CPU and no memory node, so that no process could enter it, and is given
those of its parent.

Sources: cgroups(7); the kernel's admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/cpusets.rst;
runtime-spec, config-linux.md "Control groups", "Cgroup ownership".
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.runtime.cgroups import freezer, tree
from holdfast.runtime.cgroups.detect import V2
from holdfast.runtime.cgroups.place import Place
from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import ACCEPT_ANY, CallFailed
from holdfast.runtime.sys.numbers import AT_FDCWD, AT_REMOVEDIR
from holdfast.runtime.sys.process import UNCHANGED

if TYPE_CHECKING:
    from holdfast.runtime.cgroups.plan import CgroupPlan, PlannedPlace
    from holdfast.runtime.sys.executor import Here

_MODE = 0o755
_TRIES_MAX = 16
_NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)

_THREADED = frozenset({"cpu", "cpuset", "perf_event", "pids"})
"""The controllers that can tell threads of one process apart."""

_CPUSET = (b"cpuset.cpus", b"cpuset.mems", b"cpus", b"mems")
"""What a process needs to run in a cpuset of v1; the last two are the names in one mounted with noprefix."""

_DELEGATED = b"cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n"
"""The files of a cgroup that go to its owner, where the kernel does not say it itself."""


def make_place(x: Here, plan: CgroupPlan, planned: PlannedPlace) -> Place | None:
    """Make the cgroup of one hierarchy; None if there is no permission to, and the container can do without.

    Raises HoldfastError or CallFailed; then nothing is left of it.
    """
    x.subject = f"make cgroup {quoted(planned.path)} in {quoted(planned.mount)}"
    try:
        with tree.mounted(x, planned.mount, planned.version) as top:
            return _insist(x, planned, top, plan.owner)
    except CallFailed as error:
        if error.errno not in _NO_PERMISSION or not plan.is_rootless:
            raise
        if plan.may_go_without and not planned.is_needed:
            return None
        words = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups"
        raise HoldfastError(f"{words}: {error}") from None
    finally:
        x.subject = ""


def _insist(x: Here, planned: PlannedPlace, top: int | None, owner: int | None) -> Place:
    """Go down the path, from the top once more if somebody removes a part of it meanwhile."""
    if top is None:
        raise HoldfastError(f"{x.subject}: there is no cgroup filesystem any more")
    for _ in range(_TRIES_MAX):
        with suppress(_Vanished):
            return _descend(x, planned, top, owner)
    raise HoldfastError(f"{x.subject}: others keep removing a part of the path")


class _Vanished(Exception):  # noqa: N818  # reads as what it tells
    """A directory of the path was removed on the way down."""


def _descend(x: Here, planned: PlannedPlace, top: int, owner: int | None) -> Place:
    """Make what is missing of the path and check the cgroup at its end."""
    made: list[bytes] = []
    try:
        _make_directories(x, planned, top, made)
        fd = _open(x, top, planned.path.encode())
        try:
            controllers = _check(x, planned, fd, is_new=bool(made))
            if owner is not None:
                _hand_over(x, fd, owner)
            return Place(
                mount=planned.mount,
                version=planned.version,
                path=planned.path,
                number=tree.identity(x, fd),
                made=len(made),
                controllers=controllers,
            )
        finally:
            x.do(files.close(fd))
    except BaseException:
        for path in reversed(made):
            x.do(files.unlinkat(top, path, AT_REMOVEDIR).accepting(ACCEPT_ANY))
        raise


def _make_directories(x: Here, planned: PlannedPlace, top: int, made: list[bytes]) -> None:
    """Make what is missing of the path, and note it in `made`."""
    path, is_cpuset = planned.path.encode(), planned.version != V2 and "cpuset" in planned.controllers
    straight = files.mkdirat(top, path, _MODE)
    # Where nothing is to be done on the way, all but the last are there most often.
    if not planned.passes_on and not is_cpuset and x.do(straight.accepting(ACCEPT_ANY)) == 0:
        made.append(path)
        return
    above = b""
    for name in path.split(b"/"):
        if planned.passes_on:
            _pass_on(x, top, above, planned)
        if _make_directory(x, top, above + name):
            made.append(above + name)
        if is_cpuset:
            _fill_cpuset(x, top, above, above + name + b"/")
        above += name + b"/"


def _open(x: Here, top: int, path: bytes) -> int:
    fd = tree.open_below(x, top, path)
    if fd is None:
        raise _Vanished
    return fd


def _make_directory(x: Here, top: int, path: bytes) -> bool:
    """Make a cgroup. Returns False if it is there already."""
    try:
        return x.do(files.mkdirat(top, path, _MODE).accepting(errno.EEXIST)) != -errno.EEXIST
    except CallFailed as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            raise _Vanished from None
        raise


def _fill_cpuset(x: Here, top: int, above: bytes, path: bytes) -> None:
    """Give a cgroup of v1 the CPUs and memory nodes of the one above, if it has none."""
    for name in _CPUSET:
        mine = tree.read(x, top, path + name)
        if mine is not None and not mine.strip():
            tree.write(x, top, path + name, tree.read(x, top, above + name) or b"\n")


def _pass_on(x: Here, top: int, path: bytes, planned: PlannedPlace) -> None:
    """Have a cgroup of v2 pass controllers on to those below it: all together, else each that can be.

    One that has processes can pass on only such as are for threads, and becomes a threaded one by that, no
    good place for containers. So there no more is tried than is needed, and nothing more once that fails.
    """
    offered = (tree.read(x, top, path + b"cgroup.controllers") or b"").decode().split()
    passed = (tree.read(x, top, path + b"cgroup.subtree_control") or b"").decode().split()
    wanted = [one for one in offered if planned.enables_all or one in planned.controllers]
    missing = [one for one in wanted if one not in passed]
    error = _tell(x, top, path, missing) if missing else 0
    if error:
        each = [one for one in missing if error != errno.EBUSY or one in planned.controllers]
        for one in sorted(each, key=_THREADED.__contains__):
            if _tell(x, top, path, [one]) and one in planned.controllers:
                return


def _tell(x: Here, top: int, path: bytes, controllers: list[str]) -> int:
    """Write to cgroup.subtree_control. Returns an errno if the kernel refuses, else 0."""
    file = files.openat(top, path + b"cgroup.subtree_control", os.O_WRONLY)
    fd = x.do(file.accepting(ACCEPT_ANY))
    if fd < 0:
        return -fd
    data = " ".join(f"+{one}" for one in controllers)
    written = x.do(files.write(fd, data.encode()).accepting(ACCEPT_ANY))
    x.do(files.close(fd))
    return -min(written, 0)


def _check(x: Here, planned: PlannedPlace, fd: int, *, is_new: bool) -> tuple[str, ...]:
    """Check that the container can be in this cgroup. Returns the controllers that it has."""
    if freezer.is_stopped(x, fd, planned.version):
        raise HoldfastError(f"{x.subject}: container's cgroup unexpectedly frozen")
    count = 0 if is_new else sum(len(tree.processes(x, each)) for each in tree.walk(x, fd))
    if count:
        raise HoldfastError(f"{x.subject}: container's cgroup is not empty: {count} process(es) found")
    if not planned.passes_on:
        return planned.controllers
    if tree.read(x, fd, b"cgroup.type") == b"domain invalid\n":
        _make_threaded(x, planned, fd)
    has = tuple((tree.read(x, fd, b"cgroup.controllers") or b"").decode().split())
    for one in planned.controllers:
        if one not in has:
            raise HoldfastError(
                f'{x.subject}: controller "{one}" not available; the cgroups above do not pass it on'
            )
    return has


def _make_threaded(x: Here, planned: PlannedPlace, fd: int) -> None:
    """Make a cgroup of v2 a part of the threaded one that it is below: it cannot be anything else."""
    for one in planned.controllers:
        if one not in _THREADED:
            raise HoldfastError(f'{x.subject}: controller "{one}" not available below a threaded cgroup')
    tree.write(x, fd, b"cgroup.type", b"threaded")


def _hand_over(x: Here, fd: int, owner: int) -> None:
    """Give a cgroup to a user: the directory, and the files by which cgroups below it are managed."""
    listed = tree.read(x, AT_FDCWD, b"/sys/kernel/cgroup/delegate")
    x.do(files.fchownat(fd, b"", owner, UNCHANGED))
    for name in (listed or _DELEGATED).split():
        x.do(files.fchownat(fd, name, owner, UNCHANGED).accepting(errno.ENOENT))
