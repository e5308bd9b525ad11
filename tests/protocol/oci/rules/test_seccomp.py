"""Rules for a seccomp filter."""

from __future__ import annotations

from typing import Any

import pytest
from support.configs import problems

ACTIONS = (
    "SCMP_ACT_KILL, SCMP_ACT_KILL_THREAD, SCMP_ACT_KILL_PROCESS, SCMP_ACT_TRAP, SCMP_ACT_ERRNO, "
    "SCMP_ACT_TRACE, SCMP_ACT_ALLOW, SCMP_ACT_LOG, SCMP_ACT_NOTIFY"
)


def of_seccomp(**changes: Any) -> list[str]:  # noqa: ANN401  # any JSON
    """Return what is wrong with a filter that allows all, after changes."""
    return problems({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", **changes}}})


def of_syscall(**changes: Any) -> list[str]:  # noqa: ANN401  # any JSON
    """Return what is wrong with an entry for a system call."""
    return of_seccomp(syscalls=[{"names": ["chmod"], "action": "SCMP_ACT_KILL", **changes}])


@pytest.mark.parametrize("action", ACTIONS.split(", "))
def test_each_action_is_allowed_for_a_system_call(action: str) -> None:
    assert [] == of_syscall(action=action)


def test_an_unknown_action_is_told() -> None:
    assert [f'linux.seccomp.defaultAction: "ALLOW" is not an action; allowed: {ACTIONS}'] == of_seccomp(
        defaultAction="ALLOW"
    )
    assert [
        f'linux.seccomp.syscalls[0].action: "SCMP_ACT_X" is not an action; allowed: {ACTIONS}'
    ] == of_syscall(action="SCMP_ACT_X")


def test_an_unknown_action_is_told_once_and_not_repeated_raw() -> None:
    told = of_syscall(action="\x1b", errnoRet=1)

    assert 1 == len(told)
    assert told[0].startswith('linux.seccomp.syscalls[0].action: "\\x1b" is not an action')


def test_notify_is_no_default() -> None:
    assert [
        (
            'linux.seccomp.defaultAction: "SCMP_ACT_NOTIFY" would stop init before anybody listens; '
            "allowed: in syscalls[].action"
        )
    ] == of_seccomp(defaultAction="SCMP_ACT_NOTIFY")


@pytest.mark.parametrize(("action", "most"), [("SCMP_ACT_ERRNO", 4095), ("SCMP_ACT_TRACE", 65535)])
def test_a_number_goes_with_errno_and_trace(action: str, most: int) -> None:
    field = "linux.seccomp.syscalls[0].errnoRet"

    for number in (0, 1, most):
        assert [] == of_syscall(action=action, errnoRet=number)
        assert [] == of_seccomp(defaultAction=action, defaultErrnoRet=number)
    assert [f"{field}: {most + 1} is out of range; allowed: 0 to {most}"] == of_syscall(
        action=action, errnoRet=most + 1
    )


@pytest.mark.parametrize(
    "action", [action for action in ACTIONS.split(", ") if not action.endswith(("ERRNO", "TRACE", "NOTIFY"))]
)
def test_a_number_with_another_action_is_told(action: str) -> None:
    reason = f"1 means nothing to {action}; allowed: with SCMP_ACT_ERRNO or SCMP_ACT_TRACE"

    assert [f"linux.seccomp.syscalls[0].errnoRet: {reason}"] == of_syscall(action=action, errnoRet=1)
    assert [f"linux.seccomp.defaultErrnoRet: {reason}"] == of_seccomp(
        defaultAction=action, defaultErrnoRet=1
    )


def test_architectures_and_flags_are_of_the_spec() -> None:
    assert [] == of_seccomp(architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_LOONGARCH64"], flags=[])
    (architecture,) = of_seccomp(architectures=["SCMP_ARCH_X86_64", "X86"])
    (flag,) = of_seccomp(flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_NEW_LISTENER"])

    assert architecture.startswith(
        'linux.seccomp.architectures[1]: "X86" is not an architecture; allowed: SCMP_ARCH_'
    )
    assert (
        'linux.seccomp.flags[1]: "SECCOMP_FILTER_FLAG_NEW_LISTENER" is not a flag; '
        "allowed: SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, "
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
    ) == flag


def test_metadata_goes_to_a_listener() -> None:
    assert [] == of_seccomp(listenerPath="/run/agent", listenerMetadata="x")
    assert [
        "linux.seccomp.listenerPath: is missing; needed: the socket to which listenerMetadata goes"
    ] == of_seccomp(listenerMetadata="x")
    assert ['linux.seccomp.listenerPath: "agent" is not absolute; allowed: an absolute path'] == of_seccomp(
        listenerPath="agent"
    )


def test_a_system_call_has_names_and_sound_conditions() -> None:
    condition = {"index": 5, "value": 2**64 - 1, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}

    assert [] == of_syscall(args=[condition, condition])
    assert ["linux.seccomp.syscalls[0].names: is missing; needed: at least one name"] == of_syscall(names=[])
    assert ["linux.seccomp.syscalls[0].args[1].index: 6 is out of range; allowed: 0 to 5"] == of_syscall(
        args=[condition, {**condition, "index": 6}]
    )
    assert [
        (
            'linux.seccomp.syscalls[0].args[0].op: "==" is not an operator; allowed: SCMP_CMP_NE, '
            "SCMP_CMP_LT, SCMP_CMP_LE, SCMP_CMP_EQ, SCMP_CMP_GE, SCMP_CMP_GT, SCMP_CMP_MASKED_EQ"
        )
    ] == of_syscall(args=[{**condition, "op": "=="}])
