"""Points in time and durations, as people type and read them; inside they are nanoseconds since 1970 (UTC).

Nothing but integers is used for what is compared with a log's time stamps: a float of this size is
only exact to some hundred nanoseconds.

Sources: RFC 3339; Docker's documentation of `logs --since` for what is accepted.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from holdfast.protocol.errors import quoted
from holdfast.shim.cli.sizes import parse_count

SECOND = 1_000_000_000
_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_DAY = 86400
_WHAT = "a time as 2026-01-02T03:04:05Z, seconds since 1970, or how long ago, as 10m or 1h30m"


class _Stamp(NamedTuple):
    seconds: int
    nanoseconds: int
    zone: int | None
    """Seconds east of UTC; None if the text names none."""


def parse_duration(text: str) -> int:
    """Read a duration, as 90, 90s, 1.5h or 1h30m, in nanoseconds. Raises ValueError."""
    total, left = 0, text + "s" if text.isdigit() else text
    while left:
        number = left[: len(left) - len(left.lstrip("0123456789."))]
        left = left[len(number) :]
        unit = left[: len(left) - len(left.lstrip("nusmh"))]
        left = left[len(unit) :]
        whole, _, fraction = number.partition(".")
        if unit not in _UNITS or not (whole + fraction).isdigit() or len(number) > 18:  # noqa: PLR2004  # fits 64 bits
            break
        total += int(whole + fraction) * _UNITS[unit] // 10 ** len(fraction)
    else:
        if text:
            return total
    raise ValueError(f"{quoted(text)} is not a duration; allowed: seconds, or as 10m, 1h30m")


def parse_moment(text: str, now_ns: int) -> int:
    """Read a point in time, in nanoseconds since 1970. Raises ValueError.

    Without a zone it is local time, as Docker has it; a duration counts back from `now_ns`.
    """
    whole, _, fraction = text.partition(".")
    if whole.isascii() and whole.isdigit() and (not fraction or (fraction.isascii() and fraction.isdigit())):
        return int(whole[:12]) * SECOND + int(fraction[:9].ljust(9, "0"))
    if text[4:5] == "-":
        try:
            return _moment_of(_parse_stamp(text))
        except (ValueError, OverflowError):
            raise ValueError(f"{quoted(text)} is not a time; allowed: {_WHAT}") from None
    try:
        return now_ns - parse_duration(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is not a time; allowed: {_WHAT}") from None


def parse_rfc3339(text: str) -> int:
    """Read a time stamp that a program wrote. Raises ValueError."""
    stamp = _parse_stamp(text)
    if stamp.zone is None:
        raise ValueError(f'"{text}" names no zone')
    return _moment_of(stamp)


def _moment_of(stamp: _Stamp) -> int:
    seconds = stamp.seconds
    if stamp.zone is None:
        as_local = time.gmtime(seconds)[:6]
        seconds = int(time.mktime((*as_local, 0, 0, -1)))
    else:
        seconds -= stamp.zone
    return seconds * SECOND + stamp.nanoseconds


def _parse_stamp(text: str) -> _Stamp:
    """Read YYYY-MM-DD[Thh:mm[:ss[.fraction]]][Z|+hh:mm]. Raises ValueError."""
    date, clock, zone = text[:10], text[10:], None
    year, month, day = (parse_count(part, 9999) for part in date.split("-"))
    if clock:
        if clock[0] not in "T ":
            raise ValueError(text)
        clock, zone = _split_zone(clock[1:])
    clock, _, fraction = clock.partition(".")
    parts = [parse_count(part, 60) for part in clock.split(":")] if clock else []
    hour, minute, second = (*parts, 0, 0, 0)[:3]
    if len(parts) > 3 or hour > 23 or minute > 59 or not 1 <= month <= 12 or not 1 <= day <= 31:  # noqa: PLR2004
        raise ValueError(text)
    nanoseconds = parse_count(fraction[:9].ljust(9, "0")) if fraction else 0
    seconds = _days_since_1970(year, month, day) * _DAY + hour * 3600 + minute * 60 + second
    return _Stamp(seconds, nanoseconds, zone)


def _split_zone(clock: str) -> tuple[str, int | None]:
    if clock.endswith(("Z", "z")):
        return clock[:-1], 0
    sign = clock[-6:-5]
    if sign not in ("+", "-"):
        return clock, None
    hours, _, minutes = clock[-5:].partition(":")
    offset = parse_count(hours, 23) * 3600 + parse_count(minutes, 59) * 60
    return clock[:-6], offset if sign == "+" else -offset


def _days_since_1970(year: int, month: int, day: int) -> int:
    """Count days in the Gregorian calendar; years begin in March here: a leap day is a year's last."""
    if month <= 2:  # noqa: PLR2004  # January and February belong to the year before
        year, month = year - 1, month + 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719469


def shown_duration(nanoseconds: int) -> str:
    """Show a duration roughly, for people, as in "3 minutes"."""
    seconds = max(0, nanoseconds) // SECOND
    if seconds < 1:
        return "less than a second"
    for size, name, up_to in (
        (1, "second", 60),
        (60, "minute", 3600),
        (3600, "hour", 2 * _DAY),
        (_DAY, "day", 14 * _DAY),
        (7 * _DAY, "week", 60 * _DAY),
        (30 * _DAY, "month", 2 * 365 * _DAY),
    ):
        if seconds < up_to:
            return _counted(seconds // size, name)
    return _counted(seconds // (365 * _DAY), "year")


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" + ("" if count == 1 else "s")
