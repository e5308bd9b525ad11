"""Namespaces are really separate, or really shared: the kernel's own numbers are compared."""

from __future__ import annotations

import os
import re
import signal
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.containers import status_of
from support.inits import new_init
from support.oci import usual_config
from support.trees import ID_MAPPINGS

from holdfast.protocol.errors import ConfigError, HoldfastError
from holdfast.protocol.oci.config import IDMapping, Linux, Namespace
from holdfast.runtime.namespaces.plan import id_map, plan_namespaces
from holdfast.runtime.plan import Options
from holdfast.runtime.setup.session import sysctl_path
from holdfast.runtime.sys import process
from holdfast.runtime.sys.call import Call
from holdfast.runtime.sys.executor import here
from holdfast.runtime.sys.numbers import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.containers import Containers

KINDS = {"pid": "pid", "mount": "mnt", "uts": "uts", "ipc": "ipc", "network": "net", "cgroup": "cgroup"}
"""Type in a configuration → name in /proc/PID/ns."""


def with_namespaces(*namespaces: dict[str, str], args: tuple[str, ...] = ("sleep", "60")) -> dict[str, Any]:
    config = usual_config(*args)
    config["linux"]["namespaces"] = list(namespaces)
    return config


def new(*kinds: str) -> list[dict[str, str]]:
    return [{"type": kind} for kind in kinds]


def ours(name: str) -> str:
    return os.readlink(f"/proc/self/ns/{name}")


@pytest.mark.root
def test_new_namespaces_are_not_the_runtimes(containers: Containers) -> None:
    box = containers.create(usual_config())
    for kind, name in KINDS.items():
        assert ours(name) != box.inode(name), kind
    assert ours("user") == box.inode("user")
    assert ours("time") == box.inode("time")


@pytest.mark.root
@pytest.mark.parametrize("left_out", KINDS)
def test_namespace_that_is_not_listed_is_the_runtimes(containers: Containers, left_out: str) -> None:
    config = with_namespaces(*new(*(kind for kind in KINDS if kind != left_out)))
    config["linux"]["sysctl"] = {}
    if left_out == "uts":
        del config["hostname"]
    if left_out == "mount":
        config["mounts"], config["linux"]["maskedPaths"], config["linux"]["readonlyPaths"] = [], [], []
    if left_out == "network":
        config["mounts"] = [one for one in config["mounts"] if one["type"] != "sysfs"]
    box = containers.create(config)
    for kind, name in KINDS.items():
        assert (kind == left_out) == (ours(name) == box.inode(name)), kind


@pytest.mark.root
def test_exec_is_in_all_namespaces_of_init(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    with box.executing("sleep", "60") as (pid, _):
        for name in (*KINDS.values(), "user"):
            assert box.inode(name) == os.readlink(f"/proc/{pid}/ns/{name}"), name
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextmanager
def somebodys(flags: int, *, mapped: bytes = b"") -> Iterator[int]:
    """Give the pid of a process in new namespaces."""
    with new_init(flags, id_map=mapped) as init:
        yield init.pid


@pytest.mark.root
@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "cgroup"])
def test_namespace_given_by_path_is_joined(containers: Containers, kind: str) -> None:
    flag = {"network": process.CLONE_NEWNET, "ipc": process.CLONE_NEWIPC, "uts": process.CLONE_NEWUTS}
    with somebodys(flag.get(kind, process.CLONE_NEWCGROUP)) as pid:
        name = KINDS[kind]
        others = new(*(other for other in KINDS if other != kind))
        config = with_namespaces(*others, {"type": kind, "path": f"/proc/{pid}/ns/{name}"})
        if kind == "network":
            config["linux"]["sysctl"] = {}
        box = containers.create(config)
        assert os.readlink(f"/proc/{pid}/ns/{name}") == box.inode(name)


@pytest.mark.root
def test_pid_namespace_of_another_container_is_joined(containers: Containers) -> None:
    first = containers.begin(usual_config("sleep", "60"))
    others = new(*(kind for kind in KINDS if kind != "pid"))
    joined = {"type": "pid", "path": f"/proc/{first.pid}/ns/pid"}
    second = containers.begin(with_namespaces(*others, joined, args=("ps", "-o", "pid,comm")))
    out = second.finish().out
    assert first.inode("pid")
    assert re.search(r"1 sleep", out)
    assert re.search(r"[2-9] ps", out)


