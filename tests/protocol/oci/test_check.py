"""The whole check: what sound configurations give, and the rules of the top level."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from support.configs import config, problems, text

from holdfast.protocol.oci.check import check, check_process, check_resources, warnings
from holdfast.protocol.oci.config import parse_config, parse_process, parse_resources


def test_a_sound_configuration_has_no_problems() -> None:
    assert [] == problems({})
    assert [] == warnings(config({}))


def test_a_configuration_as_podman_writes_it_has_no_problems() -> None:
    assert [] == check(parse_config(AS_PODMAN))
    assert [] == warnings(parse_config(AS_PODMAN))


def test_all_problems_are_told_at_once() -> None:
    told = problems({"ociVersion": "2.0.0", "process": {"cwd": "x"}, "linux": {"maskedPaths": ["y"]}})

    assert ["ociVersion", "process.cwd", "linux.maskedPaths[0]"] == [
        sentence.partition(":")[0] for sentence in told
    ]


@pytest.mark.parametrize("version", ["1.0.0", "1.0.2-dev", "1.2.0+dev", "1.3.0-rc.1+build.5", "1.10.3"])
def test_versions_1_are_supported(version: str) -> None:
    assert [] == problems({"ociVersion": version})


@pytest.mark.parametrize(
    "version", ["", "2.0.0", "0.9.0", "1", "1.0", "1.0.0.0", "1.x.0", "v1.0.0", "10.0.0", "1.٢.0", " 1.0.0"]
)
def test_other_versions_are_not(version: str) -> None:
    sentence = f'ociVersion: "{version}" is not supported; allowed: 1.0.0 and later versions 1.x.y'

    assert [sentence] == problems({"ociVersion": version})


def test_root_needs_a_path() -> None:
    assert ["root.path: is missing; needed: the path of a directory"] == problems({"root": {"path": ""}})


@pytest.mark.parametrize(
    "kind", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
)
def test_hooks_need_an_absolute_path_and_a_timeout_above_zero(kind: str) -> None:
    def hooks(**hook: Any) -> dict[str, Any]:  # noqa: ANN401  # any JSON
        return {"hooks": {kind: [{"path": "/bin/true"}, {"path": "/bin/true", **hook}]}}

    field = f"hooks.{kind}[1]"
    assert [] == problems(hooks(timeout=1, env=["A=b"], args=["x"]))
    assert [f'{field}.path: "true" is not absolute; allowed: an absolute path'] == problems(
        hooks(path="true")
    )
    assert [f"{field}.timeout: 0 is out of range; allowed: 1 to 2147483647"] == problems(hooks(timeout=0))
    assert [f"{field}.timeout: -1 is out of range; allowed: 1 to 2147483647"] == problems(hooks(timeout=-1))
    assert [f'{field}.env[0]: "A" is not NAME=value; allowed: NAME=value'] == problems(hooks(env=["A"]))


def test_annotations_need_a_key() -> None:
    sentence = 'annotations: "" is not a key; allowed: a key that is not empty'

    assert [sentence] == problems({"annotations": {"": "x"}})


def test_check_process_and_check_resources_name_the_field_as_in_the_configuration() -> None:
    process = parse_process(b'{"cwd": "x", "args": ["true"]}')
    resources = parse_resources(b'{"pids": {"limit": -2}}')

    assert ["process.cwd"] == [problem.field for problem in check_process(process)]
    assert ["linux.resources.pids.limit"] == [problem.field for problem in check_resources(resources)]


def test_parse_and_check_are_quick() -> None:
    """A generous bound for a loaded machine: 0.3 ms for both were measured."""
    data = text({"process": {"env": [f"NAME{i}=value" for i in range(50)]}})
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        check(parse_config(data))
        times.append(time.perf_counter() - begin)

    assert min(times) < 0.005


AS_PODMAN = json.dumps(
    {
        "ociVersion": "1.0.2-dev",
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0, "umask": 18, "additionalGids": [1, 2, 3, 10]},
            "args": ["/bin/sh"],
            "env": ["PATH=/usr/bin:/bin", "TERM=xterm", "container=podman", "HOME=/root", "EMPTY="],
            "cwd": "/",
            "capabilities": {
                name: ["CAP_CHOWN", "CAP_KILL"] for name in ("bounding", "effective", "permitted")
            },
            "rlimits": [
                {"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1048576},
                {"type": "RLIMIT_NPROC", "hard": 2**64 - 1, "soft": 4194304},
            ],
            "oomScoreAdj": 0,
            "apparmorProfile": "containers-default-0.50.1",
        },
        "root": {"path": "/var/lib/containers/storage/overlay/x/merged"},
        "hostname": "b2a5b9d0d6f1",
        "mounts": [
            {
                "destination": "/proc",
                "type": "proc",
                "source": "proc",
                "options": ["nosuid", "noexec", "nodev"],
            },
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/sys",
                "type": "sysfs",
                "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", "ro"],
            },
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            },
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid"]},
            {
                "destination": "/etc/hosts",
                "type": "bind",
                "source": "/run/containers/hosts",
                "options": ["bind", "rprivate"],
            },
            {
                "destination": "/sys/fs/cgroup",
                "type": "cgroup",
                "source": "cgroup",
                "options": ["rprivate", "nosuid", "noexec", "nodev", "relatime", "ro"],
            },
        ],
        "annotations": {"io.container.manager": "libpod", "org.opencontainers.image.stopSignal": "15"},
        "linux": {
            "sysctl": {"net.ipv4.ping_group_range": "0 0"},
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}],
                "memory": {"swappiness": 2**64 - 1},
                "pids": {"limit": 2048},
            },
            "cgroupsPath": "machine.slice:libpod:b2a5b9d0d6f1",
            "namespaces": [
                {"type": "pid"},
                {"type": "network", "path": "/run/netns/netns-1"},
                {"type": "ipc"},
                {"type": "uts"},
                {"type": "mount"},
                {"type": "cgroup"},
            ],
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "defaultErrnoRet": 38,
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                "syscalls": [
                    {"names": ["bdflush", "io_pgetevents"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
                    {
                        "names": ["personality"],
                        "action": "SCMP_ACT_ALLOW",
                        "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}],
                    },
                ],
            },
            "rootfsPropagation": "rslave",
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/sys/firmware"],
            "readonlyPaths": ["/proc/asound", "/proc/bus", "/proc/sys"],
        },
        "hooks": None,
    }
).encode()
"""The shape of what Podman 4 gives to its runtime, shortened."""
