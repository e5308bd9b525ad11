"""Rules that many fields share: maps of ids. The others are seen at the fields that have them."""

from __future__ import annotations

import pytest

from holdfast.protocol.oci.config import IDMapping
from holdfast.protocol.oci.rules.common import are_mappings


def told(*mappings: tuple[int, int, int]) -> list[str]:
    """Return what is wrong with maps of (id inside, id outside, size)."""
    values = [
        IDMapping(container_id=inside, host_id=outside, size=size) for inside, outside, size in mappings
    ]
    return [problem.sentence() for problem in are_mappings("map", values)]


@pytest.mark.parametrize(
    "mappings",
    [
        [],
        [(0, 1000, 1)],
        [(0, 100000, 65536)],
        [(5, 0, 1), (0, 1000, 5), (6, 2000, 10)],
        [(0, 0, 2**32 - 1)],
        [(2**32 - 2, 2**32 - 2, 1)],
        [(i, i, 1) for i in range(340)],
    ],
    ids=lambda mappings: str(mappings)[:40],
)
def test_sound_mappings_are_no_problem(mappings: list[tuple[int, int, int]]) -> None:
    assert [] == told(*mappings)


def test_a_mapping_has_at_least_one_id() -> None:
    assert ["map[0].size: 0 is out of range; allowed: 1 to 4294967295"] == told((0, 0, 0))


def test_a_mapping_ends_before_the_id_that_is_none() -> None:
    assert [
        "map[0].hostID: 4294967295 is out of range; allowed: 0 to 4294967294, with all of its 1 ids"
    ] == told((0, 2**32 - 1, 1))
    assert [
        "map[0].containerID: 1 is out of range; allowed: 0 to 4294967294, with all of its 4294967295 ids",
    ] == told((1, 0, 2**32 - 1))


def test_an_id_is_mapped_once() -> None:
    assert ["map[1].containerID: 9 is in another mapping too; allowed: each id once"] == told(
        (0, 100, 10), (9, 200, 10)
    )
    assert ["map[0].hostID: 109 is in another mapping too; allowed: each id once"] == told(
        (20, 109, 5), (0, 100, 10)
    )


def test_the_kernel_takes_340_mappings() -> None:
    assert ["map: 341 mappings are too many; allowed: 340 mappings"] == told(
        *[(i, i, 1) for i in range(341)]
    )
