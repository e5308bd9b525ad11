"""What a fork or an exec hands down that nobody asked for: S73, S82, S90 of the attack list."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.oci import usual_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.containers import Containers

pytestmark = pytest.mark.root

STORM = [
    number
    for number in signal.valid_signals()
    if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD)
]


class TestSignals:
    """S73: a signal to init must not show up in whoever made it, whose descriptors it was born with."""

    @pytest.fixture
    def woken(self) -> Iterator[socket.socket]:
        """Have Python write each signal that this process gets into a socket, as an event loop does."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        ours.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno())
        handler = signal.signal(signal.SIGUSR1, lambda *_: None)
        yield ours
        signal.signal(signal.SIGUSR1, handler)
        signal.set_wakeup_fd(before)
        ours.close()
        theirs.close()

    def test_storm_of_signals_at_a_parked_init_reaches_nobody(
        self, containers: Containers, woken: socket.socket
    ) -> None:
        box = containers.create(usual_config("echo", "here"))
        for _ in range(20):
            for number in STORM:
                os.kill(box.pid, number)
        assert "created" == box.state().status
        with pytest.raises(BlockingIOError):
            woken.recv(1)
        box.start()
        assert (0, "here\n") == box.finish()

    def test_control_signal_to_us_is_seen(self, woken: socket.socket) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert bytes([signal.SIGUSR1]) == woken.recv(1)


class TestDescriptors:
    """S82: descriptors of the caller's that were never meant for anybody."""

    @pytest.fixture
    def inheritable(self, tmp_path: Path) -> Iterator[set[str]]:
        """Hold things open that an exec would keep: a directory, a file, a socket, a terminal."""
        (tmp_path / "secret").write_text("secret")
        pair = socket.socketpair()
        ptm, pts = os.openpty()
        fds = [os.open(tmp_path, os.O_RDONLY), os.open(tmp_path / "secret", os.O_RDONLY)]
        fds += [os.dup(pair[0].fileno()), os.dup(pair[1].fileno()), ptm, pts]
        for fd in fds:
            os.set_inheritable(fd, True)
        yield {os.readlink(f"/proc/self/fd/{fd}") for fd in fds}
        for fd in fds:
            os.close(fd)
        for end in pair:
            end.close()

    def test_neither_init_nor_exec_nor_their_programs_have_them(
        self, containers: Containers, inheritable: set[str]
    ) -> None:
        box = containers.create(usual_config("sleep", "1000"))
        assert set() == inheritable & open_in(box.pid).keys()
        box.start()
        assert [0, 1, 2] == sorted(fd for fds in open_in(box.pid).values() for fd in fds)
        with box.executing("sleep", "1000") as (pid, _):
            assert [0, 1, 2] == sorted(fd for fds in open_in(pid).values() for fd in fds)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def test_control_an_ordinary_child_has_them(self, inheritable: set[str]) -> None:
        command = ["/bin/ls", "-l", "/proc/self/fd"]
        listed = subprocess.run(command, close_fds=False, capture_output=True, text=True, check=True).stdout
        assert inheritable <= {line.rpartition(" -> ")[2] for line in listed.splitlines()}


def open_in(pid: int) -> dict[str, list[int]]:
    """Return what a process has open, with the numbers."""
    found: dict[str, list[int]] = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        found.setdefault(os.readlink(f"/proc/{pid}/fd/{fd}"), []).append(int(fd))
    return found


LAUNCHER = """\
import atexit, os, sys
def mark(word):
    fd = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
    os.write(fd, word)
    os.close(fd)
atexit.register(mark, b"[at exit]")
print("[buffered]", end="")
if {control}:
    os._exit = sys.exit
from holdfast.shim.cli.holdfast.main import main
main(["--root", sys.argv[1], "run", "--rm", "--", "true"])
"""


class TestEnds:
    """S90: each child that was forked ends at once, without its parent's finalisers and buffers."""

    def launch(self, tmp_path: Path, *, control: bool) -> tuple[bytes, bytes]:
        """Run a container from a program that has something to do at its end. Returns output and marks.

        What a shim writes to 1 is seen by nobody; so there is a file as well.
        """
        marks = tmp_path / "marks"
        marks.touch()
        code = LAUNCHER.format(control=control)
        command = [sys.executable, "-I", "-c", code, f"{tmp_path}/root", str(marks)]
        out = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=60).stdout
        return out, marks.read_bytes()

    def test_what_is_done_at_the_end_is_done_once(self, tmp_path: Path) -> None:
        assert (b"[buffered]", b"[at exit]") == self.launch(tmp_path, control=False)

    def test_control_children_that_end_as_python_ends_do_it_too(self, tmp_path: Path) -> None:
        _, marks = self.launch(tmp_path, control=True)
        assert marks.count(b"[at exit]") > 1
