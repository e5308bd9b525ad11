"""Words and numbers: tables against what this machine has, parsers against what int() would take."""

from __future__ import annotations

import ctypes
import os
import resource
import signal

import prctl
import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci import names


@pytest.mark.parametrize(
    ("text", "maximum", "number"),
    [
        ("0", 0, 0),
        ("7", 7, 7),
        ("007", 7, 7),
        (b"42", 100, 42),
        ("18446744073709551615", 2**64 - 1, 2**64 - 1),
    ],
)
def test_parse_uint_reads_decimal_digits(text: str | bytes, maximum: int, number: int) -> None:
    assert number == names.parse_uint(text, maximum)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "-1",
        "1_000",
        "0x1",
        "0o7",
        "1.0",
        "1e3",
        "²",
        "١٢",
        "７",  # noqa: RUF001  # full width
        "8",
        "99999999999999999999",
        "000000000000000000001",
        pytest.param("9" * 5000, id="endless"),
        "\udcff",
    ],
)
def test_parse_uint_refuses_all_else(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number from 0 to 7"):
        names.parse_uint(text, 7)
    with pytest.raises(ValueError, match="is not a number from 0 to 7"):
        names.parse_uint(os.fsencode(text), 7)


@pytest.mark.parametrize(
    ("text", "members"),
    [("0", {0}), ("0-3,7", {0, 1, 2, 3, 7}), ("5,1-2,2", {1, 2, 5}), ("8191", {8191}), ("3-3", {3})],
)
def test_parse_ranges_reads_a_list(text: str, members: set[int]) -> None:
    assert sum(1 << member for member in members) == names.parse_ranges(text)


@pytest.mark.parametrize(
    "text", ["", ",", "1,", "-1", "1-", "3-1", "2-1", "1--2", "a", "0-8192", "0 -1", "0-3:1/2", "1;2"]
)
def test_parse_ranges_refuses_what_is_not_a_list(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        names.parse_ranges(text)


def test_parse_ranges_takes_no_long_time_for_a_long_list() -> None:
    assert (1 << 8192) - 1 == names.parse_ranges(",".join(["0-8191"] * 20_000))


@pytest.mark.parametrize("name", [member.name for member in signal.Signals])
def test_each_signal_of_this_machine_has_its_number(name: str) -> None:
    number = signal.Signals[name].value

    for spelling in (name, name.removeprefix("SIG"), name.lower(), name.title(), str(number)):
        assert number == names.parse_signal(spelling)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("RTMIN", signal.SIGRTMIN),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("rtmin+30", signal.SIGRTMAX),
        ("RTMAX-1", signal.SIGRTMAX - 1),
        ("rtmax", signal.SIGRTMAX),
        ("RTMAX-30", signal.SIGRTMIN),
        ("64", 64),
    ],
)
def test_real_time_signals_are_counted_as_the_c_library_does(text: str, number: int) -> None:
    assert number == names.parse_signal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FOO",
        "SIG",
        "SIGSIGKILL",
        "SIG9",
        "65",
        "-9",
        "+9",
        "9 ",
        "RTMIN-1",
        "RTMIN+31",
        "RTMAX+1",
        "RTMIN+",
        "٩",
        "KILL\n",
    ],
)
def test_an_unknown_signal_is_told(text: str) -> None:
    with pytest.raises(HoldfastError, match="unknown signal"):
        names.parse_signal(text)


def test_the_sentence_of_an_unknown_signal_is_the_one_that_people_know() -> None:
    with pytest.raises(HoldfastError) as caught:
        names.parse_signal("FOO")

    assert 'unknown signal "FOO"' == str(caught.value)


def test_capabilities_have_the_kernels_numbers() -> None:
    assert 41 == len(names.CAPABILITIES)
    assert list(range(41)) == list(names.CAPABILITIES.values())
    for name, number in names.CAPABILITIES.items():
        # python-prctl is older than the last of them.
        assert number == getattr(prctl, name, 40)


@pytest.mark.parametrize("name", ["CAP_SYS_ADMIN", "SYS_ADMIN", "sys_admin", "Cap_Sys_Admin"])
def test_a_capability_is_known_in_any_spelling(name: str) -> None:
    assert 21 == names.capability(name)


