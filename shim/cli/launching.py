"""Starting a container that has been made: its shim is launched, and what it tells is understood.

Whoever starts a container holds its lock until it runs or has failed to, so of two that start it
one does, and the other is told that it runs already.
"""

from __future__ import annotations

import fcntl
import os
import socket
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol import control, exitcode
from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.clock import now
from holdfast.runtime.commands.delete import delete
from holdfast.runtime.container import boot_id
from holdfast.shim import sockets
from holdfast.shim.exit import EXIT_FILE
from holdfast.shim.launch import launch
from holdfast.shim.link import open_link
from holdfast.shim.order import LogOrder, ShimOrder
from holdfast.shim.store.places import open_private
from holdfast.shim.store.record import LOG_FILE, NO_LOG, Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from holdfast.shim.store.places import Places
    from holdfast.shim.store.store import Entry, Store

_LAST_SHIM_S = 10


class StartFailed(HoldfastError):  # noqa: N818  # reads as what it tells
    """The container's program could not be run; `exit_code` is what shells say then: 125, 126 or 127."""

    def __init__(self, error: str, exit_code: int) -> None:
        """Keep the exit code beside the sentence."""
        super().__init__(error)
        self.exit_code = exit_code


class Launched:
    """A shim that was launched from here: its attach socket, if it was asked for, and its news."""

    def __init__(
        self, pid: int, report: socket.socket, client: socket.socket | None, run_dir_fd: int
    ) -> None:
        """Take over the sockets and the directory."""
        self.pid = pid
        self._run_dir_fd = run_dir_fd
        self.report = report
        self.client = client
        self.program_pid = 0
        self.on_started: Callable[[], None] | None = None
        """Called when the program runs."""
        self._started: control.Started | None = None
        self._exited: control.Exited | None = None
        self._waiting = b""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; see the class."""
        self._unlock_run_dir()
        self.report.close()
        if self.client is not None:
            self.client.close()

    def wait_started(self) -> int:
        """Wait until the program runs. Returns its pid. Raises StartFailed."""
        while self._started is None:
            self.take(self.report.recv(control.LINE_MAX))
        return self._started.pid

    def take(self, piece: bytes) -> bool:
        """Understand what was received from the report socket, empty at its end.

        Returns whether more is to come.

        Raises StartFailed.
        """
        if not piece and self._started is None:
            raise StartFailed("shim: it died before the container was started", exitcode.FAILED)
        *lines, self._waiting = (self._waiting + piece).split(b"\n")
        for line in lines:
            match control.decode_event(line):
                case control.Started() as started:
                    self._started = started
                    self.program_pid = started.pid
                    self._unlock_run_dir()
                    if self.on_started is not None:
                        self.on_started()
                case control.Exited() as exited:
                    self._exited = exited
                case control.Failed(error, exit_code):
                    raise StartFailed(error, exit_code)
        return bool(piece)

    def _unlock_run_dir(self) -> None:
        if self._run_dir_fd >= 0:
            fcntl.flock(self._run_dir_fd, fcntl.LOCK_UN)
            os.close(self._run_dir_fd)
            self._run_dir_fd = -1

    def attached(self) -> socket.socket:
        """Return the attach socket of a program that was launched in the foreground."""
        if self.client is None:
            raise ValueError("launched in the background")
        return self.client

    def exit_code(self) -> int:
        """Return the exit code, once the shim has left. Raises HoldfastError if nobody knows it."""
        if self._exited is None:
            raise HoldfastError("shim: it died, and the exit code with it")
        return self._exited.exit_code

    def wait_left(self) -> None:
        """Wait until the shim has done all it had to, and reap it."""
        os.waitpid(self.pid, 0)


def start_container(entry: Entry, record: Record, *, in_foreground: bool, explain: bool = False) -> Launched:
    """Launch the shim of a container that does not run. To be called with the entry locked.

    in_foreground: whether we are going to be its output; the container waits for us then.
    Raises StartFailed if there can be no shim; whether the program could be run is told by the shim.
    """
    try:
        return _start(entry, record, in_foreground=in_foreground, explain=explain)
    except (HoldfastError, OSError) as error:
        raise StartFailed(str(error), exitcode.FAILED) from None


def _start(entry: Entry, record: Record, *, in_foreground: bool, explain: bool) -> Launched:
    places = entry.store.places
    _wait_for_last_shim(entry, record)
    delete(places.runtime, entry.id, force=True)  # what a shim that was killed has left
    _forget_last_run(entry)
    entry.save(msgspec.structs.replace(record, boot_id=boot_id(), started=now()))
    run_dir_fd = make_run_dir(places, b"containers", entry.id.encode())
    log = LogOrder(record.log_driver, places.record_dir(entry.id) + b"/" + LOG_FILE, record.log_limit_bytes)
    return launch_shim(
        ShimOrder(
            id=entry.id,
            runtime_root=places.runtime,
            run_dir=places.run_dir(entry.id),
            record_dir=places.record_dir(entry.id),
            bundle=places.record_dir(entry.id),
            terminal=record.terminal,
            stdin=record.stdin,
            logs=() if record.log_driver == NO_LOG else (log,),
            remove=places if record.remove else None,
            pid_file=os.fsencode(record.pid_file) if record.pid_file else None,
        ),
        run_dir_fd,
        in_foreground=in_foreground,
        explain=explain,
    )


def launch_shim(order: ShimOrder, run_dir_fd: int, *, in_foreground: bool, explain: bool) -> Launched:
    """Launch a shim that tells us its news, and gives us its output if we are the foreground.

    run_dir_fd: as `make_run_dir` returned it; it is taken over. Raises OSError.
    """
    report, shims_report = socket.socketpair()
    client, shims_client = (
        socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) if in_foreground else (None, None)
    )
    explain_fd = os.dup(2) if explain else None  # the shim's own 2 is not ours
    try:
        pid = launch(
            msgspec.structs.replace(
                order,
                first_client_fd=None if shims_client is None else shims_client.fileno(),
                report_fd=shims_report.fileno(),
                explain_fd=explain_fd,
            )
        )
    finally:
        shims_report.close()
        if explain_fd is not None:
            os.close(explain_fd)
        if shims_client is not None:
            shims_client.close()
    return Launched(pid, report, client, run_dir_fd)


def make_run_dir(places: Places, *names: bytes) -> int:
    """Make the directory for a shim's sockets below the run directory. Returns it open, and locked.

    The lock tells whoever sweeps that there is going to be a shim. Raises HoldfastError, OSError.
    """
    fd = open_private(places.run)
    for name in names:
        above, fd = fd, open_private(name, fd)
        os.close(above)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def discard(store: Store, container_id: str) -> None:
    """Remove a container that could not be started, and what its shim may have left.

    Raises HoldfastError, OSError.
    """
    delete(store.places.runtime, container_id, force=True)
    sockets.remove(store.places.run_dir(container_id))
    with store.open(container_id).lock() as entry:
        store.remove(entry)


def _forget_last_run(entry: Entry) -> None:
    try:
        os.unlink(EXIT_FILE, dir_fd=entry.fd)
    except FileNotFoundError:
        return


def _wait_for_last_shim(entry: Entry, record: Record) -> None:
    """Let the shim of the last run finish tidying up, which would hit ours. Raises HoldfastError."""
    link = open_link(entry.store.places.run_dir(entry.id))
    if link is None:
        return
    with link:
        if record.remove:  # it waits for our lock
            raise HoldfastError(f'container "{record.name}": is just being removed')
        if not link.has_left(_LAST_SHIM_S):
            raise HoldfastError(f'container "{record.name}": the shim of its last run is still there')
