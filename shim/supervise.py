"""Holding a process: one nursery, one task per job, and the order in which they end.

    reap     children as they end; init among them
    pump     stdout, stderr (or the terminal)
    serve    the attach socket, the control socket
    relay    signals that are sent to the shim, to init; to the runtime while there is no init yet
    retry    what the disk had no room for
    limit    the time that the process may take, if it was given one

The end is a sequence, so that whoever sees the exit record sees the whole log:

    1. init is reaped; the kernel's wait status is what is recorded, whatever else happens
    2. what it has left in the pipes is handed on, stdout before stderr
    3. the logs are brought to disk, but not for longer than SYNC_S
    4. the record is written, and everybody is told
    5. what the container's orphans still write is logged, but not for longer than ORPHANS_S
    6. what is queued for attach clients is sent
    7. the nursery is cancelled, and with it all jobs

Sources: waitpid(2); pidfd_send_signal(2); PR_SET_CHILD_SUBREAPER of prctl(2).
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from holdfast.protocol import control, exitcode
from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.clock import now
from holdfast.shim import stdio
from holdfast.shim.attach import AttachServer
from holdfast.shim.control import ControlServer
from holdfast.shim.detach import RELAYED
from holdfast.shim.log.logs import Logs
from holdfast.shim.pump import Pump
from holdfast.shim.reap import Reaper
from holdfast.shim.report import tell
from holdfast.shim.stdin import Stdin

if TYPE_CHECKING:
    from holdfast.shim.diagnostics import Diagnostics
    from holdfast.shim.order import ShimOrder
    from holdfast.shim.prepare import Prepared
    from holdfast.shim.runtimes.bringup import BringingUp
    from holdfast.shim.runtimes.interface import Runtime

ORPHANS_S = 1
"""How long what is left of the container may go on writing into the log."""


class Supervisor:
    """Holds one process from its making to its end."""

    def __init__(
        self, order: ShimOrder, prepared: Prepared, runtime: Runtime, diagnostics: Diagnostics
    ) -> None:
        """Begin with what was made before the loop."""
        self._order = order
        self._streams = prepared.streams
        self._listeners = prepared.listeners
        self._record = prepared.record
        self._runtime = runtime
        self._diagnostics = diagnostics
        self._logs = Logs(prepared.logs, diagnostics)
        self._reaper = Reaper()
        self._pumps: list[Pump] = []
        self._target_fd = -1
        """Pidfd of the process that signals are for."""
        self._early: list[int] = []
        """Signals that were sent to the runtime."""
        self._ptm_fd = -1
        self._size: tuple[int, int] | None = None
        self._news: control.Event | None = None
        self._over = trio.Event()

    async def run(self, bringing_up: BringingUp) -> control.Event:
        """Hold the process until it has ended. Returns Exited, or Failed if it could not be brought up."""
        self._target_fd = os.pidfd_open(bringing_up.pid)
        async with trio.open_nursery() as nursery:
            await nursery.start(self._reaper.run)
            await nursery.start(self._relay_signals)
            nursery.start_soon(self._logs.retry)
            stdin = Stdin(self._streams.stdin_fd, terminal=self._order.terminal)
            attached = AttachServer(nursery, stdin, self._diagnostics)
            if self._order.first_client_fd is not None:
                attached.add_first(socket.socket(fileno=self._order.first_client_fd))
            nursery.start_soon(attached.listen, self._listeners.attach)
            answering = ControlServer(nursery, self, self._diagnostics)
            nursery.start_soon(answering.listen, self._listeners.control)
            self._pump(nursery, attached, self._streams.stdout_fd, "stdout")
            self._pump(nursery, attached, self._streams.stderr_fd, "stderr")
            async with trio.open_nursery() as making:
                making.start_soon(self._take_terminal, nursery, attached, stdin)
                result = await self._result(bringing_up)
            if isinstance(result, control.Started):
                nursery.start_soon(self._limit_time)
                result = await self._hold(result.pid)
            else:
                self._tell(result)
            await attached.farewell()
            await answering.farewell()
            nursery.cancel_scope.cancel()
        self._logs.close()
        return result

    async def _result(self, bringing_up: BringingUp) -> control.Event:
        """Wait until the runtime has said how it went, and has left its children to us."""
        await trio.lowlevel.wait_readable(bringing_up.result_fd)
        line = os.read(bringing_up.result_fd, control.LINE_MAX)
        os.close(bringing_up.result_fd)
        await self._reaper.status_of(bringing_up.pid)
        if line:
            return control.decode_event(line)
        try:
            self._runtime.clean_up()  # it had no time to do that itself
        except (HoldfastError, OSError) as error:
            self._diagnostics.error("container.not_deleted", error=str(error))
        return control.Failed(error="bring the container up: the runtime died", exit_code=exitcode.FAILED)

    async def _hold(self, pid: int) -> control.Exited:
        """See the process through to its end."""
        self._reaper.keep_only(pid)
        started_at, oom_kills_before = now(), self._oom_kills() if self._order.is_exec else 0
        self._tell(control.Started(pid=pid))
        self._aim_at(pid)
        ending = exitcode.ending(await self._reaper.status_of(pid))
        for pump in self._pumps:
            pump.drain()
        await self._logs.sync()
        exited = control.Exited(
            pid=pid,
            exit_code=ending.exit_code,
            signal=ending.signal,
            oom=self._oom_kills() > oom_kills_before,
            started_at=started_at,
            finished_at=now(),
        )
        self._write_record(exited)
        self._tell(exited)
        await self._hear_orphans()
        return exited

    async def _hear_orphans(self) -> None:
        """Give the container's orphans a bounded time to write; the end of a terminal has hung them up."""
        if not self._order.terminal:
            with trio.move_on_after(ORPHANS_S):
                for pump in self._pumps:
                    await pump.ended.wait()
        for pump in self._pumps:
            pump.stop()
            pump.drain()

    def _pump(self, nursery: trio.Nursery, attached: AttachServer, fd: int | None, stream: str) -> None:
        if fd is not None:
            pump = Pump(fd, stream, self._logs, attached.show)
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

    async def _relay_signals(self, task_status: trio.TaskStatus[None]) -> None:
        """Pass signals on, also those that came before there was anybody to do so; the shim itself stays."""
        with trio.open_signal_receiver(*RELAYED) as signals:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, RELAYED)
            task_status.started()
            async for number in signals:
                self._send(number)

    def _send(self, number: int) -> None:
        if self._news is None:
            self._early.append(number)
        if self._target_fd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._target_fd, number)

    def _aim_at(self, pid: int) -> None:
        """Have signals go to init from now on, and those that have reached the runtime too late."""
        os.close(self._target_fd)
        self._target_fd = -1 if self._reaper.has_reaped(pid) else os.pidfd_open(pid)
        for number in self._early:
            self._send(number)

    async def _limit_time(self) -> None:
        """Kill init when its time is over."""
        if self._order.timeout_s is not None:
            await trio.sleep(self._order.timeout_s)
            self._diagnostics.warning("init.timed_out", s=self._order.timeout_s)
            self._send(signal.SIGKILL)

    def _oom_kills(self) -> int:
        try:
            return self._runtime.oom_kills()
        except Exception as error:  # noqa: BLE001  # the exit status is worth more than this detail of it
            self._diagnostics.warning("oom.not_known", error=str(error))
            return 0

    def _write_record(self, exited: control.Exited) -> None:
        if self._record is not None:
            try:
                self._record.write(exited)
            except OSError as error:
                self._diagnostics.error("exit.not_recorded", error=str(error))

    def _tell(self, event: control.Event) -> None:
        self._news = event
        if not isinstance(event, control.Started):
            self._over.set()
        tell(self._order.report_fd, event)

    # What a control connection may ask

    async def ended(self) -> control.Event:
        """Wait for the end, or for the news that there was no beginning."""
        await self._over.wait()
        return self.status()

    def status(self) -> control.Event:
        """Return the last event."""
        if self._news is None:
            raise OSError("status: the container is still being made")
        return self._news

    def resize(self, height: int, width: int) -> None:
        """Give the terminal a size, or keep it until there is one."""
        if not self._order.terminal:
            raise OSError("resize: the container has no terminal")
        self._size = (height, width)
        if self._ptm_fd >= 0:
            stdio.resize(self._ptm_fd, height, width)

    def reopen_logs(self) -> None:
        """Open the log files anew."""
        self._logs.reopen()
