"""Limits for the files of cgroup v2, controller by controller.

The spec's numbers are those of v1 and are converted. What v2 has nothing for is an error if somebody relies
on it to hold processes back or to tell them apart, and a warning if it only tunes.

Sources: the kernel's admin-guide/cgroup-v2.rst; runtime-spec, config-linux.md "Control groups".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import joined
from holdfast.runtime.cgroups import convert, v1
from holdfast.runtime.cgroups.convert import MAX, UNLIMITED, number_or_max
from holdfast.runtime.cgroups.limits import Write
from holdfast.runtime.cgroups.v1 import FIELD

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.protocol.oci.config import Resources
    from holdfast.runtime.cgroups.limits import Limits

_NOT_THERE = "has no counterpart in cgroup v2"
_UNSET = "nothing, or a machine with this controller on cgroup v1"

_CORE_FILES = frozenset({"cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure"})
"""Those of the core, no controller's, that only limit. Others move, freeze and kill processes."""


def memory(resources: Resources, out: Limits) -> None:
    """Source: admin-guide/cgroup-v2.rst, "Memory Interface Files"."""
    wanted, field = resources.memory, f"{FIELD}.memory"
    if wanted.limit:
        above = "memory.current" if wanted.check_before_update else ""
        out.together(Write(f"{field}.limit", "memory.max", number_or_max(wanted.limit), above=above))
    swap = wanted.swap
    if wanted.limit == UNLIMITED and not swap:
        swap = UNLIMITED
    if swap:
        most = convert.swap_max(wanted.limit or 0, swap)
        # Absent from a kernel that does not count swap.
        out.together(Write(f"{field}.swap", "memory.swap.max", most, is_optional=most in (MAX, "0")))
    if wanted.reservation:
        out.add(f"{field}.reservation", "memory.low", number_or_max(wanted.reservation))
    if wanted.swappiness is not None:
        out.ignore(f"{field}.swappiness", _NOT_THERE)
    if wanted.disable_oom_killer:
        out.ignore(f"{field}.disableOOMKiller", _NOT_THERE)
    v1.in_either_version(resources, out)


def cpu(resources: Resources, out: Limits) -> None:
    """Source: admin-guide/cgroup-v2.rst, "CPU Interface Files"."""
    wanted, field = resources.cpu, f"{FIELD}.cpu"
    for name, real in (("Runtime", wanted.realtime_runtime), ("Period", wanted.realtime_period)):
        if real:
            out.refuse(f"{field}.realtime{name}", real, _UNSET, _NOT_THERE)
    if wanted.idle is not None:
        out.add(f"{field}.idle", "cpu.idle", wanted.idle)
    if wanted.shares and not wanted.idle:  # the kernel refuses a weight for an idle group
        out.add(f"{field}.shares", "cpu.weight", convert.weight_from_shares(wanted.shares))
    times = []
    if wanted.quota is not None or wanted.period:
        name = "quota" if wanted.quota is not None else "period"
        most = convert.cpu_max(wanted.quota or 0, wanted.period or 0)
        times.append(Write(f"{field}.{name}", "cpu.max", most))
    if wanted.burst is not None:
        times.append(
            Write(f"{field}.burst", "cpu.max.burst", str(wanted.burst), is_optional=not wanted.burst)
        )
    out.together(*times)


def io(resources: Resources, out: Limits) -> None:
    """Weights, which the BFQ scheduler has in a file of its own, and limits per device.

    Source: admin-guide/cgroup-v2.rst, "IO Interface Files"; block/bfq-iosched.rst.
    """
    wanted, field = resources.block_io, f"{FIELD}.blockIO"
    if wanted.weight:
        instead = ("io.weight", str(convert.weight_from_blkio(wanted.weight)))
        out.add(f"{field}.weight", "io.bfq.weight", wanted.weight, instead=instead)
    if wanted.leaf_weight:
        out.refuse(f"{field}.leafWeight", wanted.leaf_weight, _UNSET, _NOT_THERE)
    for i, device in enumerate(wanted.weight_device):
        name, number = f"{field}.weightDevice[{i}]", f"{device.major}:{device.minor}"
        if device.weight:
            instead = ("io.weight", f"{number} {convert.weight_from_blkio(device.weight)}")
            out.add(f"{name}.weight", "io.bfq.weight", f"{number} {device.weight}", instead=instead)
        if device.leaf_weight:
            out.refuse(f"{name}.leafWeight", device.leaf_weight, _UNSET, _NOT_THERE)
    for name, devices, key in (
        ("throttleReadBpsDevice", wanted.throttle_read_bps_device, "rbps"),
        ("throttleWriteBpsDevice", wanted.throttle_write_bps_device, "wbps"),
        ("throttleReadIOPSDevice", wanted.throttle_read_iops_device, "riops"),
        ("throttleWriteIOPSDevice", wanted.throttle_write_iops_device, "wiops"),
    ):
        for i, one in enumerate(devices):
            rate = str(one.rate) if one.rate else MAX  # as on v1, where 0 takes the limit away
            out.add(f"{field}.{name}[{i}]", "io.max", f"{one.major}:{one.minor} {key}={rate}")


def hugetlb(resources: Resources, out: Limits) -> None:
    """Source: admin-guide/cgroup-v2.rst, "HugeTLB Interface Files"."""
    v1.huge_pages(resources, out, "max")


def unified(resources: Resources, out: Limits, offered: tuple[str, ...]) -> None:
    """Have values written to files by their names, as `linux.resources.unified` gives them.

    offered: the controllers that there are.
    Source: runtime-spec, config-linux.md "Unified".
    """
    for file, content in resources.unified.items():
        field = joined(f"{FIELD}.unified", file)
        controller = file.partition(".")[0]
        if controller == "cgroup" and file not in _CORE_FILES:
            allowed = ", ".join(sorted(_CORE_FILES))
            out.refuse(field, file, f"of the files of the core, {allowed}", "is not a limit")
        elif controller not in (*offered, "cgroup"):
            not_available(out, field, controller)
        else:
            for line in content.split("\n"):
                if line.strip():
                    out.add(field, file, line)


def not_available(out: Limits, field: str, controller: str) -> None:
    """Note that no hierarchy has a controller that is asked for."""
    out.refuse(field, None, "a hierarchy that has it, mounted", f'controller "{controller}" not available')


CONTROLLERS: dict[str, Callable[[Resources, Limits], None]] = {
    "cpuset": v1.cpuset,
    "cpu": cpu,
    "memory": memory,
    "pids": v1.pids,
    "io": io,
    "hugetlb": hugetlb,
    "rdma": v1.rdma,
}
"""What each controller is to be told."""
