"""Rules for the Linux part."""

from __future__ import annotations

from typing import Any

import pytest
from support.configs import config, problems

from holdfast.protocol.oci.check import warnings

MAPPINGS = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def of_linux(**changes: Any) -> list[str]:  # noqa: ANN401  # any JSON
    """Return what is wrong with a sound Linux part after changes."""
    return problems({"linux": changes})


def namespaces(*types: str, **joined: str) -> list[dict[str, str]]:
    """Return new namespaces, and some by path."""
    return [{"type": name} for name in types] + [
        {"type": name, "path": path} for name, path in joined.items()
    ]


def test_namespaces_are_known_each_once_and_by_absolute_path() -> None:
    assert [] == of_linux(namespaces=[])
    assert [] == of_linux(
        namespaces=namespaces("pid", "network", "mount", "ipc", "uts", "cgroup", time="/ns")
    )
    assert [
        (
            'linux.namespaces[1].type: "net" is not a namespace; '
            "allowed: pid, network, mount, ipc, uts, user, cgroup, time"
        )
    ] == of_linux(namespaces=namespaces("pid", "net"))
    assert ['linux.namespaces[1].type: "pid" is there twice; allowed: each type once'] == of_linux(
        namespaces=namespaces("pid", pid="/proc/1/ns/pid")
    )
    assert ['linux.namespaces[0].path: "ns" is not absolute; allowed: an absolute path'] == of_linux(
        namespaces=namespaces(pid="ns")
    )


@pytest.mark.parametrize("field", ["hostname", "domainname"])
def test_a_host_name_needs_a_uts_namespace(field: str) -> None:
    sentence = f'{field}: "web" needs a uts namespace; allowed: with "uts" in linux.namespaces'

    assert [] == problems({field: "web"})
    assert [] == problems({field: "web", "linux": {"namespaces": namespaces(uts="/proc/1/ns/uts")}})
    assert [sentence] == problems({field: "web", "linux": {"namespaces": namespaces("pid")}})


@pytest.mark.parametrize("field", ["hostname", "domainname"])
def test_a_host_name_has_64_bytes_at_most(field: str) -> None:
    assert [] == problems({field: "x" * 64})
    assert [f'{field}: "{"é" * 33}" is too long; allowed: up to 64 bytes'] == problems({field: "é" * 33})


def test_mappings_go_with_a_user_namespace() -> None:
    mapped = {"uidMappings": MAPPINGS, "gidMappings": MAPPINGS}

    assert [] == of_linux(namespaces=namespaces("user"), **mapped)
    assert [] == of_linux(namespaces=namespaces(user="/proc/1/ns/user"))
    assert [
        'linux.uidMappings: needs a user namespace; needed: "user" in linux.namespaces',
        'linux.gidMappings: needs a user namespace; needed: "user" in linux.namespaces',
    ] == of_linux(**mapped)
    assert [
        "linux.gidMappings: is missing; needed: at least one mapping, for the new user namespace"
    ] == of_linux(namespaces=namespaces("user"), uidMappings=MAPPINGS)
    assert ["linux.uidMappings[0].size: 0 is out of range; allowed: 1 to 4294967295"] == of_linux(
        namespaces=namespaces("user"), gidMappings=MAPPINGS, uidMappings=[{**MAPPINGS[0], "size": 0}]
    )


