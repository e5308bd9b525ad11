"""The default profile: every call is judged, and the program says what the tables say."""

from __future__ import annotations

import errno

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import cbpf
from support.verdicts import (
    AARCH64,
    ALLOW,
    ARM,
    ERRNO,
    NO_SUCH_CALL,
    X32,
    X86,
    X86_64,
    calls_of,
    expected,
)

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci import config
from holdfast.runtime.seccomp import default
from holdfast.runtime.seccomp.default import default_seccomp
from holdfast.runtime.seccomp.profile import compile_profile

JUDGED_BY_ARGUMENT = {"clone", "clone3", "personality", "socket", "ioctl"}
MACHINES = {"x86_64": (X86_64, X86, X32), "aarch64": (AARCH64, ARM)}
KERNEL_ARCHITECTURE = {X32: X86_64}
DENIED = ERRNO | errno.EPERM

CLONE, SOCKET, IOCTL, PERSONALITY = 56, 41, 16, 135
"""Numbers on x86-64."""


def flat(table: dict[str, str]) -> list[str]:
    return [name for names in table.values() for name in names.split()]


def always() -> list[str]:
    return flat(default.ALWAYS) + [name for table in default.OF_MACHINE.values() for name in flat(table)]


def with_capability() -> set[str]:
    return {name for table in default.WITH_CAPABILITY.values() for name in flat(table)}


def code_of(*capabilities: str) -> list[cbpf.Instruction]:
    return cbpf.decode(compile_profile(default_seccomp(set(capabilities), "x86_64")).program)


@pytest.fixture(scope="module")
def plain() -> list[cbpf.Instruction]:
    return code_of()


@pytest.fixture(scope="module")
def admin() -> list[cbpf.Instruction]:
    return code_of("CAP_SYS_ADMIN")


def test_every_call_that_libseccomp_knows_has_a_place() -> None:
    judged = {*always(), *with_capability(), *flat(default.REFUSED), *JUDGED_BY_ARGUMENT}
    known = {name for tokens in MACHINES.values() for token in tokens for name in calls_of(token).values()}
    assert set() == known - judged


def test_no_call_is_judged_twice() -> None:
    places = [*always(), *with_capability(), *flat(default.REFUSED), *JUDGED_BY_ARGUMENT]
    assert [] == sorted(name for name in set(places) if places.count(name) > 1)


def test_no_name_is_mistyped() -> None:
    """What libseccomp does not know must be younger than the oldest library that we take."""
    younger = """
        futex_waitv futex_wake futex_wait futex_requeue map_shadow_stack fchmodat2 cachestat
        statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal uretprobe
        uprobe setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr
        file_setattr set_mempolicy_home_node memfd_secret process_mrelease quotactl_fd"""
    seccomp = default_seccomp(set(default.WITH_CAPABILITY), "x86_64")
    assert set(compile_profile(seccomp).skipped) <= set(younger.split())


@pytest.mark.parametrize(
    "capabilities", [set(), set(default.WITH_CAPABILITY), {"CAP_SYS_CHROOT", "CAP_BPF"}]
)
def test_program_answers_every_number_as_the_profile_says(capabilities: set[str]) -> None:
    seccomp = default_seccomp(capabilities, "x86_64")
    code = cbpf.decode(compile_profile(seccomp).program)
    for token in MACHINES["x86_64"]:
        first = min(calls_of(token))
        for number in (*range(first, first + 700), 0x3FFFFFFF, 0x40000000 + 2000, 2**31, 2**32 - 1):
            if token == X86_64 and number >= 0x40000000:
                continue
            verdict = cbpf.run(code, KERNEL_ARCHITECTURE.get(token, token), number).verdict
            assert expected(seccomp, token, number) == verdict, (hex(token), number)


def test_kernel_can_tell_the_allowed_calls_without_running_the_program(
    plain: list[cbpf.Instruction],
) -> None:
    seccomp = default_seccomp(set(), "x86_64")
    for token in MACHINES["x86_64"]:
        for number, name in calls_of(token).items():
            if name in always() and expected(seccomp, token, number) == ALLOW:
                answer = cbpf.run(plain, KERNEL_ARCHITECTURE.get(token, token), number)
                assert (ALLOW, False) == (answer.verdict, answer.looked_at_arguments), name


@pytest.mark.parametrize("token", MACHINES["x86_64"])
@pytest.mark.parametrize("name", sorted(name for name in flat(default.REFUSED)))
def test_refused_call_is_refused_whatever_the_capabilities(
    admin: list[cbpf.Instruction], token: int, name: str
) -> None:
    for number in (number for number, known in calls_of(token).items() if known == name):
        assert DENIED == cbpf.run(admin, KERNEL_ARCHITECTURE.get(token, token), number).verdict


@pytest.mark.parametrize(("capability", "table"), default.WITH_CAPABILITY.items())
def test_call_of_a_capability_comes_with_it_only(
    plain: list[cbpf.Instruction], capability: str, table: dict[str, str]
) -> None:
    having = code_of(capability)
    numbers = [number for number, name in calls_of(X86_64).items() if name in flat(table)]
    assert numbers
    assert {DENIED} == {cbpf.run(plain, X86_64, number).verdict for number in numbers}
    assert {ALLOW} == {cbpf.run(having, X86_64, number).verdict for number in numbers}


