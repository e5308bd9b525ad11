"""The log drivers: a driver is one file in this folder and one line in this table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from holdfast.protocol.errors import HoldfastError
from holdfast.shim.log.k8s_file import K8sFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.shim.order import LogOrder


class Log(Protocol):
    """Where the container's output goes.

    Nothing here raises for a full disk: what can't be written waits.
    """

    @property
    def waits(self) -> bool:
        """Whether something could not be written yet."""

    def write(self, stream: str, chunk: bytes) -> None:
        """Take what was written to `stdout` or `stderr`."""

    def flush(self, stream: str) -> bool:
        """Write the beginning of a line, if one waits for its end. Returns whether one did."""

    def retry(self) -> bool:
        """Try to write what could not be written. Returns whether something still waits."""

    def reopen(self) -> None:
        """Open the file anew, under its name. Raises OSError; the old one stays in use then."""

    def sync(self) -> None:
        """Return when all is on disk; called in a thread. Raises OSError."""

    def close(self) -> None:
        """Close it."""


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
