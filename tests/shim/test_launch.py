"""Becoming a shim: independent of whoever launched it, and clean if it does not come to anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.held import Held, Hold, PlainProcess, end_watchdog, receive_all, until

from holdfast.protocol import attach
from holdfast.protocol.errors import CommandNotFound, HoldfastError
from holdfast.shim import runtimes
from holdfast.shim.launch import launch
from holdfast.shim.order import LogOrder, ShimOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

DEADLINE_S = 30


class Hanging(PlainProcess):
    """A runtime in the middle of its work, which takes back what it has made when it is stopped."""

    def __init__(self, directory: Path) -> None:
        super().__init__(["true"])
        self.made, self.cleaned = directory / "made", directory / "cleaned"

    def bring_up(self, stdio: Sequence[int], console_fd: int | None) -> int:  # noqa: ARG002  # as all of them
        self.made.write_text(str(os.getpid()))
        try:
            time.sleep(DEADLINE_S)
        finally:
            self.made.unlink()
        return 0

    def clean_up(self) -> None:
        self.cleaned.touch()


class Deaf(PlainProcess):
    """A runtime that has done its work already, as far as signals are concerned."""

    def __init__(self, directory: Path) -> None:
        super().__init__(["sleep", "60"])
        self._directory = directory

    def bring_up(self, stdio: Sequence[int], console_fd: int | None) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (self._directory / "deaf").touch()
        until((self._directory / "go").exists)
        pid = super().bring_up(stdio, console_fd)
        until(
            lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
        )  # until then it ignores signals too
        return pid


class Failing(PlainProcess):
    """A runtime that can't make anything."""

    def __init__(self, error: Exception) -> None:
        super().__init__(["true"])
        self._error = error

    def bring_up(self, stdio: Sequence[int], console_fd: int | None) -> int:  # noqa: ARG002
        raise self._error


def assert_nothing_left(held: Held) -> None:
    """See that a shim whose program could not be run has left only what the launcher has to remove."""
    assert 125 == held.leave()
    assert not held.run_dir.exists()
    assert {"ctr.log"} >= {path.name for path in held.record_dir.iterdir()}


@pytest.mark.parametrize(
    ("error", "exit_code", "sentence"),
    [
        (HoldfastError("process.cwd: no"), 125, "process.cwd: no"),
        (OSError(13, "open x: Permission denied"), 125, "[Errno 13] open x: Permission denied"),
        (CommandNotFound("exec: no such program"), 127, "exec: no such program"),
        (KeyError("oh"), 125, "internal error: KeyError: 'oh'"),
    ],
)
def test_failure_of_the_runtime_is_told_and_leaves_nothing(
    hold: Hold, error: Exception, exit_code: int, sentence: str
) -> None:
    held = hold.with_runtime(Failing(error))
    failed = held.failed()
    assert (exit_code, sentence) == (failed.exit_code, failed.error)
    assert {attach.STDOUT: b"", attach.STDERR: b""} == held.output()
    assert_nothing_left(held)


def test_log_that_cannot_be_opened_is_told_before_anything_is_made(hold: Hold, tmp_path: Path) -> None:
    runtime = Hanging(tmp_path)
    (tmp_path / "link").symlink_to("/etc/passwd")
    held = hold.with_runtime(runtime, logs=(LogOrder("k8s-file", os.fsencode(tmp_path / "link")),))
    assert "Too many levels of symbolic links" in held.failed().error
    assert not runtime.made.exists()
    assert_nothing_left(held)


def test_unknown_log_driver_is_told(hold: Hold) -> None:
    held = hold("true", logs=(LogOrder("parchment", b"/x"),))
    assert 'log driver "parchment": is not one; allowed: k8s-file, none' == held.failed().error
    assert_nothing_left(held)


@pytest.mark.parametrize("early", [True, False])
def test_signal_while_the_container_is_made_stops_the_making(
    hold: Hold, tmp_path: Path, early: bool
) -> None:
    """Also one that comes before the shim has a loop: it waits, blocked."""
    runtime = Hanging(tmp_path)
    held = hold.with_runtime(runtime)
    if not early:
        until(runtime.made.exists)
        until((held.run_dir / "attach").exists)
    os.kill(held.shim_pid, signal.SIGTERM)
    assert "bring the container up: stopped by SIGTERM" == held.failed().error
    assert not runtime.made.exists()
    assert not runtime.cleaned.exists()  # it has cleaned up by itself
    assert_nothing_left(held)


def test_signal_that_is_too_late_for_the_runtime_reaches_the_program(hold: Hold, tmp_path: Path) -> None:
    held = hold.with_runtime(Deaf(tmp_path))
    until((tmp_path / "deaf").exists)
    os.kill(held.shim_pid, signal.SIGTERM)
    (tmp_path / "go").touch()
    assert signal.SIGTERM == held.exited().signal
    held.leave()


def test_runtime_that_is_killed_is_told_and_cleaned_up_after(hold: Hold, tmp_path: Path) -> None:
    runtime = Hanging(tmp_path)
    held = hold.with_runtime(runtime)
    until(lambda: runtime.made.exists() and runtime.made.read_text())
    os.kill(int(runtime.made.read_text()), signal.SIGKILL)
    assert "bring the container up: the runtime died" == held.failed().error
    assert runtime.cleaned.exists()
    assert_nothing_left(held)


