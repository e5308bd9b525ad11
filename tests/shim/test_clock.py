"""The time in log records."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from holdfast.shim.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

FORM = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d")


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Give a list whose only entry is the time, in nanoseconds."""
    instant = [0]
    monkeypatch.setattr(time, "time_ns", lambda: instant[0])
    return instant  # type: ignore[return-value]  # the patch is undone by its own fixture


def test_stamp_has_the_form_that_podman_and_the_kubelet_parse() -> None:
    assert FORM.fullmatch(Clock().stamp())


def test_parts_that_are_kept_for_a_second_are_made_anew_in_the_next(frozen: list[int]) -> None:
    clock = Clock()
    frozen[0] = 1_795_588_000_999_999_999
    first = clock.stamp()
    frozen[0] += 1
    second = clock.stamp()
    assert first[20:29] == b"999999999"
    assert second[20:29] == b"000000000"
    assert int(second[17:19]) == (int(first[17:19]) + 1) % 60


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC0", b"1970-01-02T00:00:00.000000001+00:00"),
        ("XXX-5:45", b"1970-01-02T05:45:00.000000001+05:45"),
        ("XXX+3:30", b"1970-01-01T20:30:00.000000001-03:30"),
    ],
)
def test_time_is_local_with_its_offset(zone: str, expected: bytes) -> None:
    code = (
        "import time; time.time_ns = lambda: 86_400_000_000_001\n"
        "from holdfast.shim.clock import Clock; print(Clock().stamp().decode())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], env={"TZ": zone}, capture_output=True, check=True
    )
    assert expected == done.stdout.strip()
