"""Values of v1 as values of v2: the numbers on which runtimes agree."""

from __future__ import annotations

import pytest

from holdfast.runtime.cgroups import convert


@pytest.mark.parametrize(
    ("shares", "weight"),
    [
        (1, 1),
        (2, 1),
        (3, 2),
        (100, 17),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (262143, 10000),
        (262144, 10000),
        (2**64 - 1, 10000),
    ],
)
def test_shares_become_a_weight_on_the_curve(shares: int, weight: int) -> None:
    assert weight == convert.weight_from_shares(shares)


def test_more_shares_are_never_less_weight() -> None:
    weights = [convert.weight_from_shares(shares) for shares in range(2, 262145, 7)]
    assert sorted(weights) == weights


@pytest.mark.parametrize(("blkio", "weight"), [(10, 1), (11, 11), (100, 910), (500, 4950), (1000, 10000)])
def test_weight_of_devices_is_on_the_line(blkio: int, weight: int) -> None:
    assert weight == convert.weight_from_blkio(blkio)


@pytest.mark.parametrize(("number", "text"), [(-1, "max"), (0, "0"), (7, "7")])
def test_no_limit_is_max(number: int, text: str) -> None:
    assert text == convert.number_or_max(number)


@pytest.mark.parametrize(
    ("limit", "both", "text"), [(100, 100, "0"), (100, 250, "150"), (100, -1, "max"), (-1, -1, "max")]
)
def test_swap_is_what_both_have_beyond_memory(limit: int, both: int, text: str) -> None:
    assert text == convert.swap_max(limit, both)


@pytest.mark.parametrize(
    ("quota", "period", "text"),
    [(50000, 100000, "50000 100000"), (50000, 0, "50000"), (-1, 20000, "max 20000"), (0, 0, "max")],
)
def test_quota_and_period_share_a_line(quota: int, period: int, text: str) -> None:
    assert text == convert.cpu_max(quota, period)
