"""config.json as types: every field of the spec, strict types and ranges, null, unknown fields."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from support.configs import SOUND, changed, text

from holdfast.protocol.errors import ConfigError
from holdfast.protocol.oci import config
from holdfast.protocol.oci.config import parse_config, parse_process, parse_resources, unknown_fields

MAPPING = {"containerID": 0, "hostID": 100000, "size": 65536}
HOOK = {"path": "/bin/hook", "args": ["hook", "-x"], "env": ["A=b"], "timeout": 5}
DEVICE = {"major": 8, "minor": 0}

WHOLE: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs", "readonly": True},
    "mounts": [
        {
            "destination": "/data",
            "source": "/srv",
            "options": ["rbind", "idmap"],
            "type": "none",
            "uidMappings": [MAPPING],
            "gidMappings": [MAPPING],
        }
    ],
    "process": {
        "terminal": True,
        "consoleSize": {"height": 25, "width": 80},
        "cwd": "/root",
        "env": ["TERM=xterm"],
        "args": ["sh"],
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 2**64 - 1}],
        "apparmorProfile": "acme",
        "capabilities": {
            "effective": ["CAP_KILL"],
            "bounding": ["CAP_KILL"],
            "inheritable": ["CAP_KILL"],
            "permitted": ["CAP_KILL"],
            "ambient": ["CAP_KILL"],
        },
        "noNewPrivileges": True,
        "oomScoreAdj": -500,
        "scheduler": {
            "policy": "SCHED_DEADLINE",
            "nice": 1,
            "priority": 2,
            "flags": ["SCHED_FLAG_RECLAIM"],
            "runtime": 3,
            "deadline": 4,
            "period": 5,
        },
        "selinuxLabel": "system_u:system_r:svirt_lxc_net_t:s0:c124,c675",
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 4},
        "execCPUAffinity": {"initial": "7", "final": "0-3,7"},
        "user": {"uid": 1, "gid": 2, "umask": 63, "additionalGids": [5, 6]},
    },
    "hostname": "slartibartfast",
    "domainname": "foobarbaz.test",
    "hooks": {
        "prestart": [HOOK],
        "createRuntime": [HOOK],
        "createContainer": [HOOK],
        "startContainer": [HOOK],
        "poststart": [HOOK],
        "poststop": [HOOK],
    },
    "annotations": {"com.example.key": "value"},
    "linux": {
        "namespaces": [{"type": "pid", "path": "/proc/1/ns/pid"}],
        "uidMappings": [MAPPING],
        "gidMappings": [MAPPING],
        "timeOffsets": {"monotonic": {"secs": -5, "nanosecs": 6}},
        "devices": [
            {
                "type": "c",
                "path": "/dev/fuse",
                "major": 10,
                "minor": 229,
                "fileMode": 438,
                "uid": 1,
                "gid": 2,
            }
        ],
        "netDevices": {"eth0": {"name": "container_eth0"}},
        "cgroupsPath": "/myRuntime/myContainer",
        "resources": {
            "devices": [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}],
            "memory": {
                "limit": 536870912,
                "reservation": 536870912,
                "swap": -1,
                "kernel": -1,
                "kernelTCP": -1,
                "swappiness": 1,
                "disableOOMKiller": True,
                "useHierarchy": True,
                "checkBeforeUpdate": True,
            },
            "cpu": {
                "shares": 1024,
                "quota": 1000000,
                "burst": 1000000,
                "period": 500000,
                "realtimeRuntime": 950000,
                "realtimePeriod": 1000000,
                "cpus": "2-3",
                "mems": "0-7",
                "idle": 1,
            },
            "blockIO": {
                "weight": 10,
                "leafWeight": 11,
                "weightDevice": [{**DEVICE, "weight": 500, "leafWeight": 300}],
                "throttleReadBpsDevice": [{**DEVICE, "rate": 600}],
                "throttleWriteBpsDevice": [{**DEVICE, "rate": 601}],
                "throttleReadIOPSDevice": [{**DEVICE, "rate": 602}],
                "throttleWriteIOPSDevice": [{**DEVICE, "rate": 603}],
            },
            "hugepageLimits": [{"pageSize": "2MB", "limit": 209715200}],
            "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
            "pids": {"limit": 32771},
            "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
            "unified": {"io.max": "259:0 rbps=2097152", "hugetlb.1GB.max": "1073741824"},
        },
        "intelRdt": {
            "closID": "guaranteed_group",
            "schemata": ["L3:0=7f0;1=1f", "MB:0=20;1=70"],
            "l3CacheSchema": "L3:0=7f0",
            "memBwSchema": "MB:0=20",
            "enableMonitoring": True,
        },
        "memoryPolicy": {"mode": "MPOL_INTERLEAVE", "nodes": "0-3", "flags": ["MPOL_F_STATIC_NODES"]},
        "sysctl": {"net.ipv4.ip_forward": "1"},
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            "architectures": ["SCMP_ARCH_X86"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/run/agent.sock",
            "listenerMetadata": "opaque",
            "syscalls": [
                {
                    "names": ["getcwd", "chmod"],
                    "action": "SCMP_ACT_ERRNO",
                    "errnoRet": 2,
                    "args": [
                        {
                            "index": 5,
                            "value": 2**64 - 1,
                            "valueTwo": 2**64 - 1,
                            "op": "SCMP_CMP_MASKED_EQ",
                        }
                    ],
                }
            ],
        },
        "rootfsPropagation": "slave",
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "mountLabel": "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811",
        "personality": {"domain": "LINUX", "flags": ["X"]},
    },
}
"""A configuration with every field that the spec has for Linux, none with its default."""


def error_of(data: bytes) -> str:
    """Return why the configuration is refused."""
    with pytest.raises(ConfigError) as caught:
        parse_config(data)
    return str(caught.value)


def test_a_configuration_with_every_field_of_the_spec_loses_nothing() -> None:
    parsed = parse_config(json.dumps(WHOLE).encode())

    assert WHOLE == json.loads(msgspec.json.encode(parsed))


def test_no_type_has_a_field_that_the_whole_configuration_lacks() -> None:
    """So that the test above is about all fields: with one left out, its value would be the default's."""

    def defaults(value: object) -> list[str]:
        found = []
        if isinstance(value, msgspec.Struct):
            for name in value.__struct_fields__:
                inner = getattr(value, name)
                if inner is None or inner is False or inner in ("", (), {}):
                    found.append(f"{type(value).__name__}.{name}")
                found += defaults(inner)
        elif isinstance(value, (tuple, dict)):
            for inner in value.values() if isinstance(value, dict) else value:
                found += defaults(inner)
        return found

    assert [] == defaults(parse_config(json.dumps(WHOLE).encode()))


