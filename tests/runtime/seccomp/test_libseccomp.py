"""The binding: all functions are typed, and the library does what the module says of it."""

from __future__ import annotations

import ctypes
import os

import pytest
from support import cbpf

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.seccomp import libseccomp
from holdfast.runtime.seccomp.libseccomp import UNKNOWN, Condition, library

ALLOW, DENY, KILL_PROCESS = 0x7FFF0000, 0x00050001, 0x80000000
X86_64, X86 = 0xC000003E, 0x40000003
EQUAL, MASKED_EQUAL = 4, 7


def test_every_function_that_is_used_has_its_types() -> None:
    c, signatures = library()._c, libseccomp._SIGNATURES  # what is private is what is tested
    used = {name for name in vars(c) if name.startswith("seccomp_")}
    assert used == set(signatures)
    for name in used:
        function = getattr(c, name)
        assert signatures[name] == (function.restype, tuple(function.argtypes))


def test_structures_are_as_large_as_the_librarys() -> None:
    assert 24 == ctypes.sizeof(libseccomp._ArgCmp)  # the same
    assert 12 == ctypes.sizeof(libseccomp._Version)  # the same


def test_library_that_is_missing_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libseccomp, "SONAME", "libseccomp.so.999")
    with pytest.raises(HoldfastError, match=r"load libseccomp.so.999: .*needs libseccomp \(Debian"):
        libseccomp.Library()


def test_library_that_is_too_old_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libseccomp, "OLDEST", (99, 1, 2))
    with pytest.raises(HoldfastError, match=r"version 2\.[\d.]+ is too old; needed: 99.1.2 or later"):
        libseccomp.Library()


def test_library_is_loaded_once() -> None:
    assert library() is library()
    assert (2, 5, 0) <= library().version
    assert library().api_level() >= 5


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
def test_numbers_are_native_or_pseudo_or_unknown() -> None:
    assert 0 == library().number("read")
    assert library().number("socketcall") < UNKNOWN
    assert UNKNOWN == library().number("no_such_call")
    assert UNKNOWN == library().number("read\0no_such_call")
    assert UNKNOWN == library().number("lesen\u00e4")


def test_names_of_numbers_are_those_of_the_architecture() -> None:
    assert "read" == library().name(X86_64, 0)
    assert "read" == library().name(X86, 3)
    assert library().name(X86_64, 335) in {None, "uretprobe"}
    assert library().name(X86_64, 1023) is None


def test_architectures_are_known_by_name() -> None:
    assert X86_64 == library().architecture("x86_64")
    assert 0x4000003E == library().architecture("x32")
    assert 0 == library().architecture("vax")


def verdict(code: list[cbpf.Instruction], number: int, *args: int) -> int:
    return cbpf.run(code, library().native(), number, args).verdict


def test_exported_program_says_what_the_rules_say() -> None:
    read, write = library().number("read"), library().number("write")
    with library().rules(DENY) as rules:
        rules.add(ALLOW, read)
        rules.add(ALLOW, write, [Condition(0, EQUAL, 1), Condition(2, MASKED_EQUAL, 0xFF, 3)])
        code = cbpf.decode(rules.export())
    assert ALLOW == verdict(code, read)
    assert ALLOW == verdict(code, write, 1, 0, 0x103)
    assert DENY == verdict(code, write, 1, 0, 0x104)
    assert DENY == verdict(code, write, 2, 0, 3)
    assert DENY == verdict(code, write, 1 | 1 << 32, 0, 3)


def test_rule_without_conditions_beats_those_with_some_in_either_order() -> None:
    ioctl, fcntl = library().number("ioctl"), library().number("fcntl")
    refused = 0x0005000D
    with library().rules(DENY) as rules:
        rules.add(refused, ioctl, [Condition(1, EQUAL, 5)])
        rules.add(ALLOW, ioctl)
        rules.add(ALLOW, fcntl)
        rules.add(refused, fcntl, [Condition(1, EQUAL, 5)])
        code = cbpf.decode(rules.export())
    assert [ALLOW, ALLOW] == [verdict(code, ioctl, 0, 5), verdict(code, fcntl, 0, 5)]


def test_failure_is_the_librarys_errno() -> None:
    with library().rules(DENY) as rules:
        with pytest.raises(OSError, match=r"seccomp_rule_add: Permission denied"):
            rules.add(DENY, 0)
        with pytest.raises(OSError, match=r"seccomp_rule_add: Invalid argument"):
            rules.add(ALLOW, 0, [Condition(0, EQUAL, 1), Condition(0, EQUAL, 2)])
        with pytest.raises(OSError, match=r"seccomp_arch_add: Invalid argument"):
            rules.add_architecture(12345)
        with pytest.raises(OSError, match=r"seccomp_attr_set: "):
            rules.set_attribute(4711, 1)
    with pytest.raises(OSError, match=r"seccomp_init: default action 0x12345678 is not supported here"):
        library().rules(0x12345678).__enter__()


def test_program_that_does_not_fit_is_told_and_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libseccomp, "_PROGRAM_SIZE", 1)
    with library().rules(DENY) as rules:
        for value in range(3000):
            rules.add(ALLOW, library().number("read"), [Condition(0, EQUAL, value)])
        with pytest.raises(OSError, match=r"seccomp_export_bpf: Message too long"):
            rules.export()


def open_fds() -> list[str]:
    with os.scandir("/proc/self/fd") as fds:
        return sorted(fd.name for fd in fds)


def test_rules_leave_no_descriptor_behind() -> None:
    before = open_fds()
    with library().rules(DENY) as rules:
        rules.set_attribute(libseccomp.ATTRIBUTE_BAD_ARCH_ACTION, KILL_PROCESS)
        rules.export()
    assert before == open_fds()
