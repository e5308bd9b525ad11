"""A real unified hierarchy with controllers: what the tests on plain files can only claim.

It is collected only on a machine with the unified hierarchy alone (conftest.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.cgroups import HOST, config, directory, enter, made, plan, process, run_in

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.cgroups import group, kill
from holdfast.runtime.cgroups.plan import plan_cgroup
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

MIB = 1 << 20


def read(path: Path, file: str) -> str:
    return (path / file).read_text().strip()


def test_controllers_are_passed_on_all_the_way_but_not_by_the_container(name: str) -> None:
    with made(f"/{name}/a") as cgroup:
        (place,) = cgroup.places
        offered = set(HOST.hierarchies[0].controllers)
        leaf = directory(place)
        assert offered == set(place.controllers)
        assert offered == set(read(leaf.parent, "cgroup.subtree_control").split())
        assert "" == read(leaf, "cgroup.subtree_control")


def test_each_value_is_one_that_the_kernel_takes(name: str) -> None:
    resources = {
        "memory": {"limit": 64 * MIB, "reservation": 16 * MIB, "checkBeforeUpdate": True},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 1000},
        "pids": {"limit": 0},
        "unified": {"memory.high": str(48 * MIB), "cgroup.max.depth": "3", "pids.max": "9"},
    }
    with made("/" + name, resources) as cgroup:
        leaf = directory(cgroup.places[0])
        assert [str(64 * MIB), str(16 * MIB), str(48 * MIB), "59", "50000 100000", "1000", "9", "3"] == [
            read(leaf, file)
            for file in (
                "memory.max",
                "memory.low",
                "memory.high",
                "cpu.weight",
                "cpu.max",
                "cpu.max.burst",
                "pids.max",
                "cgroup.max.depth",
            )
        ]


def test_idle_group_and_no_limits_are_what_the_kernel_takes(name: str) -> None:
    resources = {
        "memory": {"limit": -1, "reservation": -1},
        "cpu": {"shares": 512, "idle": 1, "quota": -1},
        "pids": {"limit": -1},
    }
    with made("/" + name, resources) as cgroup:
        leaf = directory(cgroup.places[0])
        assert ["max", "max", "1", "max 100000", "max"] == [
            read(leaf, file) for file in ("memory.max", "memory.low", "cpu.idle", "cpu.max", "pids.max")
        ]
        group.limit(here, cgroup, plan("/" + name, {"cpu": {"shares": 512, "idle": 0}}))
        assert "59" == read(leaf, "cpu.weight")


def test_limit_below_what_is_in_use_is_told_where_that_is_asked(name: str) -> None:
    with made("/" + name) as cgroup:

        def work() -> int:
            block = bytearray(8 * MIB)
            block[0] = 1
            try:
                group.limit(here, cgroup, plan("/" + name, {"memory": memory}))
            except HoldfastError as error:
                return int("memory.limit: 4096 is not above what is in use" in str(error))
            return 0

        memory = {"limit": 4096, "checkBeforeUpdate": True}
        assert 1 == run_in(cgroup, work).code


def test_cgroup_with_processes_passes_nothing_on_and_is_not_made_a_threaded_one_by_the_attempt(
    name: str,
) -> None:
    with process() as pid, made("/" + name) as outer:
        enter(outer, pid)
        top = directory(outer.places[0])
        resources = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 5}}
        with pytest.raises(
            HoldfastError, match='controller "memory" not available; the cgroups above do not'
        ):
            group.make(here, plan(f"/{name}/a", resources))
        assert not (top / "a").exists()
        with made(f"/{name}/a") as inner:  # without a limit it is as good as any
            assert () == inner.places[0].controllers
            assert 0 == run_in(inner, lambda: 0).code
        assert ("domain", "") == (read(top, "cgroup.type"), read(top, "cgroup.subtree_control"))


def test_cgroup_with_processes_passes_on_what_is_for_threads_if_it_is_needed(name: str) -> None:
    with process() as pid, made("/" + name) as outer:
        enter(outer, pid)
        with made(f"/{name}/a", {"pids": {"limit": 5}}) as inner:
            leaf = directory(inner.places[0])
            assert ("threaded", "5") == (read(leaf, "cgroup.type"), read(leaf, "pids.max"))
            assert 0 == run_in(inner, lambda: 0).code
            with process() as inside:
                enter(inner, inside)
                assert inside in kill.processes(here, inner)
                group.remove(here, inner)
                assert not leaf.exists()


def test_cgroup_below_a_threaded_one_becomes_threaded_or_is_refused(name: str) -> None:
    with made("/" + name) as outer:
        top = directory(outer.places[0])
        (top / "worker").mkdir()
        (top / "worker/cgroup.type").write_text("threaded")
        assert "domain threaded" == read(top, "cgroup.type")
        with pytest.raises(HoldfastError, match='controller "memory" not available'):
            group.make(here, plan(f"/{name}/a", {"memory": {"limit": 64 * MIB}}))
        with made(f"/{name}/b", {"pids": {"limit": 3}}) as inner:
            leaf = directory(inner.places[0])
            assert ("threaded", "3") == (read(leaf, "cgroup.type"), read(leaf, "pids.max"))


def test_owner_can_make_cgroups_below_and_change_no_limit(name: str) -> None:
    mount = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
    one = config("/" + name, mounts=[mount], uid=4711, namespaces=[{"type": "cgroup"}])
    cgroup = group.make(here, plan_cgroup(one, "id", HOST))
    try:
        leaf = directory(cgroup.places[0])
        assert 4711 == leaf.stat().st_uid
        files = {path.name: path.stat().st_uid for path in leaf.iterdir()}
        owned = {file for file, uid in files.items() if uid == 4711}
        assert {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} <= owned
        assert 0 == files["memory.max"]
    finally:
        group.remove(here, cgroup)