def test_attributes_are_the_specs_names_in_snake_case() -> None:
    parsed = parse_config(json.dumps(WHOLE).encode())
    process, linux = parsed.process, parsed.linux

    assert process is not None
    assert linux.seccomp is not None
    assert linux.intel_rdt is not None
    assert 1 == linux.seccomp.default_errno_ret
    assert "guaranteed_group" == linux.intel_rdt.clos_id
    assert process.no_new_privileges
    assert -500 == process.oom_score_adj
    assert "7" == process.exec_cpu_affinity.initial
    assert 100000 == parsed.mounts[0].uid_mappings[0].host_id
    assert 602 == linux.resources.block_io.throttle_read_iops_device[0].rate


def test_the_smallest_configuration_has_no_process() -> None:
    parsed = parse_config(b'{"ociVersion": "1.0.0", "root": {"path": "rootfs"}}')

    assert parsed.process is None
    assert config.Linux() == parsed.linux
    assert config.Hooks() == parsed.hooks
    assert config.Resources() == parsed.linux.resources


def test_a_process_without_user_is_roots() -> None:
    assert config.User(uid=0, gid=0) == parse_process(b'{"cwd": "/"}').user


def test_absent_flags_and_capabilities_differ_from_empty_ones() -> None:
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW"}
    absent = parse_config(text({"linux": {"seccomp": seccomp}}))
    empty = parse_config(
        text({"process": {"capabilities": {}}, "linux": {"seccomp": {**seccomp, "flags": []}}})
    )

    assert absent.linux.seccomp is not None
    assert absent.linux.seccomp.flags is None
    assert absent.process is not None
    assert absent.process.capabilities is None
    assert empty.linux.seccomp is not None
    assert () == empty.linux.seccomp.flags
    assert empty.process is not None
    assert config.Capabilities() == empty.process.capabilities


