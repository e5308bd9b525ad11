"""Cgroup filesystems, as this machine has them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.trees import DEV, NAMESPACES, parse, whole_tree

from holdfast.runtime.cgroups.detect import HYBRID, UNIFIED, Hierarchy, Host, detect
from holdfast.runtime.cgroups.plan import PlannedPlace
from holdfast.runtime.mounts import cgroup

pytestmark = pytest.mark.root

TMPFS = {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs"}


def mount(kind: str, *options: str) -> dict[str, Any]:
    return {"destination": "/mnt/cgroup", "type": kind, "source": "cgroup", "options": ["nosuid", *options]}


def own_places(host: Host) -> list[PlannedPlace]:
    """Return the cgroups of this process in the place of a container's."""
    return [
        PlannedPlace(mount=one.mount, version=one.version, path=one.own or "", controllers=one.controllers)
        for one in host.hierarchies
    ]


def test_machine_with_the_unified_hierarchy_alone_has_no_others() -> None:
    one = Hierarchy(mount="/sys/fs/cgroup", version=2, controllers=("memory",), own="a")
    host = Host(mode=UNIFIED, hierarchies=(one,))
    assert () == cgroup.hierarchies_of(host, own_places(host))


def test_hierarchies_are_mounted_by_their_controllers_or_their_name() -> None:
    found = (
        Hierarchy(mount="/sys/fs/cgroup/cpu,cpuacct", version=1, controllers=("cpu", "cpuacct"), own="x"),
        Hierarchy(mount="/sys/fs/cgroup/systemd", version=1, name="systemd", own="x"),
        Hierarchy(mount="/sys/fs/cgroup/memory", version=1, controllers=("memory",), own="x"),
        Hierarchy(mount="/sys/fs/cgroup/unified", version=2, own="x"),
        Hierarchy(mount="/sys/fs/cgroup/pids", version=1, controllers=("pids",), own="x"),
    )
    host = Host(mode=HYBRID, hierarchies=found)
    cpu, systemd, memory, unified = cgroup.hierarchies_of(host, own_places(host)[:4])
    assert ((b"cpu", None), (b"cpuacct", None)) == cpu.options
    assert (b"cpu,cpuacct", (b"cpu", b"cpuacct"), b"/sys/fs/cgroup/cpu,cpuacct/x") == (
        cpu.name,
        cpu.links,
        cpu.directory,
    )
    assert ((b"none", None), (b"name", b"systemd")) == systemd.options
    assert ((), (b"memory",)) == (memory.links, (memory.name,))
    assert (b"cgroup2", ()) == (unified.type, unified.options)


@pytest.mark.parametrize("userns", [False, True])
def test_hierarchies_show_the_containers_own_cgroup_at_their_top(rootfs: Path, userns: bool) -> None:
    host = detect()
    hierarchies = cgroup.hierarchies_of(host, own_places(host))
    if not hierarchies:
        pytest.skip("this machine has the unified hierarchy alone")
    mounts = [DEV, TMPFS, mount("cgroup", "ro")]
    parsed = parse(rootfs, mounts, namespaces=(*NAMESPACES, "cgroup"), userns=userns)
    with whole_tree(parsed, hierarchies=hierarchies) as made:
        found = made.mounts()
        assert found["/mnt/cgroup"].options.startswith(b"ro")
        for one in hierarchies:
            mounted = found[f"/mnt/cgroup/{os.fsdecode(one.name)}"]
            assert one.type == mounted.type
            assert mounted.options.startswith(b"ro,nosuid")
            ours = Path(os.fsdecode(one.directory)) / "cgroup.procs"
            inside = made.path(f"/mnt/cgroup/{os.fsdecode(one.name)}/cgroup.procs")
            assert str(os.getpid()) in ours.read_text().split()
            assert ours.stat().st_ino == inside.stat().st_ino


def test_hierarchies_are_bound_without_a_cgroup_namespace(rootfs: Path) -> None:
    host = detect()
    hierarchies = cgroup.hierarchies_of(host, own_places(host))
    if not hierarchies:
        pytest.skip("this machine has the unified hierarchy alone")
    with whole_tree(parse(rootfs, [TMPFS, mount("cgroup")]), hierarchies=hierarchies) as made:
        for one in hierarchies:
            inside = made.path(f"/mnt/cgroup/{os.fsdecode(one.name)}")
            assert os.path.samestat(os.stat(one.directory), inside.stat())


@pytest.mark.parametrize("userns", [False, True])
def test_unified_hierarchy_shows_the_containers_own_cgroup_at_its_top(rootfs: Path, userns: bool) -> None:
    mounts = [DEV, TMPFS, mount("cgroup2")]
    parsed = parse(rootfs, mounts, namespaces=(*NAMESPACES, "cgroup"), userns=userns)
    with whole_tree(parsed) as made:
        assert b"cgroup2" == made.mounts()["/mnt/cgroup"].type
        assert made.path("/mnt/cgroup/cgroup.procs").exists()


def test_links_lead_from_one_controller_to_those_that_it_is_mounted_with(rootfs: Path) -> None:
    both = cgroup.Hierarchy(
        name=b"cpu,cpuacct",
        options=(),
        type=b"cgroup2",
        directory=b"/sys/fs/cgroup",
        links=(b"cpu", b"cpuacct"),
    )
    parsed = parse(rootfs, [TMPFS, mount("cgroup", "ro")], namespaces=(*NAMESPACES, "cgroup"))
    with whole_tree(parsed, hierarchies=[both]) as made:
        assert "cpu,cpuacct" == os.readlink(made.path("/mnt/cgroup/cpuacct"))
        assert (made.path("/mnt/cgroup/cpu") / "cgroup.procs").exists()
