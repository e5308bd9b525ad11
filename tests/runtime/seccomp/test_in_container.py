"""A profile around a whole container: what it must permit for our own sake is nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from support.containers import containers
from support.oci import usual_config

from holdfast.protocol.errors import HoldfastError

if TYPE_CHECKING:
    from support.containers import Containers

__all__ = ["containers"]

pytestmark = pytest.mark.root

BUSYBOX_TRUE = [
    "arch_prctl", "brk", "exit_group", "getrandom", "getuid", "mmap", "mprotect", "munmap", "prctl",
    "prlimit64", "readlink", "readlinkat", "rseq", "set_robust_list", "set_tid_address", "uname",
]  # fmt: skip
"""What a static program of the C library calls before and after its main; execve is ours."""


def strict(*, no_new_privileges: bool, more: tuple[str, ...] = ()) -> dict[str, Any]:
    config = usual_config()
    config["process"]["noNewPrivileges"] = no_new_privileges
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["execve", *BUSYBOX_TRUE, *more], "action": "SCMP_ACT_ALLOW"}],
    }
    return config


def test_profile_that_permits_only_the_program_works_with_no_new_privileges(containers: Containers) -> None:
    assert 0 == containers.run(strict(no_new_privileges=True)).code


def test_filter_is_loaded_before_the_program_runs(containers: Containers) -> None:
    config = strict(no_new_privileges=True, more=("openat", "read", "fstat", "write", "close", "sendfile"))
    config["process"]["args"] = ["grep", "Seccomp:", "/proc/self/status"]
    assert "Seccomp:\t2\n" == containers.run(config).out


def forbidding_execve() -> dict[str, Any]:
    config = strict(no_new_privileges=True)
    config["linux"]["seccomp"]["syscalls"][0]["names"].remove("execve")
    return config


TOLD = 'exec "true": it ended before; needed: a seccomp profile that permits execve'


def test_profile_that_forbids_the_execve_itself_is_told_by_start(containers: Containers) -> None:
    """Init cannot even say so: its answer is forbidden too."""
    box = containers.create(forbidding_execve())
    with pytest.raises(HoldfastError) as told:
        box.start()
    assert TOLD == str(told.value)
    assert "stopped" == box.state().status


def test_profile_that_forbids_the_execve_itself_is_told_by_exec(containers: Containers) -> None:
    box = containers.create(forbidding_execve())
    with pytest.raises(HoldfastError) as told:
        box.execute("true", noNewPrivileges=True)
    assert TOLD == str(told.value)


def test_without_no_new_privileges_the_profile_holds_while_init_waits(containers: Containers) -> None:
    config = usual_config()
    config["process"]["noNewPrivileges"] = False
    box = containers.create(config)
    assert "2" == box.status()["Seccomp"]
    box.start()
    assert 0 == box.finish().code


def test_profile_that_kills_init_on_its_way_is_told(containers: Containers) -> None:
    config = strict(no_new_privileges=False)
    config["linux"]["seccomp"]["defaultAction"] = "SCMP_ACT_KILL_PROCESS"
    told = containers.refusal(config)
    assert "init died" in told


def test_exec_is_under_the_profile_of_the_container(containers: Containers) -> None:
    config = usual_config("sleep", "60")
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    box = containers.begin(config)
    ran = box.execute("mkdir", "/tmp/x", noNewPrivileges=True)
    assert os.strerror(95).lower() in ran.out.lower()
    assert 1 == ran.code
