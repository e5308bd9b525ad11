"""Limits that are set from outside, on the parked init: resource limits and the OOM killer's preference.

The parent has the right to raise a hard limit or to lower the score; init may have lost it by now.

Sources: prlimit(2), getrlimit(2), proc_pid_oom_score_adj(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.oci.names import RLIMITS
from holdfast.runtime.sys import process

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.protocol.oci import config
    from holdfast.runtime.procfs import Procfs
    from holdfast.runtime.sys.call import Executor


class Limit(msgspec.Struct, frozen=True):
    """A resource limit by its number; 2**64 - 1 is no limit."""

    field: str
    resource: int
    soft: int
    hard: int


def plan_limits(rlimits: Iterable[config.Rlimit]) -> tuple[Limit, ...]:
    """Turn names into numbers; the config has been checked."""
    return tuple(
        Limit(f"process.rlimits[{i}]", RLIMITS[limit.type], limit.soft, limit.hard)
        for i, limit in enumerate(rlimits)
    )


def apply(x: Executor, pid: int, limits: Sequence[Limit]) -> None:
    """Set the resource limits of a process."""
    for limit in limits:
        x.subject = f"{limit.field}: set soft {limit.soft}, hard {limit.hard}"
        x.do(process.prlimit(pid, limit.resource, limit.soft, limit.hard))
    x.subject = ""


def set_oom_score(x: Executor, proc: Procfs, pid: int, score: int) -> None:
    """Tell the OOM killer how gladly to take the process: -1000 (never) to 1000 (first)."""
    x.subject = f"process.oomScoreAdj: set {score}"
    proc.write(b"%d/oom_score_adj" % pid, b"%d" % score)
    x.subject = ""
