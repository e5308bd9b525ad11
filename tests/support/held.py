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
from typing import TYPE_CHECKING

from holdfast.protocol import attach, control
from holdfast.shim import launch as launching
from holdfast.shim import sockets
from holdfast.shim.order import LogOrder, ShimOrder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

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
                os.execvp(self._command[0], self._command)  # noqa: S606  # what is wanted
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
        self.record_dir.mkdir(mode=0o700)
        self.log = self.record_dir / "ctr.log"
        self.client, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.report, their_report = socket.socketpair()
        self._lines = b""
        order = ShimOrder(
            id="held",
            runtime_root=os.fsencode(directory),
            run_dir=os.fsencode(self.run_dir),
            record_dir=os.fsencode(self.record_dir),
            logs=(LogOrder("k8s-file", os.fsencode(self.log)),),
            first_client_fd=theirs.fileno() if first else None,
            report_fd=their_report.fileno(),
            **options,  # type: ignore[arg-type]
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

    def logged(self, stream: str | None = None) -> bytes:
        """Return the content of the log, of one stream or both."""
        content = b""
        for record in self.log.read_bytes().split(b"\n")[:-1]:
            _, name, tag, text = record.split(b" ", 3)
            if stream in (None, name.decode()):
                content += text + (b"\n" if tag == b"F" else b"")
        return content

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
        assert gone, "the shim did not end"
        return os.waitstatus_to_exitcode(status)


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


def hold(
    monkeypatch: pytest.MonkeyPatch, directory: Path, command: str, *, first: bool = True, **options: object
) -> Held:
    """Hold a shell command."""
    stand_in = PlainProcess(["/bin/sh", "-c", command])
    monkeypatch.setattr(launching.runtimes, "choose", lambda _: stand_in)
    return Held(directory, first=first, **options)
