"""Profiles to programs: flags, names, and what the program answers, as told by a machine for BPF."""

from __future__ import annotations

import ctypes
import resource
from typing import Any

import pytest
from support import cbpf
from support.verdicts import ALLOW, ERRNO, NO_SUCH_CALL, X32, X86, X86_64, calls_of, expected

from holdfast.protocol.errors import ConfigError, HoldfastError
from holdfast.protocol.oci.config import Seccomp, Syscall, SyscallArg
from holdfast.runtime.seccomp import flags, libseccomp, profile
from holdfast.runtime.seccomp.profile import compile_profile

KILL_PROCESS = 0x80000000
TSYNC, LOG, SPEC_ALLOW, NEW_LISTENER, TSYNC_ESRCH, WAIT_KILLABLE_RECV = 1, 2, 4, 8, 16, 32
NAME = "SECCOMP_FILTER_FLAG_"


def rule(*names: str, action: str = "SCMP_ACT_ALLOW", args: tuple[SyscallArg, ...] = ()) -> Syscall:
    return Syscall(names=names, action=action, args=args)


def arg(index: int, value: int, op: str = "SCMP_CMP_EQ") -> SyscallArg:
    return SyscallArg(index=index, value=value, op=op)


def made(*syscalls: Syscall, **others: Any) -> Seccomp:  # noqa: ANN401  # any member
    return Seccomp(**{"default_action": "SCMP_ACT_ERRNO", "syscalls": syscalls} | others)


def code_of(seccomp: Seccomp) -> list[cbpf.Instruction]:
    return cbpf.decode(compile_profile(seccomp).program)


NOTIFY = {"listener_path": "/run/agent.sock"}
ASKS = rule("mkdir", action="SCMP_ACT_NOTIFY")


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (None, SPEC_ALLOW),
        ((), 0),
        (("LOG",), LOG),
        (("TSYNC",), TSYNC | TSYNC_ESRCH),
        (("LOG", "SPEC_ALLOW", "LOG"), LOG | SPEC_ALLOW),
        (("WAIT_KILLABLE_RECV",), 0),
    ],
)
def test_flags_are_what_is_asked_for_and_absent_is_not_empty(
    names: tuple[str, ...] | None, asked: int
) -> None:
    full = None if names is None else tuple(NAME + name for name in names)
    assert asked == compile_profile(made(flags=full)).flags


def test_listener_is_asked_for_if_a_rule_notifies() -> None:
    got = compile_profile(made(ASKS, flags=(NAME + "WAIT_KILLABLE_RECV", NAME + "TSYNC"), **NOTIFY))
    assert got.notify
    assert NEW_LISTENER | WAIT_KILLABLE_RECV | TSYNC | TSYNC_ESRCH == got.flags
    assert not compile_profile(made(rule("mkdir"), **NOTIFY)).notify


def test_flag_that_is_none_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r'linux.seccomp.flags\[1\]: "FAST" is not a flag; allowed: SECCOMP'
    ):
        compile_profile(made(flags=(NAME + "LOG", "FAST")))


def test_flag_that_this_kernel_lacks_is_refused_but_absent_flags_do_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profile, "is_supported", lambda flag: flag == LOG)
    with pytest.raises(ConfigError, match=rf'flags\[1\]: "{NAME}TSYNC" is not known to this kernel'):
        compile_profile(made(flags=(NAME + "LOG", NAME + "TSYNC")))
    assert 0 == compile_profile(made()).flags


def test_kernel_tells_which_flags_it_knows() -> None:
    assert {NAME + "TSYNC", NAME + "LOG", NAME + "SPEC_ALLOW"} <= set(flags.supported_flags())
    assert not flags.is_supported(1 << 20)


def test_names_that_libseccomp_does_not_know_are_left_out_and_told_once() -> None:
    again = rule("no_such_call", action="SCMP_ACT_LOG")
    got = compile_profile(made(rule("read", "no_such_call", "nor_this"), again))
    assert ("no_such_call", "nor_this") == got.skipped
    assert got.program == compile_profile(made(rule("read"))).program


def test_rule_that_says_what_the_default_says_is_left_out() -> None:
    redundant = rule("read", action="SCMP_ACT_ERRNO")
    code = code_of(made(rule("getpid"), redundant, architectures=("SCMP_ARCH_X86_64",)))
    assert ERRNO | 1 == cbpf.run(code, X86_64, 0).verdict
    assert ALLOW == cbpf.run(code, X86_64, 39).verdict


def test_a_call_is_new_if_it_is_newer_than_each_name_of_any_rule() -> None:
    refusal = rule("openat", action="SCMP_ACT_ERRNO")
    code = code_of(made(rule("read"), refusal, architectures=("SCMP_ARCH_X86_64",)))
    openat = 257
    assert ERRNO | 1 == cbpf.run(code, X86_64, openat).verdict
    assert NO_SUCH_CALL == cbpf.run(code, X86_64, openat + 1).verdict
    assert NO_SUCH_CALL == cbpf.run(code, X86_64, 999).verdict


