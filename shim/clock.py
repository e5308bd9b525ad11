"""The time of day as log records carry it: local, with nine digits and the offset from UTC.

Formatting a time costs more than asking for it, and of a record's time only the fraction changes within a
second. So the rest is made once a second.

Sources: RFC 3339; localtime(3).
"""

from __future__ import annotations

import time


class Clock:
    """Tells the time for log records."""

    def __init__(self) -> None:
        """Begin with no second made yet."""
        self._second = -1
        self._front = self._offset = b""

    def stamp(self) -> bytes:
        """Return the time now, as in 2026-11-25T03:24:42.279378927+00:00."""
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._make(second)
        return b"%s.%09d%s" % (self._front, nanoseconds, self._offset)

    def _make(self, second: int) -> None:
        local = time.localtime(second)
        sign, minutes = ("-" if local.tm_gmtoff < 0 else "+"), abs(local.tm_gmtoff) // 60
        self._front = time.strftime("%Y-%m-%dT%H:%M:%S", local).encode()
        self._offset = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}".encode()
        self._second = second
