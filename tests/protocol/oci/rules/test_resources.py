"""Rules for the limits of a cgroup."""

from __future__ import annotations

from typing import Any

import pytest
from support.configs import problems


def of_resources(**changes: Any) -> list[str]:  # noqa: ANN401  # any JSON
    """Return what is wrong with limits."""
    return problems({"linux": {"resources": changes}})


@pytest.mark.parametrize(
    "limits",
    [
        {
            "devices": [
                {"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "major": -1, "access": "m"},
            ]
        },
        {"devices": [{"allow": True, "type": "a", "minor": 0, "access": "rwmrwm"}]},
        {"memory": {"limit": -1, "reservation": -1, "swap": -1, "swappiness": 100}},
        {"memory": {"limit": 100, "swap": 100}},
        {"memory": {"limit": 100, "swap": 0}},
        {"memory": {"limit": 100, "swap": -1}},
        {"memory": {"swappiness": 2**64 - 1}},
        {"cpu": {"shares": 0, "quota": -1, "idle": 1}},
        {"pids": {"limit": 0}},
        {"pids": {"limit": -1}},
        {
            "blockIO": {
                "weight": 0,
                "leafWeight": 1000,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 10}],
            }
        },
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}, {"pageSize": "64KB", "limit": 2**64 - 1}]},
        {"unified": {"memory.high": "1", "io.max": "a\nb", "hugetlb.1GB.max": "", "cgroup.max.depth": "1"}},
    ],
    ids=lambda limits: str(limits)[:60],
)
def test_sound_limits_are_no_problem(limits: dict[str, Any]) -> None:
    assert [] == of_resources(**limits)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"devices": [{"allow": True}]}, "devices[0].access: is missing; needed: one or more of r, w, m"),
        (
            {"devices": [{"allow": True, "access": "rx"}]},
            'devices[0].access: "rx" is not an access; allowed: one or more of r, w, m',
        ),
        (
            {"devices": [{"allow": True, "type": "u", "access": "r"}]},
            'devices[0].type: "u" is not a type of device; allowed: a, c, b',
        ),
        (
            {"devices": [{"allow": True, "major": -2, "access": "r"}]},
            "devices[0].major: -2 is out of range; allowed: -1 to 4294967295",
        ),
        ({"memory": {"limit": -2}}, "memory.limit: -2 is out of range; allowed: -1 to 9223372036854775807"),
        ({"memory": {"swappiness": 101}}, "memory.swappiness: 101 is out of range; allowed: 0 to 100"),
        (
            {"memory": {"limit": 100, "swap": 99}},
            (
                "memory.swap: 99 is below the limit of memory; "
                "allowed: 100 or more, since it is of memory and swap together"
            ),
        ),
        ({"cpu": {"idle": 2}}, "cpu.idle: 2 is out of range; allowed: 0 to 1"),
        ({"pids": {"limit": -2}}, "pids.limit: -2 is out of range; allowed: -1 to 9223372036854775807"),
        ({"blockIO": {"weight": 9}}, "blockIO.weight: 9 is out of range; allowed: 10 to 1000"),
        ({"blockIO": {"leafWeight": 1001}}, "blockIO.leafWeight: 1001 is out of range; allowed: 10 to 1000"),
        (
            {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 1}]}},
            "blockIO.weightDevice[0].leafWeight: 1 is out of range; allowed: 10 to 1000",
        ),
        (
            {"hugepageLimits": [{"pageSize": "2M", "limit": 1}]},
            (
                'hugepageLimits[0].pageSize: "2M" is not a page size; '
                "allowed: a number and KB, MB or GB, as in 2MB"
            ),
        ),
        *(
            (
                {"hugepageLimits": [{"pageSize": size, "limit": 1}]},
                (
                    f'hugepageLimits[0].pageSize: "{size}" is not a page size; '
                    "allowed: a number and KB, MB or GB, as in 2MB"
                ),
            )
            for size in ("MB", "02MB", "-2MB", "2.5MB", "../../2MB", "２MB", "2TB", "")  # noqa: RUF001  # full width
        ),
        *(
            (
                {"unified": {name: "1"}},
                (
                    f'unified["{name}"]: "{name}" is not a file of a cgroup; '
                    "allowed: controller.parameter, as in memory.high"
                ),
            )
            for name in ("../memory.high", "memory.", ".high", "", "a/b.c")
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_problem_is_told(limits: dict[str, Any], sentence: str) -> None:
    assert [f"linux.resources.{sentence}"] == of_resources(**limits)