@pytest.mark.root
def test_user_namespace_of_another_process_is_joined(containers: Containers) -> None:
    (containers.rootfs / "etc/hosts").touch()
    with somebodys(0, mapped=b"0 100000 65536\n") as pid:
        joined = {"type": "user", "path": f"/proc/{pid}/ns/user"}
        box = containers.begin(with_namespaces(*new(*KINDS), joined))
        assert os.readlink(f"/proc/{pid}/ns/user") == box.inode("user")
        assert " ".join(["100000"] * 4) == box.status()["Uid"]
        user = {"uid": 7, "gid": 8}
        with box.executing("sleep", "60", user=user) as (exec_pid, out_fd):
            assert " ".join(["100007"] * 4) == status_of(exec_pid)["Uid"]
            assert 100007 == os.fstat(out_fd).st_uid
            os.kill(exec_pid, signal.SIGKILL)
            os.waitpid(exec_pid, 0)
        with pytest.raises(HoldfastError, match="id 70000 has no mapping"):
            box.execute("true", user={"uid": 70000, "gid": 0})
        box.delete(force=True)
        box.wait()


@pytest.mark.root
@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "pid", "user"])
def test_path_of_another_type_is_told(containers: Containers, kind: str) -> None:
    others = new(*(other for other in KINDS if other != kind))
    path = "/proc/self/ns/mnt"
    told = containers.refusal(with_namespaces(*others, {"type": kind, "path": path}))
    assert f'linux.namespaces[{len(others)}].path: "{path}" is not allowed' in told
    assert f"a path of a {kind} namespace" in told


@pytest.mark.root
@pytest.mark.timeout(20)
def test_path_that_is_no_namespace_is_told_and_a_fifo_does_not_hang(
    containers: Containers, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    others = new(*(kind for kind in KINDS if kind != "network"))
    for name in ("fifo", "file", "bundle", "missing"):
        told = containers.refusal(
            with_namespaces(*others, {"type": "network", "path": str(tmp_path / name)})
        )
        assert f"linux.namespaces[{len(others)}].path: " in told
        assert f'"{tmp_path / name}"' in told


@pytest.mark.root
def test_user_namespace_has_the_maps_of_the_config(containers: Containers) -> None:
    (containers.rootfs / "etc/hosts").touch()
    config = with_namespaces(*new(*KINDS, "user"), args=("cat", "/proc/self/uid_map", "/proc/self/gid_map"))
    config["linux"] |= {
        "uidMappings": ID_MAPPINGS,
        "gidMappings": [{"containerID": 0, "hostID": 7, "size": 9}],
    }
    config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/dev/pts"]  # gid 5 is fine
    box = containers.begin(config)
    assert ours("user") != box.inode("user")
    assert " ".join(["100000"] * 4) == box.status()["Uid"]
    assert ["0", "100000", "65536", "0", "7", "9"] == box.finish().out.split()


# What is in them


@pytest.mark.root
def test_host_name_and_domain_name_are_set_and_the_hosts_stay(containers: Containers) -> None:
    before = os.uname()
    config = usual_config("cat", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname")
    config |= {"hostname": "a-host", "domainname": "a.domain"}
    assert "a-host\na.domain\n" == containers.run(config).out
    assert before == os.uname()


@pytest.mark.root
def test_loopback_is_up_and_has_its_address(containers: Containers) -> None:
    shown = containers.sh("ip addr show lo")
    assert "UP" in shown
    assert "127.0.0.1/8" in shown


@pytest.mark.root
def test_network_is_separate(containers: Containers) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        connect = f"nc -w 2 127.0.0.1 {port} </dev/null 2>&1 && echo reached"
        assert "Connection refused" in containers.sh(f"{connect} || true")
    assert "lo" == containers.sh("ls /sys/class/net")


@pytest.mark.root
def test_sysctls_are_set_and_the_hosts_stay(containers: Containers) -> None:
    here = Path("/proc/sys/kernel/msgmax")
    before = here.read_text()
    config = usual_config("cat", "/proc/sys/kernel/msgmax", "/proc/sys/net/ipv4/ip_forward")
    config["linux"]["sysctl"] = {"kernel.msgmax": "12345", "net/ipv4/ip_forward": "1"}
    assert "12345\n1\n" == containers.run(config).out
    assert before == here.read_text()


@pytest.mark.root
def test_sysctl_that_the_kernel_refuses_is_told_by_its_name(containers: Containers) -> None:
    config = usual_config()
    config["linux"]["sysctl"] = {"kernel.msgmax": "a lot"}
    assert "linux.sysctl[kernel.msgmax]: write: Invalid argument" == containers.refusal(config)
    config["linux"]["sysctl"] = {"net.no.such": "1"}
    assert "linux.sysctl[net.no.such]: write: No such file or directory" == containers.refusal(config)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", b"net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.100/forwarding", b"net/ipv4/conf/eth0.100/forwarding"),
        ("net.ipv4.conf.eth0/100.forwarding", b"net/ipv4/conf/eth0.100/forwarding"),
        ("plain", b"plain"),
    ],
)
def test_first_separator_of_a_sysctl_decides(name: str, path: bytes) -> None:
    assert path == sysctl_path(name)


