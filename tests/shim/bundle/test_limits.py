from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci.config import CPU, DeviceRule, Memory, Pids, Rlimit
from holdfast.shim.bundle.limits import devices, resources, rlimits
from holdfast.shim.bundle.wishes import Wishes

if TYPE_CHECKING:
    from holdfast.protocol.oci.config import Resources

MIB = 1 << 20


def limits_of(**wishes: Any) -> Resources:  # noqa: ANN401  # any wish
    return resources(Wishes(operands=[], **wishes), ())


def test_nothing_asked_limits_nothing_but_devices() -> None:
    found = limits_of()
    assert (DeviceRule(allow=False, access="rwm"),) == found.devices
    assert (Memory(), CPU(), Pids()) == (found.memory, found.cpu, found.pids)


def test_limits_are_those_asked_for() -> None:
    found = limits_of(
        memory=64 * MIB, memory_swap=-1, memory_reservation=32 * MIB, cpus=500_000, pids_limit=7
    )
    assert Memory(limit=64 * MIB, swap=-1, reservation=32 * MIB) == found.memory
    assert CPU(quota=50_000, period=100_000) == found.cpu
    assert Pids(limit=7) == found.pids


def test_no_pids_limit_is_minus_one_as_for_docker() -> None:
    assert Pids(limit=-1) == limits_of(pids_limit=0).pids
    assert Pids(limit=-1) == limits_of(pids_limit=-1).pids


def test_a_sliver_of_a_processor_is_the_least_the_kernel_takes() -> None:
    assert 1000 == limits_of(cpus=1).cpu.quota


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        ({"memory": MIB}, "--memory: 1048576 bytes are too few; allowed: 6m and more"),
        ({"memory": 64 * MIB, "memory_swap": 32 * MIB}, "--memory-swap: is memory and swap together"),
        ({"memory_swap": 32 * MIB}, "--memory-swap: only goes with --memory"),
        (
            {"memory": 64 * MIB, "memory_reservation": 65 * MIB},
            "--memory-reservation: is more than --memory",
        ),
    ],
)
def test_limits_that_contradict_each_other_are_told(wishes: dict[str, int], sentence: str) -> None:
    with pytest.raises(HoldfastError, match=sentence):
        limits_of(**wishes)


def test_rlimits_are_read() -> None:
    assert (
        Rlimit(type="RLIMIT_NOFILE", soft=1024, hard=2048),
        Rlimit(type="RLIMIT_CORE", soft=0, hard=0),
        Rlimit(type="RLIMIT_NPROC", soft=5, hard=2**64 - 1),
    ) == rlimits(["nofile=1024:2048", "core=0", "nproc=5:unlimited"])


@pytest.mark.parametrize(
    "text", ["files=1", "nofile", "nofile=", "nofile=x", "nofile=2:1", "nofile=-2", "core=\u0661"]
)
def test_rlimits_of_something_else_are_told(text: str) -> None:
    with pytest.raises(HoldfastError, match="--ulimit"):
        rlimits([text])


def test_a_device_is_made_and_allowed_as_it_is_on_the_host() -> None:
    ((device,), (rule,)) = devices(["/dev/full:/dev/mine:r"])
    status = os.stat("/dev/full")
    assert ("c", "/dev/mine", 1, 7) == (device.type, device.path, device.major, device.minor)
    assert (status.st_mode & 0o7777, status.st_uid) == (device.file_mode, device.uid)
    assert DeviceRule(allow=True, type="c", major=1, minor=7, access="r") == rule
    assert "rwm" == devices(["/dev/full"])[1][0].access


@pytest.mark.parametrize(
    "text", ["", "/etc", "/no/such", "/dev/full:x", "/dev/full:/a:rwx", "/dev/full:/a:r:w", "/dev/full:"]
)
def test_what_is_no_device_is_told(text: str) -> None:
    with pytest.raises(HoldfastError, match="--device"):
        devices([text])
