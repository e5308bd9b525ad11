"""Reading a log back: the lines of a k8s-file log (the CRI's format) as entries.

    2026-01-02T03:04:05.013443244+00:00 stdout F the text, up to the newline

`F` ends a line of the container's, `P` is a part of one that goes on in the stream's next entry. A
torn last line (the disk was full, the power was cut) is no entry.

Source: the Kubernetes container runtime interface, "CRI log format"; conmon's logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

FULL = b"F"
PARTIAL = b"P"
_FIELDS = 4


class Entry(NamedTuple):
    """One record of a log."""

    time: bytes
    """As written, RFC 3339."""
    stream: bytes
    """`stdout` or `stderr`."""
    is_full: bool
    """Whether a line of the container's ends here."""
    content: bytes
    """What the container wrote, without the newline."""


def parse_line(line: bytes) -> Entry | None:
    """Read one line of the log, without its newline; None if it is none."""
    fields = line.split(b" ", _FIELDS - 1)
    if len(fields) != _FIELDS or fields[2] not in (FULL, PARTIAL):
        return None
    return Entry(fields[0], fields[1], fields[2] == FULL, fields[3])


class TailCounter:
    """Finds where the last lines of a log begin, from its end backwards."""

    def __init__(self, wanted: int) -> None:
        """Look for the beginning of the last `wanted` lines, of both streams together."""
        self._left = wanted
        self._last = True

    def is_before(self, line: bytes) -> bool:
        """Take the line before those taken so far; tell whether it is the first one that is not wanted.

        A line of the container's begins right behind the end of the one before it; what is at the
        end of the log is a line, too, if it is not ended yet.
        """
        entry = parse_line(line)
        ends_one = entry is not None and entry.is_full
        if self._last or ends_one:
            if not self._left:
                return True
            self._left -= 1
        self._last = False
        return False


class Joiner:
    """Puts back together what the container wrote, entry by entry."""

    def __init__(self, *, with_time: bool) -> None:
        """Begin. with_time: put its time in front of each line."""
        self._with_time = with_time
        self._inside: set[bytes] = set()

    def join(self, entries: Iterable[Entry]) -> list[tuple[bytes, bytes]]:
        """Return (stream, bytes) for some entries; neighbours of one stream are joined."""
        found: list[tuple[bytes, list[bytes]]] = []
        for entry in entries:
            if not found or found[-1][0] != entry.stream:
                found.append((entry.stream, []))
            pieces = found[-1][1]
            if self._with_time and entry.stream not in self._inside:
                pieces += (entry.time, b" ")
            pieces.append(entry.content)
            if entry.is_full:
                pieces.append(b"\n")
                self._inside.discard(entry.stream)
            else:
                self._inside.add(entry.stream)
        return [(stream, b"".join(pieces)) for stream, pieces in found]
