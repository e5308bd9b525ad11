"""What a profile may not say, and the sentence that comes back."""

from __future__ import annotations

import re
from typing import Any

import pytest

from holdfast.protocol.errors import ConfigError
from holdfast.protocol.oci.config import Seccomp, Syscall, SyscallArg
from holdfast.runtime.seccomp import libseccomp
from holdfast.runtime.seccomp.check import HAND_OVER, Profile, check
from holdfast.runtime.seccomp.libseccomp import Condition

AGENT = "/run/agent.sock"


def checked(*syscalls: Syscall, **others: Any) -> Profile:  # noqa: ANN401  # any member
    seccomp = Seccomp(**{"default_action": "SCMP_ACT_ERRNO", "syscalls": syscalls} | others)
    return check(seccomp, libseccomp.library())


def rule(*names: str, action: str = "SCMP_ACT_ALLOW", **others: Any) -> Syscall:  # noqa: ANN401  # any member
    return Syscall(names=names, action=action, **others)


def arg(index: int = 0, op: str = "SCMP_CMP_EQ", value: int = 1, value_two: int = 0) -> SyscallArg:
    return SyscallArg(index=index, value=value, value_two=value_two, op=op)


@pytest.mark.parametrize(
    ("seccomp", "sentence"),
    [
        (
            {"default_action": "SCMP_ACT_ERRNO", "default_errno_ret": 4095},
            "linux.seccomp.defaultErrnoRet: 4095 is out of range; allowed: 0 to 4094",
        ),
        (
            {"syscalls": (rule("read"), rule("dup", action="SCMP_ACT_ERRNO", errno_ret=4095))},
            "linux.seccomp.syscalls[1].errnoRet: 4095 is out of range; allowed: 0 to 4094",
        ),
        (
            {"architectures": ("SCMP_ARCH_X86_64", "SCMP_ARCH_S390X")},
            'linux.seccomp.architectures[1]: "SCMP_ARCH_S390X" has the other byte order; allowed: ',
        ),
        (
            {"syscalls": (rule("mkdir", action="SCMP_ACT_NOTIFY"),)},
            "linux.seccomp.listenerPath: is missing; needed: the socket of an agent, for linux.seccomp.sysc",
        ),
        (
            {"syscalls": (rule(*map(str, range(342)), args=(arg(0), arg(0), arg(1))),)},
            "linux.seccomp.syscalls: 1026 conditions are too many; allowed: 1024 in all",
        ),
    ],
)
def test_profile_that_cannot_be_had_here_is_refused_with_its_field(
    seccomp: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        check(Seccomp(**{"default_action": "SCMP_ACT_ERRNO"} | seccomp), libseccomp.library())


def test_profile_that_is_wrong_by_the_spec_is_refused_with_all_its_fields() -> None:
    wrong = rule("read", action="SCMP_ACT_DENY", args=(arg(index=6),))
    with pytest.raises(ConfigError) as raised:
        checked(rule("read"), wrong, architectures=("amd64",))
    fields = [problem.field for problem in raised.value.problems]
    expected = ["architectures[0]", "syscalls[1].action", "syscalls[1].args[0].index"]
    assert [f"linux.seccomp.{field}" for field in expected] == fields


def test_architecture_that_this_libseccomp_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    library = libseccomp.library()
    monkeypatch.setattr(library, "architecture", lambda name: 0 if name == "riscv64" else 1)
    with pytest.raises(ConfigError, match=r'\[0\]: "SCMP_ARCH_RISCV64" is not known to libseccomp 2'):
        check(Seccomp(default_action="SCMP_ACT_ERRNO", architectures=("SCMP_ARCH_RISCV64",)), library)


@pytest.mark.parametrize("name", HAND_OVER)
def test_call_that_hands_the_listener_over_cannot_wait_for_it(name: str) -> None:
    with pytest.raises(ConfigError, match=rf'syscalls\[0\].names\[1\]: "{name}" brings the agent its desc'):
        checked(rule("mkdir", name, action="SCMP_ACT_NOTIFY"), listener_path=AGENT)
    assert not checked(rule(name), listener_path=AGENT).notify


def test_native_architecture_is_always_there_and_each_once() -> None:
    native = libseccomp.library().native()
    assert [native] == checked().architectures
    several = ("SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64")
    tokens = checked(architectures=several).architectures
    assert native == tokens[0]
    assert {native, 0x40000003, 0xC000003E, 0xC00000B7} == set(tokens)
    assert len(tokens) == len(set(tokens))


def test_error_number_is_eperm_unless_it_is_told() -> None:
    assert 0x00050001 == checked().default_action
    assert 0x00050026 == checked(default_errno_ret=38).default_action
    assert 0x00050000 == checked(default_errno_ret=0).default_action
    assert 0x7FF00001 == checked(default_action="SCMP_ACT_TRACE").default_action
    assert 0x0005000D == checked(rule("read", action="SCMP_ACT_ERRNO", errno_ret=13)).rules[0].action


def test_conditions_on_different_arguments_must_all_hold() -> None:
    entry = rule("read", args=(arg(0), arg(1, "SCMP_CMP_MASKED_EQ", 6, 2)))
    assert [[Condition(0, 4, 1, 0), Condition(1, 7, 6, 2)]] == checked(entry).rules[0].alternatives


def test_conditions_on_one_argument_are_alternatives_and_all_others_with_them() -> None:
    (got,) = checked(rule("read", args=(arg(0), arg(1), arg(0, value=2)))).rules
    assert [[Condition(0, 4, 1)], [Condition(1, 4, 1)], [Condition(0, 4, 2)]] == got.alternatives


@pytest.mark.parametrize(
    ("action", "is_permissive"),
    [
        ("SCMP_ACT_ALLOW", True),
        ("SCMP_ACT_LOG", True),
        ("SCMP_ACT_TRACE", True),
        ("SCMP_ACT_ERRNO", False),
        ("SCMP_ACT_TRAP", False),
        ("SCMP_ACT_KILL", False),
        ("SCMP_ACT_KILL_PROCESS", False),
    ],
)
def test_default_action_is_permissive_if_it_lets_calls_pass(action: str, *, is_permissive: bool) -> None:
    assert is_permissive is checked(default_action=action).is_permissive