def test_runtime_ends_with_a_shim_that_is_killed(hold: Hold, tmp_path: Path) -> None:
    runtime = Hanging(tmp_path)
    held = hold.with_runtime(runtime)
    until(lambda: runtime.made.exists() and runtime.made.read_text())
    os.kill(held.shim_pid, signal.SIGKILL)
    until(lambda: not runtime.made.exists())


def test_shim_has_nothing_of_its_launcher_but_what_it_was_given(hold: Hold) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    high = os.dup2(writing, 700)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
    umask = os.umask(0o077)
    try:
        held = hold("cat", stdin=True)
    finally:
        os.umask(umask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGWINCH])
    held.started()
    os.close(writing)
    os.close(high)
    assert b"" == os.read(reading, 1)  # nobody else has the other end
    os.close(reading)
    proc = Path(f"/proc/{held.shim_pid}")
    assert ["/dev/null"] * 3 == [os.readlink(proc / "fd" / str(fd)) for fd in range(3)]
    assert "/" == os.readlink(proc / "cwd")
    assert held.shim_pid == os.getsid(held.shim_pid)
    assert b"holdfast-shim held" == (proc / "cmdline").read_bytes().rstrip(b"\0")
    assert "holdfast-shim" == (proc / "comm").read_text().strip()
    status = dict(
        line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line
    )
    assert "0022" == status["Umask"]
    assert 0 == int(status["SigBlk"], 16)
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGTSTP):
        assert int(status["SigIgn"], 16) >> (number - 1) & 1
    held.client.shutdown(2)
    held.exited()
    held.leave()


def test_program_has_the_launchers_oom_score_and_the_shim_the_lowest_that_it_may_have(hold: Hold) -> None:
    """S64: of all that is there when memory is short, the shim is to be killed last."""
    own = Path("/proc/self/oom_score_adj").read_text()
    may_lower = os.fork()
    if may_lower == 0:
        try:
            Path("/proc/self/oom_score_adj").write_text("-1000")
        except PermissionError:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(may_lower, 0)
    held = hold("cat /proc/self/oom_score_adj; cat", stdin=True)
    held.started()
    assert own.encode() == held.client.recv(100)[1:]
    shims = Path(f"/proc/{held.shim_pid}/oom_score_adj").read_text()
    assert (own if status else "-1000\n") == shims
    held.client.shutdown(2)
    held.exited()
    held.leave()


def test_mistake_of_ours_is_told_too(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(_order: ShimOrder) -> None:
        raise KeyError("oh")

    monkeypatch.setattr(runtimes, "choose", choose)
    held = Held(hold.directory, first=True)
    assert "internal error: KeyError: 'oh'" == held.failed().error
    assert_nothing_left(held)


def test_launchers_buffered_output_is_written_once(hold: Hold) -> None:
    """S90: the shim has a copy of the buffer, and must not flush it."""
    reading, writing = os.pipe()
    end_watchdog()
    launcher = os.fork()
    if launcher == 0:
        try:
            file = os.fdopen(writing, "w")
            file.write("once\n")
            held = hold("true")
            held.exited()
            held.leave()
            file.flush()
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(launcher, 0)
    with os.fdopen(reading, "rb") as file_read:
        assert b"once\n" == file_read.read()


def test_launcher_with_threads_is_refused() -> None:
    """S75: a lock that another thread holds would be held for ever in the shim."""
    going = threading.Event()
    end_watchdog()
    thread = threading.Thread(target=going.wait)
    thread.start()
    order = ShimOrder(id="x", runtime_root=b"/", run_dir=b"/nowhere", record_dir=None)
    try:
        with pytest.raises(HoldfastError, match="the launcher has 2 threads; allowed: 1"):
            launch(order)
    finally:
        going.set()
        thread.join()


def test_shim_survives_its_launchers_process_group(hold: Hold) -> None:
    """The launcher is killed with all that belongs to it; the program runs on, and can be attached to."""
    reading, writing = os.pipe()
    end_watchdog()
    launcher = os.fork()
    if launcher == 0:
        os.setpgid(0, 0)
        held = hold("read line; echo still here", stdin=True, first=False)
        os.write(writing, b"%d" % held.started())
        signal.pause()
        os._exit(0)
    program = int(os.read(reading, 20))
    os.killpg(launcher, signal.SIGKILL)
    os.waitpid(launcher, 0)
    os.kill(program, 0)
    late = Held.__new__(Held)
    late.run_dir = hold.directory / "0" / "run"
    late._clients = []
    client = late.connect()
    client.send(b"go\n")
    assert b"still here\n" == receive_all(client)[attach.STDOUT]
    client.close()
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(
    ("module", "not_loaded"),
    [
        ("holdfast.shim.launch", {"trio", "structlog", "asyncio", "subprocess", "pathlib"}),
        ("holdfast.shim.main", {"structlog", "asyncio"}),
    ],
)
def test_modules_that_are_not_needed_yet_are_not_imported(module: str, not_loaded: set[str]) -> None:
    """The runtime is forked before trio is there; structlog comes when there is something to tell."""
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, check=True, text=True
    ).stdout.split()
    assert set() == not_loaded & set(loaded)