def test_time_offsets_go_with_a_new_time_namespace() -> None:
    offsets = {"monotonic": {"secs": -(2**63), "nanosecs": 999_999_999}, "boottime": {}}
    sentence = (
        'linux.timeOffsets: needs a new time namespace; needed: "time" in linux.namespaces, without a path'
    )

    assert [] == of_linux(namespaces=namespaces("time"), timeOffsets=offsets)
    assert [sentence] == of_linux(timeOffsets=offsets)
    assert [sentence] == of_linux(namespaces=namespaces(time="/proc/1/ns/time"), timeOffsets=offsets)
    assert [
        'linux.timeOffsets: "realtime" is not a clock with an offset; allowed: monotonic, boottime'
    ] == of_linux(namespaces=namespaces("time"), timeOffsets={"realtime": {}})
    assert [
        "linux.timeOffsets.boottime.nanosecs: 1000000000 is out of range; allowed: 0 to 999999999"
    ] == of_linux(namespaces=namespaces("time"), timeOffsets={"boottime": {"nanosecs": 10**9}})


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ({"type": "c", "major": 0, "minor": 2**20 - 1}, ""),
        ({"type": "u", "major": 2**12 - 1, "minor": 0}, ""),
        ({"type": "b", "major": 8, "minor": 0, "fileMode": 8630, "uid": 0, "gid": 2**32 - 2}, ""),
        ({"type": "p"}, ""),
        ({"type": "p", "major": 5, "minor": -1}, ""),
        (
            {"type": "d", "major": 1, "minor": 3},
            'type: "d" is not a type of device; allowed: c, u, b, p',
        ),
        ({"type": "c", "minor": 3}, "major: is missing; needed: 0 to 4095"),
        ({"type": "b", "major": 1}, "minor: is missing; needed: 0 to 1048575"),
        ({"type": "c", "major": -1, "minor": 3}, "major: -1 is out of range; allowed: 0 to 4095"),
        ({"type": "c", "major": 1, "minor": 2**20}, "minor: 1048576 is out of range; allowed: 0 to 1048575"),
        ({"type": "p", "uid": 2**32 - 1}, "uid: 4294967295 is out of range; allowed: 0 to 4294967294"),
        ({"type": "p", "gid": 2**32 - 1}, "gid: 4294967295 is out of range; allowed: 0 to 4294967294"),
        ({"type": "p", "path": "dev/x"}, 'path: "dev/x" is not absolute; allowed: an absolute path'),
    ],
    ids=str,
)
def test_devices(device: dict[str, Any], sentence: str) -> None:
    expected = [f"linux.devices[0].{sentence}"] if sentence else []

    assert expected == of_linux(devices=[{"path": "/dev/x", **device}])


def test_net_devices_have_names_that_the_kernel_takes() -> None:
    allowed = "is not a name of an interface; allowed: 1 to 15 bytes without space, / and :"

    assert [] == of_linux(netDevices={"eth0": {}, "eth1": {"name": "x" * 15}, "eth2": {"name": "eth%d"}})
    for name in ("", ".", "..", "a/b", "a:b", "a b", "a\tb", "x" * 16, "é" * 8):
        told = of_linux(netDevices={name: {"name": "ok"}})
        assert [allowed] == [sentence[-len(allowed) :] for sentence in told]
        if name:
            (sentence,) = of_linux(netDevices={"eth0": {"name": name}})
            assert sentence.startswith("linux.netDevices.eth0.name: ")


def test_net_devices_need_a_network_namespace() -> None:
    assert [
        'linux.netDevices: needs a network namespace; needed: "network" in linux.namespaces'
    ] == of_linux(namespaces=namespaces("pid"), netDevices={"eth0": {}})


def test_net_devices_get_names_of_their_own() -> None:
    assert [
        'linux.netDevices.eth1.name: "eth0" is given to another interface too; allowed: each name once'
    ] == of_linux(netDevices={"eth0": {}, "eth1": {"name": "eth0"}})
    assert [] == of_linux(netDevices={"eth0": {"name": "c%d"}, "eth1": {"name": "c%d"}})


@pytest.mark.parametrize("name", [".", "..", "a/b", "/a", "a/"])
def test_a_class_of_intel_rdt_has_a_plain_name(name: str) -> None:
    assert [] == of_linux(intelRdt={"closID": "/"})
    assert [] == of_linux(intelRdt={"closID": "group", "schemata": ["L3:0=7f0;1=1f"]})
    assert [
        f'linux.intelRdt.closID: "{name}" is not a name; allowed: /, or a name without a slash'
    ] == of_linux(intelRdt={"closID": name})


@pytest.mark.parametrize("field", ["closID", "l3CacheSchema", "memBwSchema", "schemata"])
def test_what_is_written_to_resctrl_is_one_line(field: str) -> None:
    value = "L3:0=f\nMB:0=1"
    where = f"{field}[0]" if field == "schemata" else field

    assert [
        (
            f'linux.intelRdt.{where}: "L3:0=f\\x0aMB:0=1" has a control character in it; '
            "allowed: printable characters"
        )
    ] == of_linux(intelRdt={field: [value] if field == "schemata" else value})


