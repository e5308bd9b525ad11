r"""The k8s-file log: a stream cut into lines, each with a time, the stream's name, and whether it is whole.

    2026-11-25T03:24:42.279378927+00:00 stdout F hello\n

`F` (full) stands before the end of a line; `P` (partial) before a piece of one, of which more follows.
Content is written as it is, so it can hold anything but a newline, and whoever reads a line back joins the
pieces up to the next `F` of the same stream.

A line is cut into pieces only when it is longer than LINE_MAX, when nothing more of it has come for a while
(a prompt should get into the log), or at the end. Where a read happened to end does not show; so the
beginning of a line waits here for the rest of it, and it is the caller who knows how long it has waited.

All of a chunk gets one time, and the work per chunk is a few calls that run at memory speed: find the last
newline, replace each newline by itself and the next line's head, join. Python per line would be what costs.

Sources: the CRI logging format (kubernetes/design-proposals, "kubelet-cri-logging"); conmon(8), k8s-file.
"""

from __future__ import annotations

LINE_MAX = 16384
"""Bytes of a line in one record."""

_FULL, _PARTIAL = b" F ", b" P "


class Encoder:
    """Turns one stream's chunks into records; keeps the beginning of a line until the rest comes."""

    def __init__(self, stream: str) -> None:
        """Take the stream's name, `stdout` or `stderr`."""
        self._name = b" " + stream.encode()
        self._rest = b""

    @property
    def has_rest(self) -> bool:
        """Whether the beginning of a line waits for more."""
        return bool(self._rest)

    def encode(self, chunk: bytes, time: bytes) -> bytes:
        """Return the records that a chunk completes. `time`: RFC 3339 with nine digits and an offset."""
        data = self._rest + chunk if self._rest else chunk
        full, partial = time + self._name + _FULL, time + self._name + _PARTIAL
        records: list[bytes] = []
        # What lies between `start` and `probe` are whole lines that are short enough. A line that is too
        # long has no newline within reach of its beginning; the last newline within reach skips all
        # lines before.
        start = probe = 0
        while len(data) - probe > LINE_MAX:
            newline = data.rfind(b"\n", probe, probe + LINE_MAX + 1)
            if newline >= 0:
                probe = newline + 1
                continue
            if probe > start:
                records += _lines(data[start : probe - 1], full)
            records += (partial, data[probe : probe + LINE_MAX], b"\n")
            start = probe = probe + LINE_MAX
        end = data.rfind(b"\n", start)
        if end >= 0:
            records += _lines(data[start:end], full)
            start = end + 1
        self._rest = data[start:]
        return b"".join(records)

    def flush(self, time: bytes) -> bytes:
        """Return the beginning of a line that waits, as a piece; nothing if none does."""
        if not self._rest:
            return b""
        rest, self._rest = self._rest, b""
        return b"".join((time, self._name, _PARTIAL, rest, b"\n"))


def _lines(lines: bytes, head: bytes) -> tuple[bytes, ...]:
    """Return what makes records of whole lines; the last one's newline is not in `lines`."""
    return head, lines.replace(b"\n", b"\n" + head), b"\n"
