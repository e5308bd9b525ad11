from __future__ import annotations

import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci.names import CAPABILITIES
from holdfast.shim.bundle.capabilities import DEFAULT, as_sets, chosen_capabilities


def test_the_default_is_dockers() -> None:
    assert 14 == len(chosen_capabilities([], []))
    assert "CAP_SYS_ADMIN" not in DEFAULT


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        (["sys_admin"], [], DEFAULT | {"CAP_SYS_ADMIN"}),
        (["CAP_SYS_TIME"], ["chown", "CAP_KILL"], DEFAULT - {"CAP_CHOWN", "CAP_KILL"} | {"CAP_SYS_TIME"}),
        ([], ["all"], frozenset()),
        (["NET_RAW"], ["ALL"], {"CAP_NET_RAW"}),
        (["ALL"], [], frozenset(CAPABILITIES)),
        (["ALL"], ["SYS_ADMIN"], frozenset(CAPABILITIES) - {"CAP_SYS_ADMIN"}),
    ],
)
def test_capabilities_are_added_and_dropped(add: list[str], drop: list[str], expected: object) -> None:
    assert expected == chosen_capabilities(add, drop)


def test_a_capability_that_there_is_not_is_told() -> None:
    with pytest.raises(HoldfastError, match='--cap-add: "SUPERPOWER" is not a capability'):
        chosen_capabilities(["SUPERPOWER"], [])
    with pytest.raises(HoldfastError, match='capability "CAP_KILL": is both added and dropped'):
        chosen_capabilities(["kill"], ["KILL"])


def test_nothing_is_inheritable_or_ambient() -> None:
    sets = as_sets(DEFAULT)
    assert ((), ()) == (sets.inheritable, sets.ambient)
    assert sets.bounding == sets.permitted == sets.effective == tuple(sorted(DEFAULT))
