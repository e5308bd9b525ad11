"""A shim with a stand-in for the runtime.

The program is started as a plain process, with the stdio that it would have.

What a shim does does not depend on how its process was made, so most of it can be tested without making
containers.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import select
import signal
import socket
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.protocol import attach, control
from holdfast.shim import launch as launching
from holdfast.shim import runtimes, sockets
from holdfast.shim.order import LogOrder, ShimOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdfast.shim.runtimes.interface import Runtime

DEADLINE_S = 60


class PlainProcess:
    """Runs a command in place of a container."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    def bring_up(self, stdio: Sequence[int], console_fd: int | None) -> int:
        pair = os.openpty() if console_fd is not None else None
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for fd, source in enumerate(stdio):
                os.dup2(source, fd)
            if pair:
                _login(pair[1])
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_DFL)
            try:
                os.execvp(self._command[0], [*self._command])  # noqa: S606  # as a runtime does
            finally:
                os._exit(127)
        if pair and console_fd is not None:
            with socket.socket(fileno=os.dup(console_fd)) as console:
                socket.send_fds(console, [b"\0"], [pair[0]])
        return pid

    def oom_kills(self) -> int:
        return 0

    def clean_up(self) -> None:
        return


def _login(pts_fd: int) -> None:
    fcntl.ioctl(pts_fd, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(pts_fd, fd)


def end_watchdog() -> None:
    """End the thread by which pytest watches over a test: a launcher has one thread only."""
    faulthandler.cancel_dump_traceback_later()
    deadline = time.monotonic() + DEADLINE_S
    while len(os.listdir("/proc/self/task")) > 1:  # it is told to end, and ends a moment later
        assert time.monotonic() < deadline, "there are other threads"
        time.sleep(0.001)


class Held:
    """A command held by a shim, with the ends that the launcher keeps."""

    def __init__(self, directory: Path, *, first: bool, **options: object) -> None:
        self.run_dir, self.record_dir = directory / "run", directory / "record"
        self.run_dir.mkdir(mode=0o700)
        self.record_dir.mkdir(mode=0o700, exist_ok=True)
        self.log = self.record_dir / "ctr.log"
        self.client, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.report, their_report = socket.socketpair()
        self._lines = b""
        self._clients: list[socket.socket] = []
        order = ShimOrder(
            id="held",
            runtime_root=os.fsencode(directory),
            run_dir=os.fsencode(self.run_dir),
            first_client_fd=theirs.fileno() if first else None,
            report_fd=their_report.fileno(),
            **{
                "record_dir": os.fsencode(self.record_dir),
                "logs": (LogOrder("k8s-file", os.fsencode(self.log)),),
                **options,
            },  # type: ignore[arg-type]
        )
        end_watchdog()
        self.shim_pid = launching.launch(order)
        theirs.close()
        their_report.close()
        for sock in (self.client, self.report):
            sock.settimeout(DEADLINE_S)

    def event(self) -> control.Event:
        """Wait for the next event."""
        while b"\n" not in self._lines:
            piece = self.report.recv(4096)
            if not piece:
                raise EOFError("the shim has left")
            self._lines += piece
        line, _, self._lines = self._lines.partition(b"\n")
        return control.decode_event(line)

    def failed(self) -> control.Failed:
        """Wait until the shim has told that nothing could be made."""
        event = self.event()
        assert isinstance(event, control.Failed), event
        return event

    def started(self) -> int:
        """Wait until it runs. Returns the pid."""
        event = self.event()
        assert isinstance(event, control.Started), event
        return event.pid

    def exited(self) -> control.Exited:
        """Wait until it has ended and the shim has told so."""
        while True:
            event = self.event()
            if isinstance(event, control.Exited):
                return event
            assert isinstance(event, control.Started), event

    def output(self) -> dict[int, bytes]:
        """Receive what comes, until the end: what was written to each stream."""
        return receive_all(self.client)

    def connect(self) -> socket.socket:
        """Attach another client."""
        sock = sockets.connect(os.fsencode(self.run_dir), sockets.ATTACH)
        sock.settimeout(DEADLINE_S)
        self._clients.append(sock)
        return sock

    def ask(self, request: control.Request) -> control.Event:
        """Send a request and wait for its reply."""
        with sockets.connect(os.fsencode(self.run_dir), sockets.CONTROL) as sock:
            sock.settimeout(DEADLINE_S)
            sock.sendall(control.encode(request))
            line = b""
            while not line.endswith(b"\n"):
                line += sock.recv(4096)
        return control.decode_event(line)

    def end_input(self) -> None:
        """Attach a client that ends the program's input."""
        with self.connect() as client:
            client.shutdown(socket.SHUT_WR)
            assert not client.recv(1) or receive_all(client)

    def fd_count(self) -> int:
        """Return how many descriptors the shim has open."""
        return len(os.listdir(f"/proc/{self.shim_pid}/fd"))

    def is_idle_for(self, seconds: float) -> bool:
        """Return whether the shim does not run for a while: what is waited for is nothing."""
        before = self.run_time_ns()
        time.sleep(seconds)
        return before == self.run_time_ns()

    def run_time_ns(self) -> int:
        """Return how long the shim has run. Source: the kernel's scheduler/sched-stats.rst."""
        return int(Path(f"/proc/{self.shim_pid}/schedstat").read_text().split()[0])

    def resident_bytes(self) -> int:
        """Return how much memory the shim occupies. Source: proc_pid_statm(5)."""
        fields = Path(f"/proc/{self.shim_pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def logged(self, stream: str | None = None) -> bytes:
        """Return the content of the log, of one stream or both."""
        contents = []
        for record in self.log.read_bytes().split(b"\n")[:-1]:
            _, name, tag, text = record.split(b" ", 3)
            if stream in (None, name.decode()):
                contents += [text, b"\n" if tag == b"F" else b""]
        return b"".join(contents)

    def leave(self) -> int:
        """Let go, wait until the shim is gone, and return its exit code."""
        self.client.close()
        self.report.close()
        deadline = time.monotonic() + DEADLINE_S
        pidfd = os.pidfd_open(self.shim_pid)
        try:
            gone, _, _ = select.select([pidfd], [], [], deadline - time.monotonic())
        finally:
            os.close(pidfd)
        if not gone:
            os.kill(self.shim_pid, signal.SIGKILL)
        _, status = os.waitpid(self.shim_pid, 0)
        self.shim_pid = 0
        assert gone, "the shim did not end"
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """End shim and program, if they are still there, and close what is open."""
        for client in self._clients:
            client.close()
        self.client.close()
        self.report.close()
        if self.shim_pid:
            children = Path(f"/proc/{self.shim_pid}/task/{self.shim_pid}/children").read_text().split()
            for pid in (*map(int, children), self.shim_pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(self.shim_pid, 0)
            self.shim_pid = 0


def until(what: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < deadline, "it does not become so"
        time.sleep(0.005)


def receive_all(client: socket.socket) -> dict[int, bytes]:
    """Receive packets until the other side closes."""
    parts: dict[int, list[bytes]] = {attach.STDOUT: [], attach.STDERR: []}
    while True:
        try:
            packet = client.recv(attach.PACKET_MAX + 1)
        except ConnectionResetError:
            break
        if not packet:
            break
        stream, content = attach.parse(packet)
        parts[stream].append(content)
    return {stream: b"".join(contents) for stream, contents in parts.items()}


class Hold:
    """Has commands held by shims, and sees that these end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.directory = directory
        self._monkeypatch = monkeypatch
        self._held: list[Held] = []

    def __call__(self, command: str, *, first: bool = True, **options: object) -> Held:
        """Hold a shell command."""
        return self.with_runtime(PlainProcess(["/bin/sh", "-c", command]), first=first, **options)

    def with_runtime(self, runtime: Runtime, *, first: bool = True, **options: object) -> Held:
        """Hold what a runtime makes."""
        self._monkeypatch.setattr(runtimes, "choose", lambda _: runtime)
        directory = self.directory / str(len(self._held))
        directory.mkdir()
        self._held.append(Held(directory, first=first, **options))
        return self._held[-1]

    def end(self) -> None:
        """Kill the shims that are left."""
        for held in self._held:
            held.kill()


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hold]:
    """Give a way to have commands held."""
    holding = Hold(monkeypatch, tmp_path)
    yield holding
    holding.end()
