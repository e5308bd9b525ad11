"""Rules for `linux.resources`, in config.json or by themselves in an update.

Which controllers there are, and which values of one cgroup version the other cannot express, shows when the
limits are written.

Sources: runtime-spec, config-linux.md "Control groups"; the kernel's admin-guide/cgroup-v2.rst and
cgroup-v1/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import Problem, joined
from holdfast.protocol.oci.rules.common import is_between, is_one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.protocol.oci.config import BlockIO, DeviceRule, Memory, Resources

_UNLIMITED = -1
_INT64_MAX = 2**63 - 1
_WEIGHT_MIN, _WEIGHT_MAX = 10, 1000
_DIGITS = frozenset("0123456789")
_ACCESS = frozenset("rwm")
_SWAPPINESS_UNSET = 2**64 - 1
"""-1, as writers in Go put it into the spec's unsigned number."""


def problems(resources: Resources, field: str = "linux.resources") -> Iterator[Problem]:
    """Yield what is wrong with the limits."""
    for i, rule in enumerate(resources.devices):
        yield from _device_rule(f"{field}.devices[{i}]", rule)
    yield from _memory(f"{field}.memory", resources.memory)
    yield from is_between(f"{field}.cpu.idle", resources.cpu.idle, 0, 1)
    yield from is_between(f"{field}.pids.limit", resources.pids.limit, _UNLIMITED, _INT64_MAX)
    yield from _block_io(f"{field}.blockIO", resources.block_io)
    for i, limit in enumerate(resources.hugepage_limits):
        if not _is_page_size(limit.page_size):
            allowed = "a number and KB, MB or GB, as in 2MB"
            yield Problem(
                f"{field}.hugepageLimits[{i}].pageSize", limit.page_size, allowed, "is not a page size"
            )
    for name in resources.unified:
        if "/" in name or not 0 < name.find(".") < len(name) - 1:
            allowed = "controller.parameter, as in memory.high"
            yield Problem(joined(f"{field}.unified", name), name, allowed, "is not a file of a cgroup")


def _device_rule(field: str, rule: DeviceRule) -> Iterator[Problem]:
    yield from is_one_of(f"{field}.type", rule.type or "a", ("a", "c", "b"), "is not a type of device")
    if not rule.access:
        yield Problem(f"{field}.access", None, "one or more of r, w, m")
    elif not _ACCESS.issuperset(rule.access):
        yield Problem(f"{field}.access", rule.access, "one or more of r, w, m", "is not an access")
    # -1 is how older writers say "any".
    yield from is_between(f"{field}.major", rule.major, -1, 2**32 - 1)
    yield from is_between(f"{field}.minor", rule.minor, -1, 2**32 - 1)


def _memory(field: str, memory: Memory) -> Iterator[Problem]:
    for name, value in (("limit", memory.limit), ("reservation", memory.reservation), ("swap", memory.swap)):
        yield from is_between(f"{field}.{name}", value, _UNLIMITED, _INT64_MAX)
    if memory.swappiness != _SWAPPINESS_UNSET:
        yield from is_between(f"{field}.swappiness", memory.swappiness, 0, 100)
    limit, swap = memory.limit or 0, memory.swap or 0
    if 0 < swap < limit:
        allowed = f"{limit} or more, since it is of memory and swap together"
        yield Problem(f"{field}.swap", swap, allowed, "is below the limit of memory")


def _block_io(field: str, block_io: BlockIO) -> Iterator[Problem]:
    weights = [("weight", block_io.weight), ("leafWeight", block_io.leaf_weight)]
    for i, device in enumerate(block_io.weight_device):
        weights += [
            (f"weightDevice[{i}].weight", device.weight),
            (f"weightDevice[{i}].leafWeight", device.leaf_weight),
        ]
    for name, weight in weights:
        if weight:  # 0 is how writers in Go say that there is none
            yield from is_between(f"{field}.{name}", weight, _WEIGHT_MIN, _WEIGHT_MAX)


def _is_page_size(text: str) -> bool:
    digits = text[:-2]
    return text[-2:] in {"KB", "MB", "GB"} and digits[:1] in _DIGITS - {"0"} and _DIGITS.issuperset(digits)