SESSION_KEYRING = -3
POSSESSOR_ONLY = 0x3F000000
KEYCTL_SETPERM, KEYCTL_UNLINK = 5, 9
ADD_KEY = {"x86_64": 248, "aarch64": 217}[os.uname().machine]


@pytest.fixture
def secret() -> Iterator[str]:
    """Put a key into the test's session keyring that only who has that keyring can see."""
    name = f"secret-{os.getpid()}"
    keyctl = NUMBERS["keyctl"]
    key = here.do(Call(ADD_KEY, "add_key", (b"user\0", name.encode() + b"\0", b"x", 1, SESSION_KEYRING)))
    here.do(Call(keyctl, "keyctl", (KEYCTL_SETPERM, key, POSSESSOR_ONLY)))
    yield name
    here.do(Call(keyctl, "keyctl", (KEYCTL_UNLINK, key, SESSION_KEYRING)))


def reading_keys(*args: str) -> dict[str, Any]:
    config = usual_config(*args)
    config["linux"]["maskedPaths"] = []
    return config


@pytest.mark.root
@pytest.mark.parametrize("kept", [False, True])
def test_callers_keys_are_out_of_sight_unless_its_keyring_is_kept(
    containers: Containers, secret: str, kept: bool
) -> None:
    box = containers.begin(reading_keys("cat", "/proc/keys"), options=Options(no_new_keyring=kept))
    assert kept == (secret in box.finish().out)


@pytest.mark.root
@pytest.mark.parametrize("kept", [False, True])
def test_exec_has_the_keyring_that_init_has(containers: Containers, secret: str, kept: bool) -> None:
    box = containers.begin(reading_keys("sleep", "60"), options=Options(no_new_keyring=kept))
    keys = box.execute("cat", "/proc/keys").out
    assert kept == (secret in keys)
    assert kept != (f"_ses.{box.id}" in keys)


# Planning


def test_joined_namespaces_come_in_the_order_in_which_they_can_be_joined() -> None:
    kinds = ["cgroup", "pid", "network", "user", "uts", "ipc"]
    linux = Linux(namespaces=tuple(Namespace(type=kind, path=f"/{kind}") for kind in kinds))
    order = [join.type for join in plan_namespaces(linux).joins]
    assert ["user", "ipc", "uts", "network", "pid", "cgroup"] == order


def test_user_namespace_without_maps_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^linux\.uidMappings: is missing"):
        plan_namespaces(Linux(namespaces=(Namespace(type="user"),)))


def test_map_is_written_as_the_kernel_reads_it() -> None:
    mappings = [
        IDMapping(container_id=0, host_id=100000, size=5),
        IDMapping(container_id=9, host_id=1, size=1),
    ]
    assert b"0 100000 5\n9 1 1\n" == id_map(mappings)
