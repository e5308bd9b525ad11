"""Limits that were asked for: of the container's cgroup, and of its processes.

Sources: runtime-spec, config-linux.md "Control groups"; getrlimit(2); cgroups(7).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.protocol.oci.config import CPU, Device, DeviceRule, Memory, Pids, Resources, Rlimit
from holdfast.protocol.oci.names import RLIMITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.shim.bundle.wishes import Wishes

UNLIMITED = -1

_PERIOD_US = 100_000
_QUOTA_LEAST_US = 1000
_MEMORY_LEAST = 6 << 20
_RLIM_INFINITY = 2**64 - 1


def resources(wishes: Wishes, devices: Sequence[DeviceRule]) -> Resources:
    """Return the limits of the cgroup, and what may be done to which devices. Raises HoldfastError."""
    return Resources(
        devices=(DeviceRule(allow=False, access="rwm"), *devices),
        memory=_memory(wishes),
        cpu=_cpu(wishes),
        pids=Pids() if wishes.pids_limit is None else Pids(limit=wishes.pids_limit or UNLIMITED),
    )


def _memory(wishes: Wishes) -> Memory:
    limit, swap, reservation = wishes.memory, wishes.memory_swap, wishes.memory_reservation
    if limit is not None and limit < _MEMORY_LEAST:
        raise HoldfastError(f"--memory: {limit} bytes are too few; allowed: 6m and more")
    if swap is not None and swap != UNLIMITED and swap < (limit or 0):
        raise HoldfastError(
            "--memory-swap: is memory and swap together; allowed: not less than --memory, or -1"
        )
    if swap is not None and limit is None:
        raise HoldfastError("--memory-swap: only goes with --memory")
    if reservation is not None and limit is not None and reservation > limit:
        raise HoldfastError("--memory-reservation: is more than --memory")
    return Memory(limit=limit, swap=swap, reservation=reservation)


def _cpu(wishes: Wishes) -> CPU:
    quota = None
    if wishes.cpus is not None:
        quota = max(_QUOTA_LEAST_US, wishes.cpus * _PERIOD_US // 1_000_000)
    return CPU(
        quota=quota,
        period=None if quota is None else _PERIOD_US,
        shares=wishes.cpu_shares,
        cpus=wishes.cpuset_cpus,
        mems=wishes.cpuset_mems,
    )


def rlimits(typed: Sequence[str]) -> tuple[Rlimit, ...]:
    """Read `NAME=SOFT[:HARD]` for each. Raises HoldfastError."""
    return tuple(_rlimit(text) for text in typed)


def _rlimit(text: str) -> Rlimit:
    name, _, values = text.partition("=")
    kind = "RLIMIT_" + name.upper()
    if kind not in RLIMITS:
        allowed = " ".join(sorted(name.removeprefix("RLIMIT_").lower() for name in RLIMITS))
        raise HoldfastError(f"--ulimit {quoted(text)}: {quoted(name)} is not a limit; allowed: {allowed}")
    soft, colon, hard = values.partition(":")
    low = _rlimit_value(text, soft)
    high = _rlimit_value(text, hard) if colon else low
    if low > high:
        raise HoldfastError(f"--ulimit {quoted(text)}: the soft limit is above the hard one")
    return Rlimit(type=kind, soft=low, hard=high)


def _rlimit_value(text: str, value: str) -> int:
    if value in ("-1", "unlimited"):
        return _RLIM_INFINITY
    if value.isascii() and value.isdigit() and int(value[:21]) < _RLIM_INFINITY:
        return int(value)
    raise HoldfastError(
        f"--ulimit {quoted(text)}: {quoted(value)} is not a value; allowed: a number, unlimited"
    )


def devices(typed: Sequence[str]) -> tuple[tuple[Device, ...], tuple[DeviceRule, ...]]:
    """Read `HOST[:CONTAINER][:rwm]` for each: the nodes to make, and what may be done to them.

    Raises HoldfastError.
    """
    found = [_device(text) for text in typed]
    return tuple(device for device, _ in found), tuple(rule for _, rule in found)


def _device(text: str) -> tuple[Device, DeviceRule]:
    what = f"--device {quoted(text)}"
    host, *rest = text.split(":")
    access = rest.pop() if rest and not rest[-1].startswith("/") else "rwm"
    inside = rest.pop(0) if rest else host
    if rest or not inside.startswith("/") or not access or not set(access) <= set("rwm"):
        raise HoldfastError(f"{what}: is not HOST, HOST:CONTAINER or HOST:CONTAINER:rwm")
    try:
        status = os.stat(host)
    except (OSError, ValueError) as error:
        raise HoldfastError(
            f"{what}: {getattr(error, 'strerror', None) or 'a NUL byte in a path'}"
        ) from None
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        raise HoldfastError(f"{what}: {quoted(host)} is not a device")
    kind = "c" if stat.S_ISCHR(status.st_mode) else "b"
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    device = Device(
        type=kind,
        path=inside,
        major=major,
        minor=minor,
        file_mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
    )
    return device, DeviceRule(allow=True, type=kind, major=major, minor=minor, access=access)
