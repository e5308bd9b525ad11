r"""The k8s-file log: a stream cut into lines, each with a time, the stream's name, and whether it is whole.

    2026-11-25T03:24:42.279378927+00:00 stdout F hello\n

`F` stands before the end of a line; `P` before a piece of one, of which more may follow. Content is written
as it is.

A line is cut into pieces only when it is longer than LINE_MAX, when nothing more of it has come for a while
(a prompt should get into the log), or at the end; where a read happened to end does not show. All of a chunk
gets one time, and the work per chunk is a few calls that run at memory speed; Python per line would be what
costs.

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
        start, records = 0, []
        # A line that is too long lies between two newlines with more than LINE_MAX between them: look at the
        # last newline within reach of each line's start, which finds most lines many at a time.
        probe = 0
        while len(data) - probe > LINE_MAX:
            newline = data.rfind(b"\n", probe, probe + LINE_MAX + 1)
            if newline >= 0:
                probe = newline + 1
                continue
            if probe > start:
                records.append(self._lines(data[start : probe - 1], time))
            records.append(self._record(_PARTIAL, data[probe : probe + LINE_MAX], time))
            start = probe = probe + LINE_MAX
        end = data.rfind(b"\n", start)
        if end >= 0:
            records.append(self._lines(data[start:end], time))
            start = end + 1
        self._rest = data[start:]
        return b"".join(records)

    def flush(self, time: bytes) -> bytes:
        """Return the beginning of a line that waits, as a piece; nothing if none does."""
        if not self._rest:
            return b""
        rest, self._rest = self._rest, b""
        return self._record(_PARTIAL, rest, time)

    def _lines(self, lines: bytes, time: bytes) -> bytes:
        """Return the records of whole lines; the last one's newline is not in `lines`."""
        prefix = time + self._name + _FULL
        return prefix + lines.replace(b"\n", b"\n" + prefix) + b"\n"

    def _record(self, tag: bytes, content: bytes, time: bytes) -> bytes:
        return time + self._name + tag + content + b"\n"
