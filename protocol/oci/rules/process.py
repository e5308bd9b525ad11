"""Rules for `process`, in config.json or by itself.

Sources: runtime-spec, config.md "Process"; the man page of each call that takes the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import Problem, quoted
from holdfast.protocol.oci import names
from holdfast.protocol.oci.rules.common import (
    ID_MAX,
    are_among,
    is_absolute,
    is_between,
    is_environment,
    is_one_line,
    is_one_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.protocol.oci.config import Capabilities, Process, Rlimit, Scheduler, User

_SIZE_MAX = 2**16 - 1
"""Rows and columns of a terminal. Source: ioctl_tty(2), TIOCSWINSZ."""
_GROUPS_MAX = 65536
"""Source: setgroups(2), NGROUPS_MAX."""


def problems(process: Process, field: str = "process") -> Iterator[Problem]:
    """Yield what is wrong with a process."""
    yield from is_absolute(f"{field}.cwd", process.cwd)
    if not process.args:
        yield Problem(f"{field}.args", None, "at least the program's name")
    yield from is_environment(f"{field}.env", process.env)
    if process.terminal and process.console_size:
        yield from is_between(f"{field}.consoleSize.height", process.console_size.height, 0, _SIZE_MAX)
        yield from is_between(f"{field}.consoleSize.width", process.console_size.width, 0, _SIZE_MAX)
    yield from _user(f"{field}.user", process.user)
    yield from _rlimits(f"{field}.rlimits", process.rlimits)
    yield from is_one_line(f"{field}.apparmorProfile", process.apparmor_profile)
    yield from is_one_line(f"{field}.selinuxLabel", process.selinux_label)
    yield from is_between(f"{field}.oomScoreAdj", process.oom_score_adj, -1000, 1000)
    if process.scheduler:
        yield from _scheduler(f"{field}.scheduler", process.scheduler)
    if process.io_priority:
        classes = names.IO_PRIORITY_CLASSES
        yield from is_one_of(
            f"{field}.ioPriority.class", process.io_priority.class_, classes, "is not a class"
        )
        yield from is_between(f"{field}.ioPriority.priority", process.io_priority.priority, 0, 7)
    for name, cpus in (
        ("initial", process.exec_cpu_affinity.initial),
        ("final", process.exec_cpu_affinity.final),
    ):
        yield from is_range_list(f"{field}.execCPUAffinity.{name}", cpus)


def is_range_list(field: str, text: str) -> Iterator[Problem]:
    """Tell of what is not a list of CPUs or nodes; empty is none."""
    if text:
        try:
            names.parse_ranges(text)
        except ValueError:
            allowed = f"numbers of 0 to {names.CPU_MAX} and ranges of them, as in 0-3,7"
            yield Problem(field, text, allowed, "is not a list")


def _user(field: str, user: User) -> Iterator[Problem]:
    yield from is_between(f"{field}.uid", user.uid, 0, ID_MAX)
    yield from is_between(f"{field}.gid", user.gid, 0, ID_MAX)
    yield from is_between(f"{field}.umask", user.umask, 0, 0o777)
    if len(user.additional_gids) > _GROUPS_MAX:
        yield Problem(
            f"{field}.additionalGids", len(user.additional_gids), f"{_GROUPS_MAX}", "groups are too many"
        )
    for i, gid in enumerate(user.additional_gids):
        yield from is_between(f"{field}.additionalGids[{i}]", gid, 0, ID_MAX)


def _rlimits(field: str, rlimits: tuple[Rlimit, ...]) -> Iterator[Problem]:
    seen = set()
    for i, limit in enumerate(rlimits):
        yield from is_one_of(f"{field}[{i}].type", limit.type, names.RLIMITS, "is not a resource limit")
        if limit.type in seen:
            yield Problem(f"{field}[{i}].type", limit.type, "each type once", "is there twice")
        seen.add(limit.type)
        if limit.soft > limit.hard:
            yield Problem(f"{field}[{i}].soft", limit.soft, f"0 to {limit.hard}", "is above the hard limit")


def _scheduler(field: str, scheduler: Scheduler) -> Iterator[Problem]:
    """Tell of what sched_setattr(2) would refuse, or silently ignore."""
    policy = scheduler.policy
    if policy not in names.SCHEDULER_POLICIES:
        yield from is_one_of(f"{field}.policy", policy, names.SCHEDULER_POLICIES, "is not a policy")
        return
    yield from are_among(f"{field}.flags", scheduler.flags, names.SCHEDULER_FLAGS, "is not a flag")
    for name, value, least, most, policies in (
        ("nice", scheduler.nice, -20, 19, ("SCHED_OTHER", "SCHED_BATCH")),
        ("priority", scheduler.priority, 1, 99, ("SCHED_FIFO", "SCHED_RR")),
        ("runtime", scheduler.runtime, 0, 2**63 - 1, ("SCHED_DEADLINE",)),
        ("deadline", scheduler.deadline, 0, 2**63 - 1, ("SCHED_DEADLINE",)),
        ("period", scheduler.period, 0, 2**63 - 1, ("SCHED_DEADLINE",)),
    ):
        if policy in policies:
            yield from is_between(f"{field}.{name}", value, least, most)
        elif value:
            yield Problem(
                f"{field}.{name}", value, f"with {' or '.join(policies)}", f"means nothing to {policy}"
            )


def warnings(process: Process, field: str = "process") -> Iterator[str]:
    """Yield what will not be done, and is no error."""
    if process.capabilities:
        yield from _unknown_capabilities(f"{field}.capabilities", process.capabilities)


def _unknown_capabilities(field: str, capabilities: Capabilities) -> Iterator[str]:
    for name in capabilities.__struct_fields__:
        for i, capability in enumerate(getattr(capabilities, name)):
            if names.capability(capability) is None:
                yield f"{field}.{name}[{i}]: {quoted(capability)} is not a capability of Linux, and left out"
    needed = {names.capability(name) for name in capabilities.permitted} & {
        names.capability(name) for name in capabilities.inheritable
    }
    for i, capability in enumerate(capabilities.ambient):
        if names.capability(capability) not in needed:
            yield (
                f"{field}.ambient[{i}]: {quoted(capability)} is left out, since it is not both "
                "permitted and inheritable"
            )
