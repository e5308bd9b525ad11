"""The machine's hierarchies: from texts as kernels write them, and of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.cgroups import HOST
from support.hosts import Host as HostTree
from support.hosts import host

from holdfast.runtime.cgroups import detect
from holdfast.runtime.cgroups.detect import HYBRID, UNIFIED, V1, Hierarchy, sort_out
from holdfast.runtime.sys.executor import here

__all__ = ["host"]

MEMORY = Hierarchy(mount="/sys/fs/cgroup/memory", version=1, controllers=("memory",), own="")


def v2_at(mount: str) -> Hierarchy:
    return Hierarchy(mount=mount, version=2, controllers=("cpu",), own="")


def test_unified_hierarchy_in_the_usual_place_makes_the_mode_whatever_else_is_mounted() -> None:
    found = sort_out((MEMORY, v2_at("/sys/fs/cgroup")))
    assert (UNIFIED, (v2_at("/sys/fs/cgroup"),)) == (found.mode, found.hierarchies)


def test_unified_hierarchy_beside_old_ones_is_hybrid_and_comes_last() -> None:
    found = sort_out((v2_at("/sys/fs/cgroup/unified"), MEMORY))
    assert (HYBRID, (MEMORY, v2_at("/sys/fs/cgroup/unified"))) == (found.mode, found.hierarchies)


def test_unified_hierarchy_alone_makes_the_mode_wherever_it_is() -> None:
    assert UNIFIED == sort_out((v2_at("/mnt"),)).mode


@pytest.mark.parametrize("hierarchies", [(), (MEMORY,)])
def test_no_unified_hierarchy_is_mode_v1(hierarchies: tuple[Hierarchy, ...]) -> None:
    assert V1 == sort_out(hierarchies).mode


def test_membership_has_controllers_and_a_path_of_any_bytes() -> None:
    content = b"12:cpu,cpuacct:/a:b \xff\n3:name=systemd:/init.scope\n0::/\n"
    assert [
        ((b"cpu", b"cpuacct"), b"/a:b \xff"),
        ((b"name=systemd",), b"/init.scope"),
        ((), b"/"),
    ] == list(detect.parse_memberships(content))


def test_mounts_of_other_filesystems_are_left_out() -> None:
    content = (
        b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
        b"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
        b"41 31 0:38 /x /mnt ro master:1 propagate_from:2 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    old, new = detect.parse_mounts(content)
    assert (1, (0, 29), b"/", b"/sys/fs/cgroup/cpu,cpuacct", True) == (
        old.version,
        old.device,
        old.root,
        old.point,
        old.is_writable,
    )
    assert {b"rw", b"cpu", b"cpuacct"} == old.options
    assert (2, b"/x", False) == (new.version, new.root, new.is_writable)


@pytest.mark.parametrize("separator", ["\n", "\u2028", "\u0085", "\x0b", "\x0c", "\r", " - cgroup2 "])
def test_name_of_a_mount_point_cannot_end_its_line(separator: str) -> None:
    """S44: the kernel escapes a newline and a space; other separators of lines are bytes like any other."""
    point = f"/mnt/a{separator}b".encode()
    escaped = point.replace(b" ", rb"\040").replace(b"\n", rb"\012")
    lines = b"1 0 0:5 / %s rw - cgroup2 c rw\n2 0 0:6 / /mnt/c rw - cgroup2 c rw\n" % escaped
    assert [point, b"/mnt/c"] == [one.point for one in detect.parse_mounts(lines)]


@pytest.mark.parametrize(
    ("root", "path", "expected"),
    [
        (b"/", b"/", ""),
        (b"/", b"/a/b", "a/b"),
        (b"/a", b"/a", ""),
        (b"/a", b"/a/b", "b"),
        (b"/a", b"/ab", None),
        (b"/a", b"/", None),
        (b"/", b"/../x", None),
        (b"/..", b"/", None),
        (b"/", b"/\xff", None),
    ],
)
def test_own_path_is_told_below_the_mount(root: bytes, path: bytes, expected: str | None) -> None:
    assert expected == detect.below(root, path)


def test_this_machine_is_seen_as_it_is() -> None:
    for one in HOST.hierarchies:
        assert Path(one.mount, "cgroup.procs").exists()
        assert one.own is not None
        pids = Path(one.mount, one.own, "cgroup.procs").read_text().split()
        assert str(os.getpid()) in pids
    assert any("memory" in one.controllers for one in HOST.hierarchies)


def test_looking_leaves_no_descriptor() -> None:
    detect.detect(here)
    before = os.listdir("/proc/self/fd")
    detect.detect(here)
    assert before == os.listdir("/proc/self/fd")


@pytest.mark.root
def test_hierarchy_that_something_is_mounted_over_is_not_taken_for_it(host: HostTree) -> None:
    hidden = HOST.hierarchies[0]
    host.tmpfs(Path(hidden.mount))
    found = {one.mount for one in detect.detect(here).hierarchies}
    assert hidden.mount not in found
    assert {one.mount for one in HOST.hierarchies[1:]} <= found
