"""Rules for `linux.seccomp` that hold for every kernel and every version of libseccomp.

Sources: runtime-spec, config-linux.md "Seccomp"; seccomp(2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import Problem
from holdfast.protocol.oci import names
from holdfast.protocol.oci.rules.common import are_among, is_absolute, is_between, is_one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.protocol.oci.config import Seccomp

_INDEX_MAX = 5


def problems(seccomp: Seccomp, field: str = "linux.seccomp") -> Iterator[Problem]:
    """Yield what is wrong with a filter."""
    yield from _action(f"{field}.defaultAction", seccomp.default_action)
    if seccomp.default_action == "SCMP_ACT_NOTIFY":
        why = "would stop init before anybody listens"
        yield Problem(f"{field}.defaultAction", seccomp.default_action, "in syscalls[].action", why)
    yield from _number(f"{field}.defaultErrnoRet", seccomp.default_action, seccomp.default_errno_ret)
    yield from are_among(
        f"{field}.architectures",
        seccomp.architectures,
        names.SECCOMP_ARCHITECTURES,
        "is not an architecture",
    )
    yield from are_among(f"{field}.flags", seccomp.flags or (), names.SECCOMP_FLAGS, "is not a flag")
    if seccomp.listener_path:
        yield from is_absolute(f"{field}.listenerPath", seccomp.listener_path)
    elif seccomp.listener_metadata:
        yield Problem(f"{field}.listenerPath", None, "the socket to which listenerMetadata goes")
    for i, syscall in enumerate(seccomp.syscalls):
        here = f"{field}.syscalls[{i}]"
        if not syscall.names:
            yield Problem(f"{here}.names", None, "at least one name")
        yield from _action(f"{here}.action", syscall.action)
        yield from _number(f"{here}.errnoRet", syscall.action, syscall.errno_ret)
        for j, arg in enumerate(syscall.args):
            yield from is_between(f"{here}.args[{j}].index", arg.index, 0, _INDEX_MAX)
            yield from is_one_of(
                f"{here}.args[{j}].op", arg.op, names.SECCOMP_OPERATORS, "is not an operator"
            )


def _action(field: str, action: str) -> Iterator[Problem]:
    yield from is_one_of(field, action, names.SECCOMP_ACTIONS, "is not an action")


def _number(field: str, action: str, number: int | None) -> Iterator[Problem]:
    """Yield what is wrong with the number that goes back to the process, or to its tracer."""
    most = names.SECCOMP_RETURN_MAX.get(action)
    if most is not None:
        yield from is_between(field, number, 0, most)
    elif number is not None and action in names.SECCOMP_ACTIONS:
        allowed = f"with {' or '.join(names.SECCOMP_RETURN_MAX)}"
        yield Problem(field, number, allowed, f"means nothing to {action}")
