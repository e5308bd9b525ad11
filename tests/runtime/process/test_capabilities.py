"""The five capability sets: what the kernel says of the program, from inside and outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.oci import usual_config

from holdfast.protocol.oci.config import Capabilities
from holdfast.protocol.oci.names import CAPABILITIES
from holdfast.runtime.process.capabilities import ALL, plan_capabilities
from holdfast.runtime.process.own import held_capabilities
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from support.containers import Containers

NAMES = ("Bnd", "Eff", "Prm", "Inh", "Amb")
KILL, CHOWN, NET_RAW = 1 << 5, 1 << 0, 1 << 13


def sets_in(containers: Containers, uid: int = 0, **sets: list[str]) -> dict[str, int]:
    """Return the sets that a program has, as masks."""
    config: dict[str, Any] = usual_config("grep", "^Cap", "/proc/self/status")
    config["process"] |= {"capabilities": sets, "user": {"uid": uid, "gid": uid}, "noNewPrivileges": False}
    ran = containers.run(config)
    assert 0 == ran.code, ran
    lines = (line.split() for line in ran.out.splitlines())
    return {name.removeprefix("Cap").removesuffix(":"): int(mask, 16) for name, mask in lines}


@pytest.mark.root
def test_sets_of_root_are_those_that_were_asked_for(containers: Containers) -> None:
    both = ["CAP_KILL", "CAP_CHOWN"]
    found = sets_in(containers, bounding=both, effective=both, permitted=both)
    assert {"Bnd": KILL | CHOWN, "Eff": KILL | CHOWN, "Prm": KILL | CHOWN, "Inh": 0, "Amb": 0} == found


@pytest.mark.root
def test_root_gets_what_is_in_the_bounding_set_by_exec(containers: Containers) -> None:
    found = sets_in(containers, bounding=["CAP_KILL", "CAP_NET_RAW"], effective=[], permitted=[])
    assert KILL | NET_RAW == found["Bnd"] == found["Eff"]  # capabilities(7): exec by uid 0


@pytest.mark.root
def test_user_without_ambient_capabilities_has_none_after_exec(containers: Containers) -> None:
    one = ["CAP_KILL"]
    found = sets_in(containers, 1000, bounding=one, effective=one, permitted=one, inheritable=one)
    assert {"Bnd": KILL, "Eff": 0, "Prm": 0, "Inh": KILL, "Amb": 0} == found


@pytest.mark.root
def test_user_keeps_ambient_capabilities_over_exec(containers: Containers) -> None:
    kinds = ("bounding", "effective", "permitted", "inheritable", "ambient")
    found = sets_in(containers, 1000, **{kind: ["CAP_NET_RAW"] for kind in kinds})
    assert dict.fromkeys(NAMES, NET_RAW) == found


@pytest.mark.root
def test_no_capabilities_at_all_are_none(containers: Containers) -> None:
    assert dict.fromkeys(NAMES, 0) == sets_in(containers)


@pytest.mark.root
def test_process_without_the_object_has_none(containers: Containers) -> None:
    config = usual_config("grep", "^CapBnd", "/proc/self/status")
    del config["process"]["capabilities"]
    assert "CapBnd:\t0000000000000000\n" == containers.run(config).out


@pytest.mark.root
def test_ambient_without_inheritable_is_left_out(containers: Containers) -> None:
    one = ["CAP_NET_RAW"]
    found = sets_in(containers, 1000, bounding=one, effective=one, permitted=one, ambient=one)
    assert (0, 0) == (found["Amb"], found["Eff"])


@pytest.mark.root
def test_unknown_capability_is_no_error(containers: Containers) -> None:
    assert KILL == sets_in(containers, bounding=["CAP_KILL", "CAP_OF_TOMORROW"])["Bnd"]


def test_what_the_runtime_does_not_hold_is_left_out() -> None:
    one = ("CAP_CHOWN",)
    plan = plan_capabilities(Capabilities(bounding=("CAP_KILL", *one), effective=one, permitted=one), KILL)
    assert (KILL, 0, 0) == (plan.bounding, plan.effective, plan.permitted)


def test_each_capability_has_the_bit_of_its_number() -> None:
    for number, name in enumerate(CAPABILITIES):
        assert 1 << number == plan_capabilities(Capabilities(bounding=(name,)), ALL).bounding


def test_own_capabilities_are_what_the_kernel_says() -> None:
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("CapPrm"))
    assert int(line.split()[1], 16) == held_capabilities(here)
