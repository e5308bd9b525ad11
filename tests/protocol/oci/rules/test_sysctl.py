"""Rules for sysctls: only what is a namespace's own, under exactly one name."""

from __future__ import annotations

from typing import Any

import pytest
from support.configs import problems

from holdfast.protocol.oci.rules import sysctl

ALL = ("pid", "network", "mount", "ipc", "uts", "cgroup", "user")
MAPPINGS = [{"containerID": 0, "hostID": 1, "size": 1}]


def of_sysctl(name: str, value: str = "1", *, without: str = "") -> list[str]:
    """Return what is wrong with a sysctl, with all new namespaces but one."""
    namespaces = [{"type": name} for name in ALL if name != without]
    linux: dict[str, Any] = {"namespaces": namespaces, "sysctl": {name: value}}
    if without != "user":
        linux |= {"uidMappings": MAPPINGS, "gidMappings": MAPPINGS}
    return problems({"linux": linux})


@pytest.mark.parametrize(
    ("name", "namespace"),
    [
        ("kernel.msgmax", "ipc"),
        ("kernel.msgmnb", "ipc"),
        ("kernel.msgmni", "ipc"),
        ("kernel.sem", "ipc"),
        ("kernel.shmall", "ipc"),
        ("kernel.shmmax", "ipc"),
        ("kernel.shmmni", "ipc"),
        ("kernel.shm_rmid_forced", "ipc"),
        ("kernel/shm_rmid_forced", "ipc"),
        ("fs.mqueue.msg_max", "ipc"),
        ("fs/mqueue/msg_max", "ipc"),
        ("net.ipv4.ip_forward", "network"),
        ("net/ipv4/conf/eth0.100/rp_filter", "network"),
        ("net.ipv4.conf.eth0/100.rp_filter", "network"),
        ("net.ipv4.conf.br-lan.rp_filter", "network"),
        ("user.max_user_namespaces", "user"),
    ],
)
def test_a_sysctl_of_a_namespace_is_allowed_with_that_namespace_only(name: str, namespace: str) -> None:
    assert [] == of_sysctl(name)
    assert [
        (
            f'linux.sysctl: "{name}" is not in a separate namespace; '
            f'allowed: with "{namespace}" in linux.namespaces'
        )
    ] == of_sysctl(name, without=namespace)


def test_the_domain_name_needs_a_uts_namespace() -> None:
    assert [] == of_sysctl("kernel.domainname", "example.org")
    assert [
        (
            'linux.sysctl: "kernel.domainname" is not in a separate namespace; '
            'allowed: with "uts" in linux.namespaces'
        )
    ] == of_sysctl("kernel.domainname", without="uts")


def test_the_host_name_has_a_field_of_its_own() -> None:
    assert [
        'linux.sysctl: "kernel.hostname" is set by a field of its own; allowed: the field hostname'
    ] == of_sysctl("kernel.hostname")


@pytest.mark.parametrize(
    "name",
    [
        "kernel.core_pattern",
        "kernel/core_pattern",
        "kernel.modprobe",
        "kernel.shmmax2",
        "kernel",
        "vm.overcommit_memory",
        "fs.file-max",
        "fs.mqueue",
        "fs.mqueues.x",
        "netx.a",
        "net",
        "dev.tty.ldisc_autoload",
        "fs.net.ipv4.ip_forward",
    ],
)
def test_a_sysctl_of_the_host_is_refused(name: str) -> None:
    assert [
        (
            f'linux.sysctl: "{name}" is not in a separate namespace; '
            "allowed: net.*, user.*, fs.mqueue.*, kernel.domainname and the parameters of IPC"
        )
    ] == of_sysctl(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "kernel.shm_rmid_forced=1+kernel.core_pattern",
        "kernel.shm_rmid_forced+kernel.core_pattern",
        "net/../kernel/core_pattern",
        "net.ipv4.../..",
        "net..ipv4",
        "net.",
        ".net.x",
        "/net/x",
        "net//x",
        "net.ipv4.ip_forward ",
        " net.ipv4.ip_forward",
        "net.ipv4.ip forward",
        "net.ipv4.ip_forward\n",
        "net.ipv4.%s",
        "net.*",
        "Net.ipv4.x",
        "net.ipv4.é",
        "net\\ipv4",
        "net.ipv4;x",
    ],
)
def test_what_is_not_a_name_of_the_grammar_is_refused(name: str) -> None:
    (sentence,) = of_sysctl(name)

    assert "is not the name of a parameter; allowed: words of letters, digits, _ and - with" in sentence
    assert sysctl.path(name) is None


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
        ("net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
        ("kernel", "kernel"),
    ],
)
def test_the_first_separator_tells_which_form_a_name_has(name: str, path: str) -> None:
    assert path == sysctl.path(name)


def test_a_value_is_one_line() -> None:
    assert [] == of_sysctl("net.ipv4.ping_group_range", "0\t100")
    assert [
        'linux.sysctl["net.ipv4.ip_forward"]: "1\\x0a0" has a newline in it; allowed: one line'
    ] == of_sysctl("net.ipv4.ip_forward", "1\n0")
