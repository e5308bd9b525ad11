"""The comparison of what a process has become with what was planned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.oci import usual_config

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci.config import parse_config
from holdfast.runtime.namespaces.plan import NamespacesPlan
from holdfast.runtime.plan import ProcessPlan, plan_process
from holdfast.runtime.process import user, verify
from holdfast.runtime.process.capabilities import ALL

if TYPE_CHECKING:
    from support.containers import Containers

NOTHING = NamespacesPlan(new=0)
UID_MAP = b"0 100000 1000\n5000 7 1\n"


def plan(*, filtered: bool = False, **changes: Any) -> ProcessPlan:  # noqa: ANN401  # of a process
    parsed = parse_config(msgspec.json.encode(usual_config()))
    assert parsed.process is not None
    return plan_process(
        msgspec.structs.replace(parsed.process, **changes),
        seccomp=parsed.linux.seccomp if filtered else None,
        held=ALL,
        keyring=None,
        preserve_fds=0,
    )


def status(**changes: str) -> bytes:
    """Return the status of a process that is as planned."""
    caps = "00000000000004e3"
    lines = {
        "Name": "x",
        "Uid": "0\t0\t0\t0",
        "Gid": "0\t0\t0\t0",
        "Groups": " ",
        "CapInh": "0000000000000000",
        "CapPrm": caps,
        "CapEff": caps,
        "CapBnd": caps,
        "CapAmb": "0000000000000000",
        "NoNewPrivs": "1",
        "Seccomp": "0",
        **changes,
    }
    return "".join(f"{name}:\t{value}\n" for name, value in lines.items()).encode()


def test_process_as_planned_differs_in_nothing() -> None:
    assert [] == verify.differences(status(), plan(), NOTHING)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Uid", "0\t0\t0\t1000"),
        ("Uid", "1000\t0\t0\t0"),
        ("Gid", "0\t0\t4\t0"),
        ("Groups", "10"),
        ("CapInh", "0000000000000001"),
        ("CapPrm", "00000000000004e7"),
        ("CapEff", "00000000000004e7"),
        ("CapBnd", "000001ffffffffff"),
        ("CapAmb", "0000000000000400"),
        ("NoNewPrivs", "0"),
    ],
)
def test_each_difference_is_told_by_its_line(name: str, value: str) -> None:
    (told,) = verify.differences(status(**{name: value}), plan(), NOTHING)
    assert told.startswith(f"{name} is ")


def test_missing_line_is_a_difference() -> None:
    lines = status().splitlines(keepends=True)
    (told,) = verify.differences(b"".join(one for one in lines if b"CapBnd" not in one), plan(), NOTHING)
    assert told.startswith("CapBnd is None")


def test_filter_that_was_not_loaded_is_told_where_it_must_be_by_now() -> None:
    planned = plan(filtered=True, no_new_privileges=False)
    (told,) = verify.differences(status(NoNewPrivs="0"), planned, NOTHING)
    assert told.startswith("Seccomp is ")
    assert [] == verify.differences(status(NoNewPrivs="0", Seccomp="2"), planned, NOTHING)


@pytest.mark.parametrize(("inside", "outside"), [(0, 100000), (999, 100999), (5000, 7)])
def test_id_of_a_user_namespace_is_looked_for_under_its_outer_number(inside: int, outside: int) -> None:
    assert outside == verify.outside(inside, UID_MAP)


@pytest.mark.parametrize("inside", [1000, 4999, 5001, 2**32 - 2])
def test_id_without_a_mapping_is_told(inside: int) -> None:
    with pytest.raises(HoldfastError, match=f"id {inside} has no mapping"):
        verify.outside(inside, UID_MAP)


@pytest.mark.root
def test_init_with_another_identity_than_planned_is_never_started(
    containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(x: object, identity: user.Identity) -> None:
        """Forget the user."""

    monkeypatch.setattr(user, "drop", forgetful)
    assert containers.refusal(usual_config()).startswith("check who init has become: ")
