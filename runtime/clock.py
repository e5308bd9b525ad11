"""The time of day, as state and records write it."""

from __future__ import annotations

import time


def now() -> str:
    """Return the time as RFC 3339 in UTC with nanoseconds, as in 2026-01-02T03:04:05.013443244Z."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"
