"""Limits for the files of cgroup v1, controller by controller: the spec's numbers are what these files take.

Zero means "not set" wherever it would make no sense as a value, since writers in Go put it there;
`pids.limit` is the exception that the spec makes: no process at all.

Sources: the kernel's admin-guide/cgroup-v1/; runtime-spec, config-linux.md "Control groups".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import joined
from holdfast.runtime.cgroups.convert import UNLIMITED, number_or_max
from holdfast.runtime.cgroups.limits import Write

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.protocol.oci.config import Resources
    from holdfast.runtime.cgroups.limits import Limits

FIELD = "linux.resources"

_SWAPPINESS_UNSET = 2**64 - 1
"""-1, as writers in Go put it into the spec's unsigned number."""


def memory(resources: Resources, out: Limits) -> None:
    """Source: admin-guide/cgroup-v1/memory.rst."""
    wanted, field = resources.memory, f"{FIELD}.memory"
    swap = wanted.swap
    if wanted.limit == UNLIMITED and not swap:
        swap = UNLIMITED  # the kernel refuses to take the limit of memory above that of both
    group = []
    if wanted.limit:
        group.append(Write(f"{field}.limit", "memory.limit_in_bytes", str(wanted.limit)))
    if swap:
        file, unlimited = "memory.memsw.limit_in_bytes", swap == UNLIMITED
        # Absent from a kernel that does not count swap.
        group.append(Write(f"{field}.swap", file, str(swap), is_optional=unlimited))
    out.together(*group)
    if wanted.reservation:
        out.add(f"{field}.reservation", "memory.soft_limit_in_bytes", wanted.reservation)
    if wanted.swappiness not in (None, _SWAPPINESS_UNSET):
        out.add(f"{field}.swappiness", "memory.swappiness", wanted.swappiness)
    if wanted.disable_oom_killer:
        out.add(f"{field}.disableOOMKiller", "memory.oom_control", 1)
    in_either_version(resources, out)


def in_either_version(resources: Resources, out: Limits) -> None:
    """Refuse what no version can do, and warn of members for which kernels of today have nothing."""
    wanted, field = resources.memory, f"{FIELD}.memory"
    if wanted.swap and wanted.swap > 0 and (wanted.limit or 0) <= 0:
        allowed = "-1, or a limit of memory with it"
        out.refuse(
            f"{field}.swap", wanted.swap, allowed, "is of memory and swap together, and memory has no limit"
        )
    if wanted.kernel:
        out.ignore(f"{field}.kernel", "kernels since 5.16 have no separate limit; it counts as memory")
    if wanted.kernel_tcp:
        out.ignore(f"{field}.kernelTCP", "no separate limit is set; it counts as memory")


def cpu(resources: Resources, out: Limits) -> None:
    """Source: the kernel's scheduler/sched-bwc.rst, scheduler/sched-rt-group.rst."""
    wanted, field = resources.cpu, f"{FIELD}.cpu"
    if wanted.idle is not None:
        out.add(f"{field}.idle", "cpu.idle", wanted.idle)
    if wanted.shares and not wanted.idle:  # the kernel refuses shares for an idle group
        out.add(f"{field}.shares", "cpu.shares", wanted.shares)
    times = []
    if wanted.period:
        times.append(Write(f"{field}.period", "cpu.cfs_period_us", str(wanted.period)))
    if wanted.quota is not None:
        quota = wanted.quota if wanted.quota > 0 else UNLIMITED
        times.append(Write(f"{field}.quota", "cpu.cfs_quota_us", str(quota)))
    if wanted.burst is not None:
        times.append(
            Write(f"{field}.burst", "cpu.cfs_burst_us", str(wanted.burst), is_optional=not wanted.burst)
        )
    out.together(*times)
    real = []
    if wanted.realtime_period:
        real.append(Write(f"{field}.realtimePeriod", "cpu.rt_period_us", str(wanted.realtime_period)))
    if wanted.realtime_runtime:
        real.append(Write(f"{field}.realtimeRuntime", "cpu.rt_runtime_us", str(wanted.realtime_runtime)))
    out.together(*real)


def cpuset(resources: Resources, out: Limits) -> None:
    """Source: admin-guide/cgroup-v1/cpusets.rst."""
    for name, wanted in (("cpus", resources.cpu.cpus), ("mems", resources.cpu.mems)):
        if wanted:
            # The second name is that of a hierarchy mounted with noprefix.
            out.add(f"{FIELD}.cpu.{name}", f"cpuset.{name}", wanted, instead=(name, wanted))


