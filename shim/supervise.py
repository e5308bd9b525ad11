"""Holding a process: one nursery, one task per job, and the order in which they end.

    reap     children as they end; init among them
    pump     stdout, stderr (or the terminal)
    serve    the attach socket, the control socket
    relay    signals that are sent to the shim, to init
    retry    what the disk had no room for

The end is a sequence, so that whoever sees the exit record sees the whole log: init is reaped, the pipes are
drained, the logs are brought to disk (but not for longer than 2 s: a disk that hangs must not hold the news
back), the record is written, everybody is told, what is queued for attach clients is sent, and then the
nursery is cancelled.

Sources: waitpid(2); pidfd_send_signal(2); PR_SET_CHILD_SUBREAPER of prctl(2).
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from holdfast.protocol import control, exitcode
from holdfast.runtime.clock import now
from holdfast.shim import exit as exits
from holdfast.shim import launch, stdio
from holdfast.shim.attach import AttachServer, Client, Stdin
from holdfast.shim.control import ControlServer
from holdfast.shim.pump import Pump

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.shim.diagnostics import Diagnostics
    from holdfast.shim.log.drivers import Log
    from holdfast.shim.order import ShimOrder
    from holdfast.shim.runtimes.bringup import BringingUp
    from holdfast.shim.runtimes.interface import Runtime
    from holdfast.shim.sockets import Listeners

SYNC_S = 2
ORPHANS_S = 1
"""How long what is left of the container may go on writing into the log."""
_RETRY_S = 1
_RELAYED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Supervisor:
    """Holds one process from its making to its end."""

    def __init__(
        self,
        order: ShimOrder,
        streams: stdio.Streams,
        runtime: Runtime,
        logs: Sequence[Log],
        diagnostics: Diagnostics,
    ) -> None:
        """Begin with what was made before the loop."""
        self._order = order
        self._streams = streams
        self._runtime = runtime
        self._logs = logs
        self._diagnostics = diagnostics
        self._pid = 0
        self._pidfd = -1
        self._ptm_fd = -1
        self._size: tuple[int, int] | None = None
        self._started_at = ""
        self._statuses: dict[int, int] = {}
        self._reaped = trio.Event()
        self._exited: control.Exited | None = None
        self._over = trio.Event()
        self._disk_is_full = trio.Event()
        self._pumps: list[Pump] = []

    async def run(self, bringing_up: BringingUp, listeners: Listeners) -> bool:
        """Hold the process until it has ended. Returns whether it could be brought up."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._reap)
            await nursery.start(self._relay_signals)
            stdin = Stdin(self._streams.stdin_fd, terminal=self._order.terminal)
            attached = AttachServer(nursery, stdin, self._diagnostics)
            if self._order.first_client_fd is not None:
                attached.add(Client(socket.socket(fileno=self._order.first_client_fd), first=True))
            nursery.start_soon(attached.listen, listeners.attach)
            nursery.start_soon(ControlServer(self, self._diagnostics).listen, listeners.control)
            self._pump(nursery, attached, self._streams.stdout_fd, "stdout")
            self._pump(nursery, attached, self._streams.stderr_fd, "stderr")
            nursery.start_soon(self._retry_logs)
            result = await self._result(nursery, attached, stdin, bringing_up)
            if isinstance(result, control.Started):
                await self._hold(result.pid)
            self._tell(self._exited or result)
            await attached.farewell()
            nursery.cancel_scope.cancel()
        return self._exited is not None

    async def _result(
        self, nursery: trio.Nursery, attached: AttachServer, stdin: Stdin, bringing_up: BringingUp
    ) -> control.Event:
        """Wait until the runtime says how it went, and has left its children to us."""
        if self._streams.console is not None:
            nursery.start_soon(self._take_terminal, nursery, attached, stdin)
        await trio.lowlevel.wait_readable(bringing_up.result_fd)
        line = os.read(bringing_up.result_fd, control.LINE_MAX)
        os.close(bringing_up.result_fd)
        await self._status_of(bringing_up.pid)
        if not line:
            return control.Failed(
                error="bring the container up: the runtime died", exit_code=exitcode.FAILED
            )
        return control.decode_event(line)

    async def _hold(self, pid: int) -> None:
        """See the process through to its end."""
        self._pid, self._started_at = pid, now()
        if pid not in self._statuses:  # not reaped yet, so the number is still its
            self._pidfd = os.pidfd_open(pid)
        self._tell(control.Started(pid=pid))
        status = await self._status_of(pid)
        for pump in self._pumps:
            pump.drain()
        await self._sync_logs()
        ending = exitcode.ending(status)
        self._exited = control.Exited(
            pid=pid,
            exit_code=ending.exit_code,
            signal=ending.signal,
            oom=self._was_oom_killed(),
            started_at=self._started_at,
            finished_at=now(),
        )
        self._record(self._exited)
        self._over.set()
        with trio.move_on_after(0 if self._order.terminal else ORPHANS_S):
            for pump in self._pumps:
                await pump.ended.wait()

    def _pump(self, nursery: trio.Nursery, attached: AttachServer, fd: int | None, stream: str) -> None:
        if fd is not None:
            pump = Pump(fd, stream, self._logs, partial(self._show, attached))
            self._pumps.append(pump)
            nursery.start_soon(pump.run, attached.room)

    async def _take_terminal(self, nursery: trio.Nursery, attached: AttachServer, stdin: Stdin) -> None:
        """Receive our end of the terminal, once the runtime has made it."""
        console = self._streams.console
        if console is None:
            return
        await trio.lowlevel.wait_readable(console)
        try:
            self._ptm_fd = stdio.receive_terminal(console)
        except OSError:  # the runtime has failed, and says so by itself
            return
        finally:
            console.close()
        if self._size is not None:
            stdio.resize(self._ptm_fd, *self._size)
        stdin.open(self._ptm_fd)
        self._pump(nursery, attached, self._ptm_fd, "stdout")

    async def _reap(self, task_status: trio.TaskStatus[None]) -> None:
        """Reap every child that ends: init, the runtime, and orphans of the container."""
        with trio.open_signal_receiver(signal.SIGCHLD) as signals:
            task_status.started()
            self._sweep()
            async for _ in signals:
                self._sweep()

    def _sweep(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if self._pid in (0, pid):  # until it is known which child matters, each may
                self._statuses[pid] = status
            reaped, self._reaped = self._reaped, trio.Event()
            reaped.set()

    async def _status_of(self, pid: int) -> int:
        """Wait until a child has ended and return its wait status."""
        while pid not in self._statuses:
            await self._reaped.wait()
        return self._statuses.pop(pid)

    async def _relay_signals(self, task_status: trio.TaskStatus[None]) -> None:
        """Pass signals on to init; the shim itself stays."""
        with trio.open_signal_receiver(*_RELAYED) as signals:
            task_status.started()
            async for number in signals:
                if self._pidfd >= 0:
                    with suppress(ProcessLookupError):
                        signal.pidfd_send_signal(self._pidfd, number)

    def _show(self, attached: AttachServer, stream: str, chunk: bytes) -> None:
        attached.show(stream, chunk)
        if any(log.waits for log in self._logs):
            self._disk_is_full.set()

    async def _retry_logs(self) -> None:
        while True:
            await self._disk_is_full.wait()
            await trio.sleep(_RETRY_S)
            waits = [log.retry() for log in self._logs]
            if not any(waits):
                self._disk_is_full = trio.Event()

    async def _sync_logs(self) -> None:
        with trio.move_on_after(SYNC_S) as scope:
            for log in self._logs:
                log.retry()
                await trio.to_thread.run_sync(log.sync, abandon_on_cancel=True)
        if scope.cancelled_caught:
            self._diagnostics.warning("log.sync_given_up", ms=SYNC_S * 1000)

    def _was_oom_killed(self) -> bool:
        try:
            return self._runtime.oom_kills() > 0
        except Exception as error:  # noqa: BLE001  # the exit status is worth more than this detail of it
            self._diagnostics.warning("oom.not_known", error=str(error))
            return False

    def _record(self, exited: control.Exited) -> None:
        self._diagnostics.info(
            "init.exited", exit_code=exited.exit_code, signal=exited.signal, oom=exited.oom
        )
        if self._order.record_dir is None:
            return
        try:
            exits.record(self._order.record_dir, exited)
        except OSError as error:
            self._diagnostics.error("exit.not_recorded", error=str(error))

    def _tell(self, event: control.Event) -> None:
        launch.tell(self._order, event)

    # What a control connection may ask

    async def ended(self) -> control.Exited:
        """Wait for the end."""
        await self._over.wait()
        if self._exited is None:
            raise OSError("the process has not been started")
        return self._exited

    def status(self) -> control.Event:
        """Return the last event."""
        return self._exited or control.Started(pid=self._pid)

    def resize(self, height: int, width: int) -> None:
        """Give the terminal a size, or keep it until there is one."""
        if not self._order.terminal:
            raise OSError("resize: the container has no terminal")
        self._size = (height, width)
        if self._ptm_fd >= 0:
            stdio.resize(self._ptm_fd, height, width)

    def reopen_logs(self) -> None:
        """Open the log files anew."""
        for log in self._logs:
            log.reopen()