@pytest.mark.parametrize(
    ("mode", "nodes", "sentence"),
    [
        ("MPOL_DEFAULT", "", ""),
        ("MPOL_LOCAL", "", ""),
        ("MPOL_PREFERRED", "", ""),
        ("MPOL_PREFERRED", "1", ""),
        ("MPOL_BIND", "0-3", ""),
        ("MPOL_WEIGHTED_INTERLEAVE", "0", ""),
        ("MPOL_PREFERRED_MANY", "0", ""),
        ("MPOL_DEFAULT", "0", 'nodes: "0" means nothing; allowed: none with MPOL_DEFAULT'),
        ("MPOL_LOCAL", "0", 'nodes: "0" means nothing; allowed: none with MPOL_LOCAL'),
        ("MPOL_BIND", "", "nodes: is missing; needed: at least one with MPOL_BIND"),
        ("MPOL_INTERLEAVE", "", "nodes: is missing; needed: at least one with MPOL_INTERLEAVE"),
        (
            "MPOL_BIND",
            "x",
            'nodes: "x" is not a list; allowed: numbers of 0 to 8191 and ranges of them, as in 0-3,7',
        ),
        (
            "MPOL_X",
            "0",
            (
                'mode: "MPOL_X" is not a mode; allowed: MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, '
                "MPOL_INTERLEAVE, MPOL_LOCAL, MPOL_PREFERRED_MANY, MPOL_WEIGHTED_INTERLEAVE"
            ),
        ),
    ],
)
def test_memory_policy(mode: str, nodes: str, sentence: str) -> None:
    expected = [f"linux.memoryPolicy.{sentence}"] if sentence else []

    assert expected == of_linux(memoryPolicy={"mode": mode, "nodes": nodes})


def test_an_unknown_mode_is_told_once_and_not_repeated_raw() -> None:
    told = of_linux(memoryPolicy={"mode": "\x1b"})

    assert 1 == len(told)
    assert told[0].startswith('linux.memoryPolicy.mode: "\\x1b" is not a mode')


def test_memory_policy_has_known_flags() -> None:
    assert [
        (
            'linux.memoryPolicy.flags[0]: "X" is not a flag; '
            "allowed: MPOL_F_NUMA_BALANCING, MPOL_F_RELATIVE_NODES, MPOL_F_STATIC_NODES"
        )
    ] == of_linux(memoryPolicy={"mode": "MPOL_LOCAL", "flags": ["X", "MPOL_F_STATIC_NODES"]})


@pytest.mark.parametrize(
    "value", ["", "shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable", "runbindable"]
)
def test_rootfs_propagation_is_known(value: str) -> None:
    assert [] == of_linux(rootfsPropagation=value)
    assert [
        (
            'linux.rootfsPropagation: "public" is not a propagation; allowed: private, rprivate, rshared, '
            "rslave, runbindable, shared, slave, unbindable"
        )
    ] == of_linux(rootfsPropagation="public")


@pytest.mark.parametrize("field", ["maskedPaths", "readonlyPaths"])
def test_hidden_paths_are_absolute_and_need_a_mount_namespace(field: str) -> None:
    assert [] == of_linux(**{field: ["/proc/kcore"]})
    assert [f'linux.{field}[1]: "x" is not absolute; allowed: an absolute path'] == of_linux(
        **{field: ["/x", "x"]}
    )
    assert [f'linux.{field}: needs a mount namespace; needed: "mount" in linux.namespaces'] == of_linux(
        namespaces=namespaces("pid"), **{field: ["/proc/kcore"]}
    )


@pytest.mark.parametrize("field", ["cgroupsPath", "mountLabel"])
def test_what_goes_into_files_of_the_kernel_is_one_line(field: str) -> None:
    assert [] == of_linux(**{field: "system.slice:x:y"})
    assert [
        f'linux.{field}: "a\\x0ab" has a control character in it; allowed: printable characters'
    ] == of_linux(**{field: "a\nb"})


def test_personality_is_known_and_its_flags_are_ignored_with_a_warning() -> None:
    assert [] == of_linux(personality={"domain": "LINUX32", "flags": ["X"]})
    assert ['linux.personality.flags[0]: "X" is ignored: the spec has no flags'] == warnings(
        config({"linux": {"personality": {"domain": "LINUX", "flags": ["X"]}}})
    )
    assert ['linux.personality.domain: "BSD" is not a domain; allowed: LINUX, LINUX32'] == of_linux(
        personality={"domain": "BSD"}
    )