def pids(resources: Resources, out: Limits) -> None:
    """Source: admin-guide/cgroup-v1/pids.rst."""
    if resources.pids.limit is not None:
        out.add(f"{FIELD}.pids.limit", "pids.max", number_or_max(resources.pids.limit))


def blkio(resources: Resources, out: Limits) -> None:
    """Weights, which the BFQ scheduler has under names of its own, and limits per device.

    Source: admin-guide/cgroup-v1/blkio-controller.rst, block/bfq-iosched.rst.
    """
    wanted, field = resources.block_io, f"{FIELD}.blockIO"
    if wanted.weight:
        weight = str(wanted.weight)
        out.add(f"{field}.weight", "blkio.weight", weight, instead=("blkio.bfq.weight", weight))
    if wanted.leaf_weight:
        out.add(f"{field}.leafWeight", "blkio.leaf_weight", wanted.leaf_weight)
    for i, device in enumerate(wanted.weight_device):
        name = f"{field}.weightDevice[{i}]"
        if device.weight:
            line = f"{device.major}:{device.minor} {device.weight}"
            instead = ("blkio.bfq.weight_device", line)
            out.add(f"{name}.weight", "blkio.weight_device", line, instead=instead)
        if device.leaf_weight:
            line = f"{device.major}:{device.minor} {device.leaf_weight}"
            out.add(f"{name}.leafWeight", "blkio.leaf_weight_device", line)
    for member, devices, file in (
        ("throttleReadBpsDevice", wanted.throttle_read_bps_device, "read_bps_device"),
        ("throttleWriteBpsDevice", wanted.throttle_write_bps_device, "write_bps_device"),
        ("throttleReadIOPSDevice", wanted.throttle_read_iops_device, "read_iops_device"),
        ("throttleWriteIOPSDevice", wanted.throttle_write_iops_device, "write_iops_device"),
    ):
        for i, one in enumerate(devices):
            line = f"{one.major}:{one.minor} {one.rate}"
            out.add(f"{field}.{member}[{i}]", f"blkio.throttle.{file}", line)


def hugetlb(resources: Resources, out: Limits) -> None:
    """Source: admin-guide/cgroup-v1/hugetlb.rst."""
    huge_pages(resources, out, "limit_in_bytes")


def huge_pages(resources: Resources, out: Limits, suffix: str) -> None:
    """Limit huge pages: those in use, and where the kernel counts them those that are reserved."""
    for i, one in enumerate(resources.hugepage_limits):
        field = f"{FIELD}.hugepageLimits[{i}]"
        out.add(field, f"hugetlb.{one.page_size}.{suffix}", one.limit)
        out.together(
            Write(field, f"hugetlb.{one.page_size}.rsvd.{suffix}", str(one.limit), is_optional=True)
        )


def net_cls(resources: Resources, out: Limits) -> None:
    """Source: admin-guide/cgroup-v1/net_cls.rst."""
    if resources.network.class_id is not None:
        out.add(f"{FIELD}.network.classID", "net_cls.classid", resources.network.class_id)


def net_prio(resources: Resources, out: Limits) -> None:
    """Source: admin-guide/cgroup-v1/net_prio.rst."""
    for i, one in enumerate(resources.network.priorities):
        field = f"{FIELD}.network.priorities[{i}]"
        if is_word(one.name, f"{field}.name", out):
            out.add(field, "net_prio.ifpriomap", f"{one.name} {one.priority}")


def rdma(resources: Resources, out: Limits) -> None:
    """Source: admin-guide/cgroup-v1/rdma.rst."""
    for name, one in resources.rdma.items():
        field = joined(f"{FIELD}.rdma", name)
        counts = (("hca_handle", one.hca_handles), ("hca_object", one.hca_objects))
        limits = [f"{key}={count}" for key, count in counts if count is not None]
        if limits and is_word(name, field, out):
            out.add(field, "rdma.max", " ".join((name, *limits)))


def is_word(text: str, field: str, out: Limits) -> bool:
    """Whether a name can stand in a line of several; if not it is refused."""
    if text and text.isprintable() and " " not in text:
        return True
    out.refuse(field, text, "a name without spaces", "is not the name of a device")
    return False


CONTROLLERS: dict[str, Callable[[Resources, Limits], None]] = {
    "cpuset": cpuset,
    "cpu": cpu,
    "memory": memory,
    "pids": pids,
    "blkio": blkio,
    "hugetlb": hugetlb,
    "net_cls": net_cls,
    "net_prio": net_prio,
    "rdma": rdma,
}
"""What each controller is to be told."""
