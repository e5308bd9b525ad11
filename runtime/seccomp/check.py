"""A profile is checked here, and its words become numbers: what may be said, and what it means.

Nothing is asked of the kernel; libseccomp is asked only which architectures it knows. What comes out is all
that the program depends on, so equal values make equal programs.

Sources: runtime-spec, config-linux.md, "Seccomp"; the kernel's include/uapi/linux/seccomp.h;
seccomp_rule_add(3).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from msgspec import Struct

from holdfast.protocol.errors import ConfigError, Problem
from holdfast.runtime.seccomp.libseccomp import Condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.protocol.oci import config
    from holdfast.runtime.seccomp.libseccomp import Library

KILL_PROCESS = 0x80000000
ALLOW = 0x7FFF0000
NOTIFY = 0x7FC00000

ACTIONS = {
    "SCMP_ACT_KILL": 0,  # the old name of KILL_THREAD
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_NOTIFY": NOTIFY,
}
"""A config's action → the verdict that the kernel takes."""

_DATA_MAX = {"SCMP_ACT_ERRNO": 4094, "SCMP_ACT_TRACE": 65535}
"""The actions whose verdict carries a number; libseccomp takes errnos below the kernel's MAX_ERRNO only."""

CONDITIONS_MAX = 1024
"""In all, counted for each name. libseccomp's time grows with their third power: 4,000 took nine minutes."""

_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
"""Default actions by which an unknown call gets to the kernel, or to a tracer, which says ENOSYS itself."""

OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
"""A config's operator → libseccomp's enum scmp_compare."""

ARCHITECTURES = (
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
)
"""The spec's list. libseccomp knows those that were there when it was made."""

HAND_OVER = ("sendmsg", "write")
"""The listener and the word that it is there are sent by these, while nobody answers on it yet."""

_INDEX_MAX = 5
_LITTLE_ENDIAN = 0x40000000
"""__AUDIT_ARCH_LE, a bit of an architecture's token."""


class Rule(Struct, frozen=True, array_like=True):
    """A checked entry of a profile: the action is taken if all conditions of one alternative hold."""

    names: tuple[str, ...]
    action: int
    alternatives: list[list[Condition]]


class Profile(Struct, frozen=True, array_like=True):
    """A checked profile."""

    default_action: int
    is_permissive: bool
    """Whether the default action lets a call reach the kernel."""
    architectures: list[int]
    """Tokens, the native one first, each once."""
    rules: list[Rule]
    notify: bool
    """Whether some call waits for a seccomp agent."""


def check(seccomp: config.Seccomp, library: Library) -> Profile:
    """Check a profile.

    Raises ConfigError, naming the field, for what a profile may not say, and for an architecture that this
    machine or this libseccomp cannot have.
    """
    default = _action("linux.seccomp.defaultAction", seccomp.default_action)
    if default == NOTIFY:
        raise _refusal(
            "linux.seccomp.defaultAction",
            seccomp.default_action,
            "it in syscalls[].action",
            "would stop init before anybody listens",
        )
    default |= _data("linux.seccomp.defaultErrnoRet", seccomp.default_action, seccomp.default_errno_ret)
    rules = [_rule(f"linux.seccomp.syscalls[{i}]", entry) for i, entry in enumerate(seccomp.syscalls)]
    conditions = sum(len(rule.names) * sum(map(len, rule.alternatives)) for rule in rules)
    if conditions > CONDITIONS_MAX:
        why = "conditions are too many"
        raise _refusal("linux.seccomp.syscalls", conditions, f"{CONDITIONS_MAX} in all", why)
    notify = any(rule.action == NOTIFY for rule in rules)
    if notify and not seccomp.listener_path:
        raise _refusal("linux.seccomp.listenerPath", None, "the socket of an agent, for SCMP_ACT_NOTIFY")
    if seccomp.listener_metadata and not seccomp.listener_path:
        raise _refusal("linux.seccomp.listenerPath", None, "the socket that listenerMetadata is sent to")
    architectures = _architectures(seccomp.architectures, library)
    return Profile(default, seccomp.default_action in _PERMISSIVE, architectures, rules, notify)


def _action(field: str, name: str) -> int:
    if name not in ACTIONS:
        raise _refusal(field, name, ", ".join(ACTIONS), "is not an action")
    return ACTIONS[name]


def _data(field: str, action: str, number: int | None) -> int:
    """Check the number that an action carries; without one, it is what goes without saying."""
    if action not in _DATA_MAX:
        if number is not None:
            raise _refusal(field, number, f"it with {' and '.join(_DATA_MAX)}", f"means nothing to {action}")
        return 0
    if number is None:
        return errno.EPERM
    if number > _DATA_MAX[action]:
        raise _refusal(field, number, f"0 to {_DATA_MAX[action]}", "is out of range")
    return number


def _rule(field: str, entry: config.Syscall) -> Rule:
    if not entry.names:
        raise _refusal(f"{field}.names", None, "a name", "is empty")
    action = _action(f"{field}.action", entry.action)
    action |= _data(f"{field}.errnoRet", entry.action, entry.errno_ret)
    for i, name in enumerate(entry.names):
        if action == NOTIFY and name in HAND_OVER:
            why = "brings the agent its descriptor, and cannot wait for it"
            raise _refusal(f"{field}.names[{i}]", name, "other calls with SCMP_ACT_NOTIFY", why)
    conditions = [_condition(f"{field}.args[{i}]", arg) for i, arg in enumerate(entry.args)]
    if len({condition.argument for condition in conditions}) == len(conditions):
        return Rule(entry.names, action, [conditions])
    return Rule(entry.names, action, [[condition] for condition in conditions])


def _condition(field: str, arg: config.SyscallArg) -> Condition:
    if arg.index > _INDEX_MAX:
        raise _refusal(f"{field}.index", arg.index, f"0 to {_INDEX_MAX}", "is out of range")
    if arg.op not in OPERATORS:
        raise _refusal(f"{field}.op", arg.op, ", ".join(OPERATORS), "is not an operator")
    return Condition(arg.index, OPERATORS[arg.op], arg.value, arg.value_two)


def _architectures(names: Sequence[str], library: Library) -> list[int]:
    native = library.native()
    tokens = [native]
    for i, name in enumerate(names):
        field = f"linux.seccomp.architectures[{i}]"
        if name not in ARCHITECTURES:
            raise _refusal(field, name, ", ".join(ARCHITECTURES), "is not an architecture")
        token = library.architecture(name.removeprefix("SCMP_ARCH_").lower())
        if not token:
            why = f"is not known to libseccomp {library.version_text}"
            raise _refusal(field, name, "what the installed library knows", why)
        if (token ^ native) & _LITTLE_ENDIAN:
            why = "has the other byte order"
            raise _refusal(field, name, "architectures of this machine's byte order", why)
        if token not in tokens:
            tokens.append(token)
    return tokens


def _refusal(field: str, was: object, allowed: str, why: str = "") -> ConfigError:
    return ConfigError([Problem(field, was, allowed, why)])
