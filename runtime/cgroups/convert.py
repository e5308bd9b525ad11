"""Values of cgroup v1, in which configurations are written, as values of v2.

The spec's numbers are those that v1's files take. v2 counts some things otherwise, and runtimes have agreed
on how to convert: a container must not get another share of the machine because the machine was upgraded.

Sources: the kernel's admin-guide/cgroup-v2.rst; runc and crun for the two formulas.
"""

from __future__ import annotations

import math

UNLIMITED = -1
MAX = "max"

_SHARES_MIN, _SHARES_MAX = 2, 262144
_WEIGHT_MIN, _WEIGHT_MAX = 1, 10000
_BLKIO_MIN, _BLKIO_MAX = 10, 1000


def weight_from_shares(shares: int) -> int:
    """Return the cpu.weight, 1 to 10000, for cpu.shares, 2 to 262144; beyond an end counts as that end.

    The curve goes through (2, 1), (1024, 100) and (262144, 10000): both ends and the defaults of both
    versions. The line that was used before it gave the default of v1 a weight of 39, well below a neighbour
    with v2's default.
    """
    if shares <= _SHARES_MIN:
        return _WEIGHT_MIN
    if shares >= _SHARES_MAX:
        return _WEIGHT_MAX
    exponent = math.log2(shares)
    return math.ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))


def weight_from_blkio(weight: int) -> int:
    """Return the io.weight, 1 to 10000, for a blkio weight, 10 to 1000: a straight line."""
    span = _WEIGHT_MAX - _WEIGHT_MIN
    return _WEIGHT_MIN + (weight - _BLKIO_MIN) * span // (_BLKIO_MAX - _BLKIO_MIN)


def number_or_max(number: int) -> str:
    """Return a limit as v2 writes it; anything negative is none."""
    return MAX if number < 0 else str(number)


def swap_max(limit: int, both: int) -> str:
    """Return the memory.swap.max for limits of memory, and of memory and swap together, which v1 counts."""
    return MAX if both == UNLIMITED else str(both - limit)


def cpu_max(quota: int, period: int) -> str:
    """Return the cpu.max for a quota and a period in microseconds; a period of 0 is left as it is."""
    share = MAX if quota <= 0 else str(quota)
    return f"{share} {period}" if period else share
