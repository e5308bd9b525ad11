"""The k8s-file driver: CRI records in a file. What Podman, CRI-O and the kubelet read.

Source: protocol/log/k8s.py has the format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.log.k8s import Encoder
from holdfast.shim.clock import Clock
from holdfast.shim.log.sink import Sink

if TYPE_CHECKING:
    from holdfast.shim.order import LogOrder


class K8sFile:
    """Writes each chunk as records with one time."""

    def __init__(self, order: LogOrder) -> None:
        """Open the file. Raises OSError."""
        self._clock = Clock()
        self._encoders = {stream: Encoder(stream) for stream in ("stdout", "stderr")}
        self.sink = Sink(order.path, order.limit_bytes, self._gap)

    def write(self, stream: str, chunk: bytes) -> None:
        """Write the records that the chunk completes."""
        records = self._encoders[stream].encode(chunk, self._clock.stamp())
        if records:
            self.sink.write(records)

    def has_rest(self, stream: str) -> bool:
        """Return whether the beginning of a line waits for its end."""
        return self._encoders[stream].has_rest

    def flush(self, stream: str) -> None:
        """Write the beginning of a line as a piece of one."""
        records = self._encoders[stream].flush(self._clock.stamp())
        if records:
            self.sink.write(records)

    def _gap(self, lost_bytes: int, reason: str) -> bytes:
        """Return a record that stands where output is missing."""
        text = f"holdfast: {lost_bytes} bytes of log lost here: {reason}"
        return b"%s stderr F %s\n" % (self._clock.stamp(), text.encode())