@pytest.mark.parametrize("flag", [1 << bit for bit in range(32) if default.CLONE_NAMESPACES >> bit & 1])
def test_clone_makes_no_namespaces_without_cap_sys_admin(
    plain: list[cbpf.Instruction], admin: list[cbpf.Instruction], flag: int
) -> None:
    sigchld = 17
    assert ALLOW == cbpf.run(plain, X86_64, CLONE, (sigchld,)).verdict
    assert DENIED == cbpf.run(plain, X86_64, CLONE, (flag | sigchld,)).verdict
    assert DENIED == cbpf.run(plain, X86_64, CLONE, (flag | 1 << 40,)).verdict
    assert ALLOW == cbpf.run(admin, X86_64, CLONE, (flag | sigchld,)).verdict


def test_clone_namespaces_are_the_flags_of_the_kernel() -> None:
    kernels = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
    assert sum(kernels) == default.CLONE_NAMESPACES


def test_clone3_is_unknown_without_cap_sys_admin(
    plain: list[cbpf.Instruction], admin: list[cbpf.Instruction]
) -> None:
    clone3 = 435
    assert NO_SUCH_CALL == cbpf.run(plain, X86_64, clone3).verdict
    assert ALLOW == cbpf.run(admin, X86_64, clone3).verdict


UPPER_HALVES = [0, 1 << 32, 1 << 63, 0xFFFFFFFF << 32]


@pytest.mark.parametrize("upper", UPPER_HALVES)
@pytest.mark.parametrize("family", default.FAMILIES_REFUSED)
def test_family_is_refused_whatever_the_upper_half_is(
    plain: list[cbpf.Instruction], family: int, upper: int
) -> None:
    assert DENIED == cbpf.run(plain, X86_64, SOCKET, (upper | family,)).verdict
    assert DENIED == cbpf.run(plain, X86, 359, (family,)).verdict


@pytest.mark.parametrize("upper", UPPER_HALVES)
@pytest.mark.parametrize("request_", default.IOCTLS_REFUSED)
def test_terminal_injection_is_refused_whatever_the_upper_half_is(
    admin: list[cbpf.Instruction], request_: int, upper: int
) -> None:
    assert DENIED == cbpf.run(admin, X86_64, IOCTL, (0, upper | request_)).verdict
    assert DENIED == cbpf.run(admin, X86, 54, (0, request_)).verdict


@given(st.integers(0, 2**64 - 1) | st.integers(0x5400, 0x5430))
def test_every_other_ioctl_and_family_is_let_in(plain: list[cbpf.Instruction], value: int) -> None:
    low = value & 0xFFFFFFFF
    ioctl = DENIED if low in default.IOCTLS_REFUSED else ALLOW
    assert ioctl == cbpf.run(plain, X86_64, IOCTL, (0, value)).verdict
    family = DENIED if low in default.FAMILIES_REFUSED else ALLOW
    assert family == cbpf.run(plain, X86_64, SOCKET, (value,)).verdict


@given(st.integers(0, 2**64 - 1) | st.sampled_from([*default.PERSONALITIES, 0x40000, 0x100000]))
def test_personality_is_one_of_the_harmless(plain: list[cbpf.Instruction], persona: int) -> None:
    is_harmless = persona & 0xFFFFFFFF in default.PERSONALITIES
    assert (ALLOW if is_harmless else DENIED) == cbpf.run(plain, X86_64, PERSONALITY, (persona,)).verdict


@given(st.sets(st.integers(0, 2**32 - 1) | st.integers(0, 9), min_size=1, max_size=5), st.data())
def test_all_but_fits_each_other_value_exactly_once(values: set[int], data: st.DataObject) -> None:
    one_of_them = st.sampled_from(sorted(values))
    near = st.tuples(one_of_them, st.integers(0, 31)).map(lambda pair: pair[0] ^ 1 << pair[1])
    tried = data.draw(st.integers(0, 2**32 - 1) | near | one_of_them)
    fitting = [value for mask, value in default.all_but(values) if tried & mask == value]
    assert (0 if tried in values else 1) == len(fitting)


def test_profile_for_arm64_is_whole() -> None:
    seccomp = default_seccomp(set(), "aarch64")
    assert ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM") == seccomp.architectures
    code = cbpf.decode(compile_profile(seccomp).program)
    for token in MACHINES["aarch64"]:
        for number in (*range(700), 0xEFFFF, *range(0xF0000, 0xF0010), 2**32 - 1):
            assert expected(seccomp, token, number) == cbpf.run(code, token, number).verdict, (token, number)


def test_machine_without_a_profile_is_refused() -> None:
    with pytest.raises(
        HoldfastError, match='default seccomp profile: none for machine "vax"; allowed: x86_64'
    ):
        default_seccomp(set(), "vax")


def test_profile_survives_json() -> None:
    seccomp = default_seccomp({"CAP_SYS_ADMIN"}, "x86_64")
    assert seccomp == msgspec.json.decode(msgspec.json.encode(seccomp), type=config.Seccomp)
