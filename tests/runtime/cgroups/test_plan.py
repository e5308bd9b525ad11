"""Which cgroup is made where, which hierarchy gets which limit, what is told when there is none for it."""

from __future__ import annotations

from typing import Any

import pytest
from support.cgroups import config, plan

from holdfast.protocol.errors import ConfigError
from holdfast.runtime.cgroups.detect import HYBRID, UNIFIED, V1, Hierarchy, Host
from holdfast.runtime.cgroups.plan import owner_of, plan_cgroup

MEMORY = Hierarchy(mount="/cg/memory", version=1, controllers=("memory",), own="m")
SYSTEMD = Hierarchy(mount="/cg/systemd", version=1, name="systemd", own="s")
DEVICES = Hierarchy(mount="/cg/devices", version=1, controllers=("devices",), own="")
BESIDE = Hierarchy(mount="/cg/unified", version=2, controllers=("pids", "hugetlb"), own="u/me")
UNIFIED_ONE = Hierarchy(mount="/cg", version=2, controllers=("memory", "pids", "cpu"), own="u/me")

OLD = Host(mode=V1, hierarchies=(MEMORY, SYSTEMD, DEVICES))
MIXED = Host(mode=HYBRID, hierarchies=(MEMORY, SYSTEMD, DEVICES, BESIDE))
NEW = Host(mode=UNIFIED, hierarchies=(UNIFIED_ONE,))
NOTHING = Host(mode=V1)
DENY_ALL = {"devices": [{"allow": False, "access": "rwm"}]}


def test_every_hierarchy_has_the_same_path_below_its_mount() -> None:
    assert [
        ("/cg/memory", 1, "a/b"),
        ("/cg/systemd", 1, "a/b"),
        ("/cg/devices", 1, "a/b"),
        ("/cg/unified", 2, "a/b"),
    ] == [(one.mount, one.version, one.path) for one in plan("/a/b", host=MIXED).places]


def test_relative_path_starts_where_the_runtime_is_in_each_hierarchy() -> None:
    assert ["m/x", "s/x", "x", "u/me/x"] == [one.path for one in plan("x", host=MIXED).places]
    assert ["u/some-id"] == [one.path for one in plan(host=NEW).places]


def test_limit_goes_to_the_hierarchy_that_has_its_controller_in_that_ones_words() -> None:
    planned = plan("/a", {"memory": {"limit": 5}, "pids": {"limit": 6}}, MIXED)
    files = {
        one.mount: [write.file for group in one.limits for write in group if "devices" not in write.file]
        for one in planned.places
    }
    assert {
        "/cg/memory": ["memory.limit_in_bytes"],
        "/cg/systemd": [],
        "/cg/devices": [],
        "/cg/unified": ["pids.max"],
    } == files


def test_unified_hierarchy_beside_others_passes_on_only_what_is_needed() -> None:
    idle, used = (plan("/a", resources, MIXED).places[-1] for resources in ({}, {"pids": {"limit": 6}}))
    assert (False, ()) == (idle.passes_on, idle.controllers)
    assert (True, False, ("pids",)) == (used.passes_on, used.enables_all, used.controllers)


def test_unified_hierarchy_alone_passes_on_all_and_needs_what_is_asked_for() -> None:
    resources = {"pids": {"limit": 6}, "unified": {"memory.high": "9", "cgroup.max.depth": "3"}}
    (place,) = plan("/a", resources, NEW).places
    assert (True, {"pids", "memory"}) == (place.enables_all, set(place.controllers))


@pytest.mark.parametrize(
    ("resources", "field", "controller"),
    [
        ({"cpu": {"shares": 5}}, "cpu.shares", "cpu"),
        ({"cpu": {"cpus": "0"}}, "cpu.cpus", "cpuset"),
        ({"pids": {"limit": 5}}, "pids.limit", "pids"),
        ({"blockIO": {"weight": 50}}, "blockIO.weight", "blkio"),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 5}]}, "hugepageLimits[0]", "hugetlb"),
        ({"rdma": {"x": {"hcaObjects": 5}}}, "rdma.x", "rdma"),
    ],
)
def test_limit_without_a_controller_names_both(
    resources: dict[str, Any], field: str, controller: str
) -> None:
    with pytest.raises(ConfigError) as error:
        plan("/a", resources, OLD)
    assert (
        f'linux.resources.{field}: controller "{controller}" not available; '
        "needed: a hierarchy that has it, mounted"
    ) in str(error.value)