@pytest.mark.parametrize("name", ["", "CAP_", "CAP_FOO", "CAP_CAP_KILL", "21"])
def test_an_unknown_capability_has_no_number(name: str) -> None:
    assert names.capability(name) is None


def test_rlimits_have_the_kernels_numbers() -> None:
    assert 16 == len(names.RLIMITS)
    for name, number in names.RLIMITS.items():
        # LOCKS has had no effect since Linux 2.4.25, and Python no name for it.
        assert getattr(resource, name, 10) == number


@pytest.mark.parametrize(
    ("flag", "constant"),
    [
        ("uts", "CLONE_NEWUTS"),
        ("mount", "CLONE_NEWNS"),
        ("network", "CLONE_NEWNET"),
        ("time", "CLONE_NEWTIME"),
    ],
)
def test_namespaces_have_the_kernels_flags(flag: str, constant: str) -> None:
    known = {
        "CLONE_NEWUTS": 0x04000000,
        "CLONE_NEWNS": 0x20000,
        "CLONE_NEWNET": 0x40000000,
        "CLONE_NEWTIME": 0x80,
    }

    assert 8 == len(names.NAMESPACES)
    assert known[constant] == names.NAMESPACES[flag]


def test_each_option_of_the_spec_is_known_in_one_table() -> None:
    spec = """
        async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime
        nodev nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid
        nosymfollow private ratime rbind rdev rdiratime relatime remount rexec rnoatime rnodev
        rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime
        rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave
        strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap
    """
    tables = [*names.MOUNT_FLAGS, *names.RECURSIVE_MOUNT_FLAGS, *names.PROPAGATION, *names.MOUNT_EXTENSIONS]

    assert len(tables) == len(set(tables))
    assert {*spec.split()} | {"copy-symlink", "src-nofollow", "dest-nofollow"} == set(tables)


OPPOSITES = """
    atime noatime  dev nodev  diratime nodiratime  exec noexec  suid nosuid  symfollow nosymfollow  rw ro
    async sync  loud silent  noiversion iversion  nolazytime lazytime  nomand mand  norelatime relatime
    nostrictatime strictatime  ratime rnoatime  rdev rnodev  rdiratime rnodiratime  rexec rnoexec
    rnorelatime rrelatime  rnostrictatime rstrictatime  rsuid rnosuid  rsymfollow rnosymfollow  rrw rro
"""
"""Pairs of options: what clears a flag, what sets it."""


@pytest.mark.parametrize(
    ("clearing", "setting"), [*zip(OPPOSITES.split()[::2], OPPOSITES.split()[1::2], strict=True)]
)
def test_an_option_and_its_opposite_clear_and_set_one_flag(clearing: str, setting: str) -> None:
    table = names.MOUNT_FLAGS | names.RECURSIVE_MOUNT_FLAGS
    flag = table[setting].flag

    assert (flag, False) == table[setting]
    assert (flag, True) == table[clearing]


def test_all_other_flags_have_an_opposite() -> None:
    table = names.MOUNT_FLAGS | names.RECURSIVE_MOUNT_FLAGS

    assert {"bind", "rbind", "remount", "dirsync", "defaults"} == set(table) - set(OPPOSITES.split())


@pytest.mark.parametrize(
    "option", ["", "ro", "rprivate", "rro", "idmap", "idmap=uids=0-1-10;gids=0-1-10", "bind"]
)
def test_an_option_of_mounts_is_no_data(option: str) -> None:
    assert not names.is_filesystem_option(option)


@pytest.mark.parametrize("option", ["size=64k", "mode=755", "ro=1", "acl", "RO", "context=x"])
def test_any_other_option_is_data_for_the_filesystem(option: str) -> None:
    assert names.is_filesystem_option(option)


def test_seccomp_architectures_are_named_as_libseccomp_names_them() -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp is not installed")
    known = [
        name
        for name in names.SECCOMP_ARCHITECTURES
        if library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
    ]

    assert 23 == len(names.SECCOMP_ARCHITECTURES)
    # LOONGARCH64, M68K, SH and SHEB came with libseccomp 2.6.
    assert set(names.SECCOMP_ARCHITECTURES) - set(known) <= {
        "SCMP_ARCH_LOONGARCH64",
        "SCMP_ARCH_M68K",
        "SCMP_ARCH_SH",
        "SCMP_ARCH_SHEB",
    }
