"""A profile's words become numbers, once it is known that this machine can have what they say.

What the spec allows anywhere is checked by protocol/oci/rules/seccomp.py.  Here comes what depends on
libseccomp, on the machine, and on how Holdfast loads a filter.  What comes out is all that the program
depends on, so equal values make equal programs.

Sources: runtime-spec, config-linux.md, "Seccomp"; seccomp(2); seccomp_rule_add(3).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from msgspec import Struct

from holdfast.protocol.errors import ConfigError, Problem
from holdfast.protocol.oci.names import SECCOMP_ACTIONS, SECCOMP_OPERATORS, SECCOMP_RETURN_MAX
from holdfast.protocol.oci.rules import seccomp as spec
from holdfast.runtime.seccomp.libseccomp import Condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.protocol.oci import config
    from holdfast.runtime.seccomp.libseccomp import Library

CONDITIONS_MAX = 1024
"""In all, counted for each name. libseccomp's time grows with their third power: 4,000 took nine minutes."""

HAND_OVER = ("sendmsg", "write")
"""The listener and the word that it is there are sent by these, while nobody answers on it yet."""

_NOTIFY = "SCMP_ACT_NOTIFY"

_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
"""Default actions by which an unknown call gets to the kernel, or to a tracer, which says ENOSYS itself."""

_ERRNO_MAX = 4094
"""libseccomp takes what is below the kernel's MAX_ERRNO."""

_LITTLE_ENDIAN = 0x40000000
"""__AUDIT_ARCH_LE, a bit of an architecture's token."""


class Rule(Struct, frozen=True, array_like=True):
    """An entry of a profile: the action is taken if all conditions of one alternative hold."""

    names: tuple[str, ...]
    action: int
    alternatives: list[list[Condition]]


class Profile(Struct, frozen=True, array_like=True):
    """A profile in numbers."""

    default_action: int
    is_permissive: bool
    """Whether the default action lets a call reach the kernel."""
    architectures: list[int]
    """Tokens, the native one first, each once."""
    rules: list[Rule]
    notify: bool
    """Whether some call waits for a seccomp agent."""


def check(seccomp: config.Seccomp, library: Library) -> Profile:
    """Check a profile and put the kernel's and the library's numbers in the place of names.

    Raises ConfigError, which names the fields.
    """
    for rules in (spec.problems(seccomp), _problems(seccomp, library)):
        if found := list(rules):
            raise ConfigError(found)
    architectures = {library.native(): None}
    architectures |= dict.fromkeys(_token(name, library) for name in seccomp.architectures)
    return Profile(
        _verdict(seccomp.default_action, seccomp.default_errno_ret),
        seccomp.default_action in _PERMISSIVE,
        list(architectures),
        [_rule(entry) for entry in seccomp.syscalls],
        any(entry.action == _NOTIFY for entry in seccomp.syscalls),
    )


def _problems(seccomp: config.Seccomp, library: Library) -> Iterator[Problem]:
    """Yield what cannot be had here, of a profile that is right by the spec."""
    conditions = sum(len(entry.names) * len(entry.args) for entry in seccomp.syscalls)
    if conditions > CONDITIONS_MAX:
        why = "conditions are too many"
        yield Problem("linux.seccomp.syscalls", conditions, f"{CONDITIONS_MAX} in all", why)
    for i, name in enumerate(seccomp.architectures):
        field = f"linux.seccomp.architectures[{i}]"
        token = _token(name, library)
        if not token:
            why = f"is not known to libseccomp {library.version_text}"
            yield Problem(field, name, "what the installed library knows", why)
        elif (token ^ library.native()) & _LITTLE_ENDIAN:
            yield Problem(field, name, "those of this machine's byte order", "has the other byte order")
    yield from _number("linux.seccomp.defaultErrnoRet", seccomp.default_action, seccomp.default_errno_ret)
    for i, entry in enumerate(seccomp.syscalls):
        field = f"linux.seccomp.syscalls[{i}]"
        yield from _number(f"{field}.errnoRet", entry.action, entry.errno_ret)
        if entry.action == _NOTIFY:
            yield from _listener(field, entry, seccomp.listener_path)


def _number(field: str, action: str, number: int | None) -> Iterator[Problem]:
    if action == "SCMP_ACT_ERRNO" and number is not None and number > _ERRNO_MAX:
        yield Problem(field, number, f"0 to {_ERRNO_MAX}", "is out of range")


def _listener(field: str, entry: config.Syscall, path: str) -> Iterator[Problem]:
    if not path:
        yield Problem("linux.seccomp.listenerPath", None, f"the socket of an agent, for {field}.action")
    for i, name in enumerate(entry.names):
        if name in HAND_OVER:
            why = "brings the agent its descriptor, and cannot wait for it"
            yield Problem(f"{field}.names[{i}]", name, f"other calls with {_NOTIFY}", why)


def _token(architecture: str, library: Library) -> int:
    return library.architecture(architecture.removeprefix("SCMP_ARCH_").lower())


def _verdict(action: str, number: int | None) -> int:
    """Return what a filter says for an action; a number that is not given is EPERM."""
    carried = (errno.EPERM if number is None else number) if action in SECCOMP_RETURN_MAX else 0
    return SECCOMP_ACTIONS[action] | carried


def _rule(entry: config.Syscall) -> Rule:
    conditions = [
        Condition(arg.index, SECCOMP_OPERATORS[arg.op], arg.value, arg.value_two) for arg in entry.args
    ]
    is_one_each = len({condition.argument for condition in conditions}) == len(conditions)
    alternatives = [conditions] if is_one_each else [[condition] for condition in conditions]
    return Rule(entry.names, _verdict(entry.action, entry.errno_ret), alternatives)
