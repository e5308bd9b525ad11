from __future__ import annotations

import datetime as dt
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.shim.cli.times import SECOND, parse_duration, parse_moment, parse_rfc3339, shown_duration

NOW = 1_800_000_000 * SECOND


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("1m0.5s", 60.5),
    ],
)
def test_parse_duration_reads_units(text: str, seconds: float) -> None:
    assert int(seconds * SECOND) == parse_duration(text)


@pytest.mark.parametrize("text", ["", "m", "10x", "1h30", "-5m", "1 h", "٣s", "1..5s", "9" * 30])
def test_parse_duration_of_something_else_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; allowed"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000000", 1_700_000_000 * SECOND),
        ("1700000000.000000001", 1_700_000_000 * SECOND + 1),
        ("10m", NOW - 600 * SECOND),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.5Z", SECOND // 2),
        ("1970-01-02T01:00:00+01:00", 86400 * SECOND),
        ("1969-12-31T23:00:00-01:00", 0),
        ("2024-02-29T12:00:00.123456789Z", 1_709_208_000 * SECOND + 123_456_789),
    ],
)
def test_parse_moment_reads_what_docker_reads(text: str, expected: object) -> None:
    assert expected == parse_moment(text, NOW)


def test_parse_moment_without_a_zone_is_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XYZ-2")
    time.tzset()
    try:
        assert -7200 * SECOND == parse_moment("1970-01-01T00:00", NOW)
        assert (86400 - 7200) * SECOND == parse_moment("1970-01-02", NOW)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2024-13-01T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01X", "2024-1-1-1", "-5m"],
)
def test_parse_moment_of_something_else_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time; allowed"):
        parse_moment(text, NOW)


@given(st.text(max_size=40))
def test_parse_moment_of_anything_gives_a_moment_or_a_sentence(text: str) -> None:
    try:
        parse_moment(text, NOW)
    except ValueError as error:
        sentence = str(error)
        assert "is not a time" in sentence


@given(
    st.datetimes(
        timezones=st.just(dt.UTC),
        min_value=dt.datetime(1, 1, 1),  # noqa: DTZ001  # hypothesis wants it so
    )
)
def test_parse_rfc3339_agrees_with_the_standard_library(moment: dt.datetime) -> None:
    seconds = (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    assert seconds * 1000 == parse_rfc3339(moment.isoformat())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (7300, "2 hours"),
        (3 * 86400, "3 days"),
        (20 * 86400, "2 weeks"),
        (90 * 86400, "3 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_shown_duration_is_rough(seconds: float, text: str) -> None:
    assert text == shown_duration(int(seconds * SECOND))
