"""Each member of linux.resources, and what is written for it on v1 and on v2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.cgroups import plan

from holdfast.protocol.errors import ConfigError
from holdfast.runtime.cgroups.detect import HYBRID, UNIFIED, V1, Hierarchy, Host

if TYPE_CHECKING:
    from holdfast.runtime.cgroups.limits import Write

V1_CONTROLLERS = [
    "cpuset",
    "cpu",
    "cpuacct",
    "memory",
    "pids",
    "blkio",
    "hugetlb",
    "net_cls",
    "net_prio",
    "rdma",
    "freezer",
    "perf_event",
]
OLD = Host(
    mode=V1,
    hierarchies=tuple(
        Hierarchy(mount=f"/cg/{one}", version=1, controllers=(one,), own="") for one in V1_CONTROLLERS
    ),
)
NEW = Host(
    mode=UNIFIED,
    hierarchies=(
        Hierarchy(
            mount="/sys/fs/cgroup",
            version=2,
            controllers=("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"),
            own="",
        ),
    ),
)


def groups(host: Host, resources: dict[str, Any]) -> list[tuple[Write, ...]]:
    return [group for place in plan("/c", resources, host).places for group in place.limits]


def written(host: Host, resources: dict[str, Any]) -> list[str]:
    return [f"{write.file}: {write.data}" for group in groups(host, resources) for write in group]


def refusal(host: Host, resources: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        plan("/c", resources, host)
    return str(error.value)


@pytest.mark.parametrize(
    ("memory", "old", "new"),
    [
        ({"limit": 100}, ["memory.limit_in_bytes: 100"], ["memory.max: 100"]),
        ({"limit": 0, "swap": 0, "reservation": 0}, [], []),
        (
            {"limit": -1},
            ["memory.limit_in_bytes: -1", "memory.memsw.limit_in_bytes: -1"],
            ["memory.max: max", "memory.swap.max: max"],
        ),
        (
            {"limit": 100, "swap": 100},
            ["memory.limit_in_bytes: 100", "memory.memsw.limit_in_bytes: 100"],
            ["memory.max: 100", "memory.swap.max: 0"],
        ),
        (
            {"limit": 100, "swap": 150},
            ["memory.limit_in_bytes: 100", "memory.memsw.limit_in_bytes: 150"],
            ["memory.max: 100", "memory.swap.max: 50"],
        ),
        (
            {"limit": 100, "swap": -1},
            ["memory.limit_in_bytes: 100", "memory.memsw.limit_in_bytes: -1"],
            ["memory.max: 100", "memory.swap.max: max"],
        ),
        ({"swap": -1}, ["memory.memsw.limit_in_bytes: -1"], ["memory.swap.max: max"]),
        ({"reservation": 50}, ["memory.soft_limit_in_bytes: 50"], ["memory.low: 50"]),
        ({"reservation": -1}, ["memory.soft_limit_in_bytes: -1"], ["memory.low: max"]),
        ({"swappiness": 0}, ["memory.swappiness: 0"], []),
        ({"swappiness": 2**64 - 1}, [], []),
        ({"disableOOMKiller": True}, ["memory.oom_control: 1"], []),
        ({"kernel": 100, "kernelTCP": 100, "useHierarchy": True}, [], []),
    ],
)
def test_memory(memory: dict[str, Any], old: list[str], new: list[str]) -> None:
    assert old == written(OLD, {"memory": memory})
    assert new == written(NEW, {"memory": memory})


def test_memory_and_swap_are_written_together_on_v1() -> None:
    (group,) = groups(OLD, {"memory": {"limit": 100, "swap": 150}})
    assert ["linux.resources.memory.limit", "linux.resources.memory.swap"] == [one.field for one in group]


@pytest.mark.parametrize("swap", [-1, 100])
def test_swap_that_is_not_limited_may_go_uncounted(swap: int) -> None:
    for host in (OLD, NEW):
        *_, last = groups(host, {"memory": {"limit": 100, "swap": swap}})
        assert (swap == -1 or host is NEW) == last[-1].is_optional


@pytest.mark.parametrize("memory", [{"swap": 100}, {"limit": -1, "swap": 100}, {"limit": 0, "swap": 100}])
def test_swap_without_a_limit_of_memory_is_refused(memory: dict[str, Any]) -> None:
    for host in (OLD, NEW):
        assert (
            "linux.resources.memory.swap: 100 is of memory and swap together, and memory has no limit; "
            "allowed: -1, or a limit of memory with it"
        ) == refusal(host, {"memory": memory})


def test_limit_below_what_is_in_use_is_looked_for_where_the_kernel_does_not() -> None:
    resources = {"memory": {"limit": 100, "checkBeforeUpdate": True}}
    assert [""] == [write.above for group in groups(OLD, resources) for write in group]
    assert ["memory.current"] == [write.above for group in groups(NEW, resources) for write in group]


@pytest.mark.parametrize(
    ("cpu", "old", "new"),
    [
        ({"shares": 1024}, ["cpu.shares: 1024"], ["cpu.weight: 100"]),
        ({"shares": 0}, [], []),
        (
            {"quota": 50000, "period": 100000},
            ["cpu.cfs_period_us: 100000", "cpu.cfs_quota_us: 50000"],
            ["cpu.max: 50000 100000"],
        ),
        ({"quota": 50000}, ["cpu.cfs_quota_us: 50000"], ["cpu.max: 50000"]),
        ({"quota": -1}, ["cpu.cfs_quota_us: -1"], ["cpu.max: max"]),
        ({"quota": 0}, ["cpu.cfs_quota_us: -1"], ["cpu.max: max"]),
        ({"period": 20000}, ["cpu.cfs_period_us: 20000"], ["cpu.max: max 20000"]),
        (
            {"quota": 50000, "burst": 100},
            ["cpu.cfs_quota_us: 50000", "cpu.cfs_burst_us: 100"],
            ["cpu.max: 50000", "cpu.max.burst: 100"],
        ),
        ({"idle": 1, "shares": 512}, ["cpu.idle: 1"], ["cpu.idle: 1"]),
        ({"idle": 0, "shares": 512}, ["cpu.idle: 0", "cpu.shares: 512"], ["cpu.idle: 0", "cpu.weight: 59"]),
        (
            {"cpus": "0-1", "mems": "0"},
            ["cpuset.cpus: 0-1", "cpuset.mems: 0"],
            ["cpuset.cpus: 0-1", "cpuset.mems: 0"],
        ),
    ],
)
def test_cpu(cpu: dict[str, Any], old: list[str], new: list[str]) -> None:
    assert old == written(OLD, {"cpu": cpu})
    assert new == written(NEW, {"cpu": cpu})


def test_realtime_is_of_v1_alone() -> None:
    resources = {"cpu": {"realtimePeriod": 1000000, "realtimeRuntime": 950000}}
    assert ["cpu.rt_period_us: 1000000", "cpu.rt_runtime_us: 950000"] == written(OLD, resources)
    told = refusal(NEW, resources)
    assert "linux.resources.cpu.realtimeRuntime: 950000 has no counterpart in cgroup v2" in told
    assert "linux.resources.cpu.realtimePeriod: 1000000 has no counterpart in cgroup v2" in told


@pytest.mark.parametrize(("limit", "value"), [(10, "10"), (0, "0"), (-1, "max")])
def test_pids_of_zero_are_none_and_not_a_value_left_out(limit: int, value: str) -> None:
    for host in (OLD, NEW):
        assert [f"pids.max: {value}"] == written(host, {"pids": {"limit": limit}})


def test_block_io() -> None:
    resources = {
        "blockIO": {
            "weight": 100,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 500}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}],
            "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 2000}],
            "throttleReadIOPSDevice": [{"major": 8, "minor": 16, "rate": 30}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}],
        }
    }
    assert [
        "blkio.weight: 100",
        "blkio.weight_device: 8:0 500",
        "blkio.throttle.read_bps_device: 8:0 1000",
        "blkio.throttle.write_bps_device: 8:0 2000",
        "blkio.throttle.read_iops_device: 8:16 30",
        "blkio.throttle.write_iops_device: 8:16 0",
    ] == written(OLD, resources)
    assert [
        "io.bfq.weight: 100",
        "io.bfq.weight: 8:0 500",
        "io.max: 8:0 rbps=1000",
        "io.max: 8:0 wbps=2000",
        "io.max: 8:16 riops=30",
        "io.max: 8:16 wiops=max",
    ] == written(NEW, resources)


def test_weights_have_other_files_with_another_scheduler() -> None:
    block_io = {"weight": 100, "weightDevice": [{"major": 8, "minor": 0, "weight": 500}]}
    assert [("blkio.bfq.weight", "100"), ("blkio.bfq.weight_device", "8:0 500")] == [
        group[0].instead for group in groups(OLD, {"blockIO": block_io})
    ]
    assert [("io.weight", "910"), ("io.weight", "8:0 4950")] == [
        group[0].instead for group in groups(NEW, {"blockIO": block_io})
    ]


def test_leaf_weight_is_of_v1_alone() -> None:
    block_io = {"leafWeight": 20, "weightDevice": [{"major": 8, "minor": 0, "leafWeight": 30}]}
    assert ["blkio.leaf_weight: 20", "blkio.leaf_weight_device: 8:0 30"] == written(
        OLD, {"blockIO": block_io}
    )
    told = refusal(NEW, {"blockIO": block_io})
    assert "linux.resources.blockIO.leafWeight: 20 has no counterpart" in told
    assert "linux.resources.blockIO.weightDevice[0].leafWeight: 30 has no counterpart" in told


def test_huge_pages_are_limited_in_use_and_reserved() -> None:
    resources = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4096}]}
    assert ["hugetlb.2MB.limit_in_bytes: 4096", "hugetlb.2MB.rsvd.limit_in_bytes: 4096"] == written(
        OLD, resources
    )
    assert ["hugetlb.2MB.max: 4096", "hugetlb.2MB.rsvd.max: 4096"] == written(NEW, resources)
    for host in (OLD, NEW):
        in_use, reserved = groups(host, resources)
        assert (False, True) == (in_use[0].is_optional, reserved[0].is_optional)


def test_network_is_of_v1_alone() -> None:
    resources = {"network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 5}]}}
    assert ["net_cls.classid: 1048577", "net_prio.ifpriomap: eth0 5"] == written(OLD, resources)
    told = refusal(NEW, resources)
    assert 'linux.resources.network.classID: controller "net_cls" not available' in told
    assert 'linux.resources.network.priorities[0]: controller "net_prio" not available' in told


def test_rdma() -> None:
    resources = {"rdma": {"mlx5_0": {"hcaHandles": 3, "hcaObjects": 10}, "x": {"hcaObjects": 0}, "y": {}}}
    for host in (OLD, NEW):
        assert [
            "rdma.max: mlx5_0 hca_handle=3 hca_object=10",
            "rdma.max: x hca_object=0",
        ] == written(host, resources)


@pytest.mark.parametrize("name", ["", "eth0 9", "eth0\neth1", "a\tb"])
def test_name_that_would_be_more_than_a_word_of_its_line_is_refused(name: str) -> None:
    told = refusal(OLD, {"network": {"priorities": [{"name": name, "priority": 5}]}})
    assert told.startswith("linux.resources.network.priorities[0].name: ")
    assert refusal(OLD, {"rdma": {name: {"hcaObjects": 1}}}).startswith("linux.resources.rdma[")


def test_what_v2_has_nothing_for_and_only_tunes_is_a_warning() -> None:
    memory = {"swappiness": 10, "disableOOMKiller": True, "kernel": 1000, "kernelTCP": 1000}
    told = [one.partition(":")[0].rpartition(".")[2] for one in plan("/c", {"memory": memory}, NEW).warnings]
    assert ["swappiness", "disableOOMKiller", "kernel", "kernelTCP"] == told
    told = [one.partition(":")[0].rpartition(".")[2] for one in plan("/c", {"memory": memory}, OLD).warnings]
    assert ["kernel", "kernelTCP"] == told


def test_unified_goes_to_files_by_their_names_line_by_line_and_last() -> None:
    resources = {
        "unified": {
            "io.max": "8:0 rbps=1\n8:16 rbps=2\n",
            "memory.high": "1000",
            "memory.low": "",
            "cgroup.max.descendants": "5",
        },
        "memory": {"limit": 100},
        "pids": {"limit": 5},
    }
    assert [
        "memory.max: 100",
        "pids.max: 5",
        "io.max: 8:0 rbps=1",
        "io.max: 8:16 rbps=2",
        "memory.high: 1000",
        "cgroup.max.descendants: 5",
    ] == written(NEW, resources)


@pytest.mark.parametrize("mode", [V1, HYBRID])
def test_unified_is_refused_where_controllers_are_on_v1(mode: str) -> None:
    host = Host(mode=mode, hierarchies=OLD.hierarchies)
    needed = "a machine with the unified hierarchy alone"
    assert f"linux.resources.unified: names files of cgroup v2; needed: {needed}" == refusal(
        host, {"unified": {"memory.high": "1"}}
    )


def test_unified_names_the_controller_that_is_missing() -> None:
    told = refusal(NEW, {"unified": {"dmem.max": "1"}})
    assert 'linux.resources.unified["dmem.max"]: controller "dmem" not available' in told


@pytest.mark.parametrize("file", ["procs", "kill", "freeze", "subtree_control", "type", "threads"])
def test_unified_cannot_move_or_kill_processes(file: str) -> None:
    told = refusal(NEW, {"unified": {f"cgroup.{file}": "1"}})
    assert f'linux.resources.unified["cgroup.{file}"]: "cgroup.{file}" is not a limit' in told