@pytest.mark.parametrize(
    "path", ["process.cwd", "process.user.uid", "process.user.gid", "ociVersion", "root.path"]
)
def test_a_required_field_that_is_missing_or_null_is_told(path: str) -> None:
    *above, name = path.split(".")
    for is_null in (False, True):
        whole = json.loads(json.dumps(SOUND))
        place = whole
        for part in above:
            place = place[part]
        del place[name]
        if is_null:
            place[name] = None

        assert f"{path}: is missing; needed: a value" == error_of(json.dumps(whole).encode())


def optional_fields() -> list[tuple[str, ...]]:
    """Return the paths of the optional fields, but for those of objects in lists."""
    required = {
        "ociVersion",
        "root",
        "path",
        "cwd",
        "height",
        "width",
        "policy",
        "class",
        "priority",
        "uid",
        "gid",
    }
    required |= {"defaultAction", "mode", "domain"}
    found: list[tuple[str, ...]] = []

    def walk(value: dict[str, Any], above: tuple[str, ...]) -> None:
        for key, inner in value.items():
            if key not in required or above == ("process", "scheduler"):
                found.append((*above, key))
            if isinstance(inner, dict):
                walk(inner, (*above, key))

    walk(WHOLE, ())
    found.remove(("process", "scheduler", "policy"))
    return found


@pytest.mark.parametrize("path", optional_fields(), ids=".".join)
def test_null_is_the_same_as_absent_for_every_optional_field(path: tuple[str, ...]) -> None:
    *above, name = path
    with_null, without = json.loads(json.dumps(WHOLE)), json.loads(json.dumps(WHOLE))
    place_null, place_without = with_null, without
    for part in above:
        place_null, place_without = place_null[part], place_without[part]
    place_null[name] = None
    del place_without[name]

    assert parse_config(json.dumps(without).encode()) == parse_config(json.dumps(with_null).encode())


def wrong_for(value: object) -> list[object]:
    """Return values of JSON that have another type."""
    if isinstance(value, bool):
        return ["yes", 1, 0.0, [], {}]
    if isinstance(value, int):
        return ["1", True, 1.0, 1e2, [], {}, -(2**63) - 1, 2**64]
    if isinstance(value, str):
        return [1, True, [], {}]
    if isinstance(value, list):
        return ["a", 1, True, {}]
    return ["a", 1, True, []]


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], object]]:
    """Return each place in a value of JSON, with what is there."""
    found = [(path, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def shown(path: tuple[str | int, ...]) -> str:
    """Return a path as errors show it."""
    parts = ""
    for part in path:
        is_word = isinstance(part, str) and part.isidentifier()
        parts += f".{part}" if is_word else f"[{part}]" if isinstance(part, int) else f'["{part}"]'
    return parts.removeprefix(".")


@pytest.mark.parametrize(("path", "value"), places(WHOLE)[1:], ids=lambda part: str(part)[:60])
def test_a_wrong_type_in_any_place_is_told_with_its_path(path: tuple[str | int, ...], value: object) -> None:
    for wrong in wrong_for(value):
        whole = json.loads(json.dumps(WHOLE))
        place = whole
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = wrong

        assert error_of(json.dumps(whole).encode()).startswith(f"{shown(path)}: ")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"process": {"user": {"uid": -1}}}, "process.user.uid: -1 is out of range; allowed: 0 or more"),
        (
            {"process": {"user": {"gid": 2**32}}},
            "process.user.gid: 4294967296 is out of range; allowed: 4294967295 or",
        ),
        (
            {"process": {"user": {"additionalGids": [1, -1]}}},
            "process.user.additionalGids[1]: -1 is out of range",
        ),
        ({"process": {"oomScoreAdj": 2**63}}, "process.oomScoreAdj: 9223372036854775808 is out of range"),
        (
            {"linux": {"resources": {"blockIO": {"weight": 65536}}}},
            "linux.resources.blockIO.weight: 65536 is out of",
        ),
        (
            {"linux": {"resources": {"memory": {"limit": 2**63}}}},
            "linux.resources.memory.limit: 9223372036854775808",
        ),
        (
            {"linux": {"resources": {"cpu": {"shares": -1}}}},
            "linux.resources.cpu.shares: -1 is out of range",
        ),
        (
            {"process": {"scheduler": {"policy": "x", "nice": 2**31}}},
            "process.scheduler.nice: 2147483648 is out of",
        ),
        (
            {"linux": {"timeOffsets": {"boottime": {"nanosecs": -1}}}},
            "linux.timeOffsets.boottime.nanosecs: -1 is",
        ),
    ],
)
def test_a_number_out_of_its_fields_range_is_told(changes: dict[str, Any], sentence: str) -> None:
    assert error_of(text(changes)).startswith(sentence)