@pytest.mark.parametrize("action", ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"])
def test_new_call_gets_enosys_under_each_default_that_refuses(action: str) -> None:
    code = code_of(made(rule("read"), default_action=action, architectures=("SCMP_ARCH_X86_64",)))
    assert NO_SUCH_CALL == cbpf.run(code, X86_64, 999).verdict


@pytest.mark.parametrize("action", ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"])
def test_new_call_passes_under_a_default_that_lets_pass(action: str) -> None:
    code = code_of(made(rule("read", action="SCMP_ACT_KILL"), default_action=action))
    default = {"SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_LOG": 0x7FFC0000, "SCMP_ACT_TRACE": 0x7FF00001}[action]
    assert default == cbpf.run(code, libseccomp.library().native(), 999).verdict


def test_profile_that_names_nothing_gives_its_default_to_all() -> None:
    code = code_of(made(default_action="SCMP_ACT_KILL_PROCESS"))
    native = libseccomp.library().native()
    assert {KILL_PROCESS} == {
        cbpf.run(code, native, number).verdict for number in (0, 1, 335, 999, 2**32 - 1)
    }


def test_architecture_that_is_not_listed_is_killed() -> None:
    code = code_of(made(rule("read"), architectures=("SCMP_ARCH_X86_64",)))
    i386_read, vax = 3, 12345
    assert KILL_PROCESS == cbpf.run(code, X86, i386_read).verdict
    assert KILL_PROCESS == cbpf.run(code, vax, 0).verdict
    assert KILL_PROCESS == cbpf.run(code, X86_64, 0x40000000).verdict


def test_tracer_that_leaves_a_call_out_meets_no_verdict_but_enosys() -> None:
    for architectures in (("SCMP_ARCH_X86_64",), ("SCMP_ARCH_X86_64", "SCMP_ARCH_X32")):
        killing = made(rule("read"), default_action="SCMP_ACT_KILL", architectures=architectures)
        code = code_of(killing)
        assert NO_SUCH_CALL == cbpf.run(code, X86_64, -1).verdict


def test_socketcall_of_i386_is_let_in_by_the_calls_that_it_bundles() -> None:
    code = code_of(made(rule("bind", "connect"), architectures=("SCMP_ARCH_X86",)))
    socketcall, direct_bind, bundled_bind, bundled_listen = 102, 361, 2, 4
    assert ALLOW == cbpf.run(code, X86, socketcall, (bundled_bind,)).verdict
    assert ALLOW == cbpf.run(code, X86, direct_bind).verdict
    assert ERRNO | 1 == cbpf.run(code, X86, socketcall, (bundled_listen,)).verdict


def test_program_that_is_too_long_is_refused() -> None:
    rules = (rule("read", args=(arg(0, value << 32 | value),)) for value in range(1024))
    sentence = r"linux.seccomp: its program of \d+ instructions is too long for the kernel; allowed: 4096;"
    with pytest.raises(ConfigError, match=sentence):
        compile_profile(made(*rules))


def test_action_that_library_and_kernel_lack_is_told_with_what_they_have() -> None:
    """As under an outer filter that hides seccomp(2) from the library."""
    c, level = libseccomp.library()._c, libseccomp.library().api_level()  # not used elsewhere
    c.seccomp_api_set.argtypes, c.seccomp_api_set.restype = [ctypes.c_uint], ctypes.c_int
    c.seccomp_api_set(1)
    try:
        sentence = r"linux.seccomp: seccomp_\w+: .* \(libseccomp 2[\d.]+, API level 1 with this kernel\)$"
        with pytest.raises(HoldfastError, match=sentence):
            compile_profile(made(rule("read", action="SCMP_ACT_LOG")))
        with pytest.raises(HoldfastError, match=sentence):
            compile_profile(made(rule("read"), default_action="SCMP_ACT_KILL_PROCESS"))
    finally:
        c.seccomp_api_set(level)


def test_limit_on_the_size_of_files_does_not_cut_a_program() -> None:
    seccomp = made(rule("read", "write"))
    whole = compile_profile(seccomp)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        assert whole == compile_profile(seccomp)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_search_by_tree_answers_as_the_search_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for number, name in calls_of(X86_64).items() if number % 3]
    conditional = rule("ioctl", args=(arg(1, 7),))
    seccomp = made(rule(*names), conditional, architectures=("SCMP_ARCH_X86", "SCMP_ARCH_X32"))
    monkeypatch.setattr(profile, "_TREE_FROM", 10**6)
    line = code_of(seccomp)
    monkeypatch.setattr(profile, "_TREE_FROM", 0)
    tree = code_of(seccomp)
    assert len(line) < len(tree)
    for architecture in (X86_64, X86):
        for number in [*range(700), *range(0x40000000, 0x40000000 + 700)]:
            for args in ((0, 0), (0, 7)):
                there = cbpf.run(line, architecture, number, args).verdict
                assert there == cbpf.run(tree, architecture, number, args).verdict


def test_program_says_what_a_profile_of_all_kinds_of_rules_means() -> None:
    below = SyscallArg(index=0, value=100, op="SCMP_CMP_LT")
    masked = SyscallArg(index=1, value=0xF0, value_two=0x30, op="SCMP_CMP_MASKED_EQ")
    seccomp = made(
        rule("read", args=(below, masked)),
        rule("write", args=(arg(0, 1), arg(0, 2), arg(2, 9))),
        rule("lseek", args=(arg(2, 5, "SCMP_CMP_NE"),)),
        rule("dup", args=(arg(0, 1 << 40, "SCMP_CMP_GE"),)),
        rule("keyctl", "bpf", action="SCMP_ACT_KILL_PROCESS"),
        rule("vhangup", action="SCMP_ACT_LOG"),
        rule("openat", "open", "socketcall"),
        architectures=("SCMP_ARCH_X86_64", "SCMP_ARCH_X32"),
    )
    code = code_of(seccomp)
    values = (0, 1, 2, 5, 9, 0x30, 0x35, 99, 100, 101, 0x130, 1 << 40, (1 << 40) - 1, 2**64 - 1)
    for token in (X86_64, X32):
        for number in calls_of(token):
            for args in ((a, b, c) for a in values for b in (0, 0x30, 0x3F, 0x40) for c in (0, 5, 9)):
                if number & 0xFFF > 8 and args[0] > 2:  # only the first few look at arguments
                    continue
                assert expected(seccomp, token, number, args) == cbpf.run(code, X86_64, number, args).verdict
