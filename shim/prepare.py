"""What a shim opens before it has anything made: what can be refused is refused without a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.shim import sockets, stdio
from holdfast.shim.exit import ExitRecord
from holdfast.shim.log.drivers import open_logs

if TYPE_CHECKING:
    from holdfast.shim.log.drivers import Log
    from holdfast.shim.order import ShimOrder


class Prepared(NamedTuple):
    """All of it, open."""

    streams: stdio.Streams
    listeners: sockets.Listeners
    logs: list[Log]
    record: ExitRecord | None
    """None for an exec."""


def prepare(order: ShimOrder) -> Prepared:
    """Open streams, sockets, logs and the record's place.

    Raises HoldfastError or OSError; the sockets' directory may be there then, and nothing else.
    """
    return Prepared(
        streams=stdio.open_streams(terminal=order.terminal, stdin=order.stdin),
        listeners=sockets.listen(order.run_dir),
        logs=open_logs(order.logs),
        record=None if order.record_dir is None else ExitRecord(order.record_dir),
    )