@pytest.mark.parametrize(
    "path",
    [("process", "user", "uid"), ("process", "user", "gid"), ("process", "user", "additionalGids", 0)],
)
@pytest.mark.parametrize("value", [0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1])
def test_an_id_of_32_bits_is_exact(path: tuple[str | int, ...], value: int) -> None:
    """2**32 - 1, which is "no change" to the kernel, is refused by check."""
    whole = json.loads(json.dumps(WHOLE))
    place, read = whole, parse_config
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    user = read(json.dumps(whole).encode()).process.user  # type: ignore[union-attr]

    assert value in (user.uid, user.gid, user.additional_gids[0])


def test_parse_process_names_fields_as_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r'^process\.user\.uid: "0" has the wrong type'):
        parse_process(b'{"cwd": "/", "user": {"uid": "0", "gid": 0}}')
    with pytest.raises(ConfigError, match=r"^process\.cwd: is missing"):
        parse_process(b"{}")
    with pytest.raises(ConfigError, match=r"^process: is not JSON"):
        parse_process(b"{")
    with pytest.raises(ConfigError, match=r'^process\["x\\x00"\]: "x\\x00" has a NUL in it'):
        parse_process(b'{"x\\u0000": 1}')


def test_parse_resources_names_fields_as_in_the_configuration() -> None:
    assert 5 == parse_resources(b'{"pids": {"limit": 5}}').pids.limit
    with pytest.raises(ConfigError, match=r"^linux\.resources\.pids\.limit: 1\.5 has the wrong type"):
        parse_resources(b'{"pids": {"limit": 1.5}}')


def test_unknown_fields_are_ignored_and_can_be_listed() -> None:
    whole = changed(
        {
            "windows": {"layerFolders": []},
            "process": {"commandLine": "x", "noNewPrivilege": True},
            "linux": {"intelRdt": {"enableCMT": True}, "seccomp": {"defaultAction": "a", "x": [{"y": 1}]}},
        }
    )
    data = json.dumps(whole).encode()

    assert "/" == parse_config(data).process.cwd  # type: ignore[union-attr]
    expected = {
        "windows",
        "process.commandLine",
        "process.noNewPrivilege",
        "linux.intelRdt.enableCMT",
        "linux.seccomp.x",
    }
    assert expected == set(unknown_fields(data))


def test_nothing_of_the_whole_configuration_is_unknown() -> None:
    assert [] == unknown_fields(json.dumps(WHOLE).encode())


def test_values_are_frozen() -> None:
    parsed = parse_config(text({}))

    with pytest.raises(AttributeError):
        parsed.hostname = "x"  # type: ignore[misc]
