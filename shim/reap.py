"""The one reaper: every child that ends is reaped here, and its wait status kept for whoever asks.

The shim is a subreaper, so its children are those that it knows (the runtime, and init, which falls to
it when the runtime ends) and whatever a container without a pid namespace of its own leaves behind,
which nobody asks for. SIGCHLD says that some child has ended, and may say so once for many; so each time
all are reaped that are there. One sweep for all cannot take a status away from somebody else who waits
for it.

Sources: waitpid(2); signal(7) on signals that coalesce; PR_SET_CHILD_SUBREAPER of prctl(2).
"""

from __future__ import annotations

import os
import signal

import trio


class Reaper:
    """Reaps children."""

    def __init__(self) -> None:
        """Begin with none."""
        self._statuses: dict[int, int] = {}
        self._only = 0
        self._reaped = trio.lowlevel.ParkingLot()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Reap for ever."""
        with trio.open_signal_receiver(signal.SIGCHLD) as signals:
            task_status.started()
            self._sweep()
            async for _ in signals:
                self._sweep()

    async def status_of(self, pid: int) -> int:
        """Wait until a child has ended and return its wait status, once."""
        while pid not in self._statuses:
            await self._reaped.park()
        return self._statuses.pop(pid)

    def has_reaped(self, pid: int) -> bool:
        """Return whether a child has ended; while it has not, its number is still its own."""
        return pid in self._statuses

    def keep_only(self, pid: int) -> None:
        """Keep no status but that of one child from now on: it is known now who will be asked for."""
        self._only = pid
        self._statuses = {child: status for child, status in self._statuses.items() if child == pid}

    def _sweep(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            if self._only in (0, pid):
                self._statuses[pid] = status
        self._reaped.unpark_all()
