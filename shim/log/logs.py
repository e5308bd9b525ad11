"""All logs of one process, and what they need over time: to be tried again, and to be brought to disk.

Writing happens in the loop, at once, since it goes to the page cache. To wait for the disk takes a thread,
and a limit, since a disk that hangs must not hold back the news that a container has ended.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.shim.diagnostics import Diagnostics
    from holdfast.shim.log.drivers import Log

SYNC_S = 2
_RETRY_S = 1


class Logs:
    """Gives output to every log."""

    def __init__(self, logs: Sequence[Log], diagnostics: Diagnostics) -> None:
        """Take over open logs."""
        self._logs = logs
        self._diagnostics = diagnostics
        self._stuck = trio.Event()

    def write(self, stream: str, chunk: bytes) -> None:
        """Write what was written to `stdout` or `stderr`; what there is no room for waits."""
        for log in self._logs:
            log.write(stream, chunk)
            if log.sink.waits:
                self._stuck.set()

    def has_rest(self, stream: str) -> bool:
        """Return whether the beginning of a line waits for its end."""
        return any(log.has_rest(stream) for log in self._logs)

    def flush(self, stream: str) -> None:
        """Write the beginning of a line that waits, as a piece."""
        for log in self._logs:
            log.flush(stream)

    def reopen(self) -> None:
        """Open the files anew, under their names. Raises OSError; the old one stays in use then."""
        for log in self._logs:
            log.sink.reopen()

    async def retry(self) -> None:
        """Write what waits, as soon as there is room; for ever."""
        while True:
            await self._stuck.wait()
            reasons = {log.sink.reason for log in self._logs if log.sink.waits}
            self._diagnostics.warning("log.stuck", reason=", ".join(sorted(reasons)))
            while self._stuck.is_set():
                await trio.sleep(_RETRY_S)
                if not [log for log in self._logs if log.sink.retry()]:
                    self._stuck = trio.Event()
            self._diagnostics.warning("log.unstuck")

    async def sync(self) -> None:
        """Return when all that was written is on disk, or when it has taken too long."""
        fds = []
        for log in self._logs:
            log.sink.retry()
            fds += log.sink.unsynced()
        if not fds:
            return
        with trio.move_on_after(SYNC_S) as scope:
            try:
                # The thread owns the descriptors; if it is left to itself, it closes them whenever it is
                # done.
                await trio.to_thread.run_sync(_sync, fds, abandon_on_cancel=True)
            except OSError as error:
                self._diagnostics.error("log.not_synced", errno=error.errno)
        if scope.cancelled_caught:
            self._diagnostics.warning("log.sync_given_up", ms=SYNC_S * 1000)

    def close(self) -> None:
        """Close the files; what there is still no room for is lost, and told."""
        lost = sum(log.sink.close() for log in self._logs)
        if lost:
            self._diagnostics.error("log.lost", bytes=lost)


def _sync(fds: list[int]) -> None:
    """Bring files to disk, and close the descriptors. Raises OSError."""
    try:
        for fd in fds:
            os.fsync(fd)
    finally:
        for fd in fds:
            os.close(fd)
