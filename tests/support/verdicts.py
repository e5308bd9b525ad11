"""What a profile means, said plainly and slowly: the other opinion on what a compiled program answers."""

from __future__ import annotations

import errno
from functools import cache
from typing import TYPE_CHECKING

from holdfast.runtime.seccomp import libseccomp

if TYPE_CHECKING:
    from holdfast.protocol.oci import config

X86_64, X86, X32, AARCH64, ARM = 0xC000003E, 0x40000003, 0x4000003E, 0xC00000B7, 0x40000028
ERRNO, ALLOW = 0x00050000, 0x7FFF0000
NO_SUCH_CALL = ERRNO | errno.ENOSYS


@cache
def calls_of(token: int) -> dict[int, str]:
    """Return an architecture's calls: number → name. Some architectures have a second, higher range."""
    library = libseccomp.library()
    starts = {X32: [0x40000000], ARM: [0, 0xF0000]}.get(token, [0])
    numbers = (start + i for start in starts for i in range(1024))
    return {number: name for number in numbers if (name := library.name(token, number)) is not None}


def expected(seccomp: config.Seccomp, token: int, number: int, args: tuple[int, ...] = (0,) * 6) -> int:
    """Return the verdict on a call by an architecture of the profile, whose default action is ERRNO."""
    calls = calls_of(token)
    named = {name for rule in seccomp.syscalls for name in rule.names}
    # ARM's private calls do not count up with the others.
    private = 0xF0000 if token == ARM else 2**32
    newest = max((n for n, name in calls.items() if name in named and n < private), default=-1)
    if newest >= 0 and number < private and (number not in calls or number > newest):
        return NO_SUCH_CALL
    rules = [rule for rule in seccomp.syscalls if calls.get(number) in rule.names]
    for rule in sorted(rules, key=lambda rule: bool(rule.args)):
        indices = [condition.index for condition in rule.args]
        # For 32 bits, and it counts x32 among these, libseccomp drops the upper half of both sides.
        width = 2**32 - 1 if token in (X86, X32, ARM) else 2**64 - 1
        holds = [_holds(condition, args[condition.index], width) for condition in rule.args]
        if any(holds) if len(set(indices)) < len(indices) else all(holds):
            return _verdict(rule.action, rule.errno_ret)
    return _verdict(seccomp.default_action, seccomp.default_errno_ret)


def _verdict(action: str, data: int | None) -> int:
    data = errno.EPERM if data is None else data
    return {
        "SCMP_ACT_ALLOW": ALLOW,
        "SCMP_ACT_ERRNO": ERRNO | data,
        "SCMP_ACT_KILL_PROCESS": 0x80000000,
        "SCMP_ACT_KILL": 0,
        "SCMP_ACT_TRAP": 0x30000,
        "SCMP_ACT_LOG": 0x7FFC0000,
    }[action]


def _holds(condition: config.SyscallArg, value: int, width: int) -> bool:
    value, first, second = value & width, condition.value & width, condition.value_two & width
    return {
        "SCMP_CMP_NE": value != first,
        "SCMP_CMP_LT": value < first,
        "SCMP_CMP_LE": value <= first,
        "SCMP_CMP_EQ": value == first,
        "SCMP_CMP_GE": value >= first,
        "SCMP_CMP_GT": value > first,
        "SCMP_CMP_MASKED_EQ": value & first == second,
    }[condition.op]