def test_machine_without_cgroups_runs_what_asks_for_none() -> None:
    assert () == plan("", {}, NOTHING).places
    with pytest.raises(ConfigError, match=r'linux\.resources\.memory\.limit: controller "memory" not avail'):
        plan("", {"memory": {"limit": 5}}, NOTHING)


def test_machine_without_cgroups_does_not_pretend_to_deny_devices() -> None:
    with pytest.raises(ConfigError, match=r'linux\.resources\.devices: controller "devices" not available'):
        plan("", DENY_ALL, NOTHING)


def test_devices_are_for_v1_if_it_has_them_else_for_a_program() -> None:
    old, new = plan("/a", DENY_ALL, MIXED), plan("/a", DENY_ALL, NEW)
    assert [None] * 4 == [one.devices for one in old.places]
    assert "devices.deny" == old.places[2].limits[0][0].file
    assert new.places[0].devices is not None
    assert not new.places[0].devices.is_optional


def test_program_is_dispensable_only_where_nothing_is_denied_or_nobody_is_root() -> None:
    allow_all = {"devices": [{"allow": True, "access": "rwm"}]}
    rootless = Host(mode=UNIFIED, hierarchies=(UNIFIED_ONE,), is_rootless=True)
    for resources, host, expected in (({}, NEW, False), (allow_all, NEW, True), (DENY_ALL, rootless, True)):
        program = plan("/a", resources, host).places[0].devices
        assert program is not None
        assert expected == program.is_optional


def test_nobody_writes_device_rules_of_v1_without_being_root() -> None:
    rootless = Host(mode=V1, hierarchies=OLD.hierarchies, is_rootless=True)
    assert [()] * 3 == [one.limits for one in plan("/a", DENY_ALL, rootless).places]


@pytest.mark.parametrize(
    ("path", "is_rootless", "expected"), [("", True, True), ("/a", True, False), ("", False, False)]
)
def test_container_goes_without_only_if_rootless_and_no_path_is_given(
    path: str, is_rootless: bool, expected: bool
) -> None:
    host = Host(mode=UNIFIED, hierarchies=(UNIFIED_ONE,), is_rootless=is_rootless)
    assert expected == plan(path, {}, host).may_go_without


WRITABLE = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid"]}
READ_ONLY = {**WRITABLE, "options": ["nosuid", "ro"]}
MAPS = {
    "uidMappings": [
        {"containerID": 0, "hostID": 1000, "size": 1},
        {"containerID": 1, "hostID": 100000, "size": 65536},
    ]
}
CGROUP, USER = {"type": "cgroup"}, {"type": "user"}


@pytest.mark.parametrize(
    ("uid", "mount", "linux", "expected"),
    [
        (5, WRITABLE, {"namespaces": [CGROUP]}, 5),
        (5, READ_ONLY, {"namespaces": [CGROUP]}, None),
        (5, {**WRITABLE, "source": "tmpfs"}, {"namespaces": [CGROUP]}, None),
        (5, {**WRITABLE, "destination": "/mnt"}, {"namespaces": [CGROUP]}, None),
        (5, WRITABLE, {}, None),
        (5, WRITABLE, {"namespaces": [{"type": "cgroup", "path": "/proc/1/ns/cgroup"}]}, None),
        (0, WRITABLE, {"namespaces": [CGROUP, USER], **MAPS}, 1000),
        (5, WRITABLE, {"namespaces": [CGROUP, USER], **MAPS}, 100004),
        (70000, WRITABLE, {"namespaces": [CGROUP, USER], **MAPS}, None),
    ],
)
def test_owner_is_the_containers_user_as_the_host_sees_him(
    uid: int, mount: dict[str, Any], linux: dict[str, Any], expected: int | None
) -> None:
    one = config(mounts=[mount], uid=uid, **linux)
    assert expected == owner_of(one)
    assert expected == plan_cgroup(one, "id", NEW).owner
    assert plan_cgroup(one, "id", MIXED).owner is None
