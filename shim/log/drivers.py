"""The log drivers: a driver is one file in this folder and one line in this table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from holdfast.protocol.errors import HoldfastError
from holdfast.shim.log.k8s_file import K8sFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.shim.log.sink import Sink
    from holdfast.shim.order import LogOrder


class Log(Protocol):
    """Where the container's output goes. A full disk is no error: what can't be written waits."""

    sink: Sink
    """What its records are written to."""

    def write(self, stream: str, chunk: bytes) -> None:
        """Take what was written to `stdout` or `stderr`."""

    def has_rest(self, stream: str) -> bool:
        """Return whether the beginning of a line waits for its end."""

    def flush(self, stream: str) -> None:
        """Write the beginning of a line, if one waits for its end."""


DRIVERS: dict[str, Callable[[LogOrder], Log] | None] = {
    "k8s-file": K8sFile,
    "none": None,
}
"""Name → how it is opened, which raises OSError; None: nothing is kept."""


def open_logs(orders: tuple[LogOrder, ...]) -> list[Log]:
    """Open the logs that an order names. Raises HoldfastError or OSError."""
    logs = []
    for order in orders:
        if order.driver not in DRIVERS:
            raise HoldfastError(f'log driver "{order.driver}": is not one; allowed: {", ".join(DRIVERS)}')
        opener = DRIVERS[order.driver]
        if opener is not None:
            logs.append(opener(order))
    return logs
