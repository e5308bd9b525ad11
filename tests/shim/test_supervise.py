"""A shim holds real processes to their end, and the end has an order."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.disks import small_disk
from support.held import PlainProcess, until

from holdfast.protocol import attach, control
from holdfast.shim import supervise
from holdfast.shim.log import logs
from holdfast.shim.order import LogOrder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.disks import SmallDisk
    from support.held import Held, Hold

__all__ = ["small_disk"]


def numbers(count: int) -> bytes:
    """Return what seq prints."""
    return b"".join(b"%d\n" % i for i in range(1, count + 1))


def recorded(held: Held) -> control.Exited:
    """Read the exit record."""
    return msgspec.json.decode((held.record_dir / "exit.json").read_bytes(), type=control.Exited)


def children(held: Held) -> list[int]:
    """Return the shim's children, zombies too."""
    text = Path(f"/proc/{held.shim_pid}/task/{held.shim_pid}/children").read_text()
    return [int(pid) for pid in text.split()]


@pytest.fixture
def load() -> Iterator[None]:
    """Keep every processor busy, twice."""
    busy = []
    for _ in range(2 * (os.cpu_count() or 1)):
        pid = os.fork()
        if pid == 0:
            while True:
                pass
        busy.append(pid)
    yield
    for pid in busy:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_output_is_whole_and_in_order_at_the_client_and_in_the_log(hold: Hold) -> None:
    held = hold("seq 1 200000; echo to stderr >&2; exit 7")
    output = held.output()
    exited = held.exited()
    assert 7 == exited.exit_code
    assert numbers(200000) == output[attach.STDOUT]
    assert b"to stderr\n" == output[attach.STDERR]
    assert numbers(200000) == held.logged("stdout")
    assert 0 == held.leave()


@pytest.mark.slow
@pytest.mark.usefixtures("load")
def test_last_line_is_never_lost_on_a_busy_machine(hold: Hold) -> None:
    for run in range(50):
        held = hold(f"printf 'last line {run}'")
        assert f"last line {run}".encode() == held.output()[attach.STDOUT]
        held.exited()
        assert f"last line {run}".encode() == held.logged()
        held.leave()


@pytest.mark.parametrize(
    ("command", "code", "number"),
    [("exit 0", 0, None), ("exit 255", 255, None), ("kill -9 $$", 137, 9), ("kill -SEGV $$", 139, 11)],
)
def test_kernels_status_is_told_and_recorded(
    hold: Hold, command: str, code: int, number: int | None
) -> None:
    held = hold(command)
    pid = held.started()
    exited = held.exited()
    assert (pid, code, number) == (exited.pid, exited.exit_code, exited.signal)
    assert exited.started_at < exited.finished_at
    assert exited == recorded(held)
    held.leave()
    assert exited == recorded(held)


def test_log_is_on_disk_before_the_record_has_its_name(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what was rotated away, and the directory with the names."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    fsync, rename = os.fsync, os.rename

    def noted_fsync(fd: int) -> None:
        os.write(told, b"sync %s\n" % os.fsencode(os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))))
        fsync(fd)

    def noted_rename(source: str | bytes, target: str | bytes, **how: int) -> None:
        os.write(told, b"rename %s\n" % os.fsencode(target))
        rename(source, target, **how)

    told = os.open("/dev/null", os.O_WRONLY)  # a number that the shim keeps: that of its own stdin
    os.close(told)
    told = os.dup2(writing, 900)
    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    monkeypatch.setattr("holdfast.shim.order.ShimOrder.inherited_fds", lambda order: [*given(order), told])
    log = LogOrder("k8s-file", os.fsencode(hold.directory / "0/record/ctr.log"), limit_bytes=200_000)
    held = hold("seq 1 5000", logs=(log,))
    held.exited()
    held.leave()
    os.close(told)
    os.close(writing)
    expected = ["rename ctr.log.1", "sync ctr.log.1", "sync ctr.log", "sync record"]
    expected += ["sync exit.json.new", "rename exit.json", "sync record"]
    assert expected == os.read(reading, 4096).decode().splitlines()
    os.close(reading)


def given(order: object) -> list[int]:
    """Return what an order's inherited_fds returns, which is replaced in the test above."""
    fds = (getattr(order, name) for name in ("first_client_fd", "report_fd", "explain_fd"))
    return [fd for fd in fds if fd is not None]


def test_record_appears_whole_and_with_the_whole_log(hold: Hold) -> None:
    """Whoever sees the file may read the log at once: this one looks all the time."""
    held = hold("seq 1 50000", first=False)
    exit_file = held.record_dir / "exit.json"
    deadline = time.monotonic() + 30
    while not exit_file.exists():
        assert time.monotonic() < deadline
    content, log = exit_file.read_bytes(), held.logged()
    assert 0 == msgspec.json.decode(content, type=control.Exited).exit_code
    assert numbers(50000) == log
    held.leave()


def test_record_waits_for_no_client(hold: Hold) -> None:
    """Not even for the one that the container waits for: what is left in the pipe goes into the log."""
    held = hold("seq 1 400000")
    until((held.record_dir / "exit.json").exists)
    assert numbers(400000) == held.logged()
    assert numbers(400000) == held.output()[attach.STDOUT]
    held.leave()


def test_disk_that_hangs_does_not_hold_back_the_news(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    """S74: and a signal to the shim is handled meanwhile."""
    fsync = os.fsync

    def hang(fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("ctr.log"):
            time.sleep(60)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", hang)
    monkeypatch.setattr(logs, "SYNC_S", 0.5)
    held = hold("exit 3")
    held.started()
    began = time.monotonic()
    until(lambda: not children(held))
    os.kill(held.shim_pid, signal.SIGTERM)
    assert 3 == held.exited().exit_code
    assert 3 == recorded(held).exit_code
    assert 0 == held.leave()
    assert time.monotonic() - began < 10


def test_signal_to_the_shim_reaches_the_program_and_the_shim_stays(hold: Hold) -> None:
    held = hold("trap 'echo caught; exit 5' TERM; echo ready; while :; do read line; done", stdin=True)
    held.started()
    assert b"\2ready\n" == held.client.recv(100)
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP):
        os.kill(held.shim_pid, number)
    os.kill(held.shim_pid, signal.SIGTERM)
    assert b"caught\n" == held.output()[attach.STDOUT]
    assert 5 == held.exited().exit_code
    assert 0 == held.leave()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signals_that_are_meant_for_the_program_end_it_by_the_same_signal(hold: Hold, number: int) -> None:
    held = hold("exec sleep 60")
    held.started()
    os.kill(held.shim_pid, number)
    assert number == held.exited().signal
    held.leave()


def test_program_is_killed_when_its_time_is_over(hold: Hold) -> None:
    held = hold("trap '' TERM; sleep 60", timeout_s=0.3)
    assert signal.SIGKILL == held.exited().signal
    held.kill()  # its sleep holds on to the output for a while


class Counting(PlainProcess):
    """A runtime that says how many were killed for lack of memory: one number each time it is asked."""

    def __init__(self, *counts: int) -> None:
        super().__init__(["true"])
        self._counts = list(counts)

    def oom_kills(self) -> int:
        if not self._counts:
            raise OSError("nobody knows")
        return self._counts.pop(0)


@pytest.mark.parametrize(
    ("counts", "process", "expected"),
    [
        ((2,), b"", True),
        ((0,), b"", False),
        ((), b"", False),
        ((2, 3), b"{}", True),
        ((2, 2), b"{}", False),  # of an exec: both were killed before it began
    ],
)
def test_lack_of_memory_is_told(hold: Hold, counts: tuple[int, ...], process: bytes, expected: bool) -> None:
    held = hold.with_runtime(Counting(*counts), process=process)
    assert expected == held.exited().oom
    held.leave()


def test_what_orphans_write_after_the_end_is_still_logged(hold: Hold) -> None:
    held = hold("(sleep 0.2; printf 'late, without end') & echo now", first=False)
    held.exited()
    held.leave()
    assert b"now\nlate, without end" == held.logged()


def test_orphan_that_writes_for_ever_holds_nobody_up(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pipe is never empty, so a drain that waited for that would never end."""
    monkeypatch.setattr(supervise, "ORPHANS_S", 0.3)
    began = time.monotonic()
    null = LogOrder("k8s-file", b"/dev/null")
    held = hold("yes & sleep 0.2; exit 3", first=False, logs=(null,))
    assert 3 == held.exited().exit_code
    assert 0 == held.leave()
    assert time.monotonic() - began < 10


def test_orphans_are_reaped_while_the_program_runs(hold: Hold) -> None:
    held = hold("for i in 1 2 3 4 5; do (sleep 0.05 &) ; done; read line", stdin=True)
    program = held.started()
    until(lambda: [program] == children(held))
    held.client.shutdown(2)
    held.exited()
    held.leave()


def test_idle_shim_does_not_wake_up(hold: Hold) -> None:
    """Not with clients that have ended their input, nor with one that waits."""
    held = hold("read line; cat", stdin=True)
    held.started()
    clients = [held.connect() for _ in range(4)]
    for client in clients[:2]:
        client.shutdown(1)
    held.ask(control.Status())
    until(lambda: held.is_idle_for(1))
    assert held.is_idle_for(2)
    held.client.shutdown(2)
    for client in clients:
        client.close()
    held.exited()
    held.leave()


@pytest.mark.slow
def test_300_mb_pass_through_without_taking_memory(hold: Hold) -> None:
    """Through the log, rotated, and to the first client; every byte is counted and hashed there."""
    line = b"x" * 99 + b"\n"
    count = 3_000_000
    log = LogOrder("k8s-file", os.fsencode(hold.directory / "0/record/ctr.log"), limit_bytes=16 << 20)
    held = hold(f"read go; yes {'x' * 99} | head -n {count}", stdin=True, logs=(log,))
    held.started()
    idle = held.resident_bytes()
    held.client.send(b"go\n")
    digest, peak = hashlib.sha256(), idle
    packets = 0
    while packet := held.client.recv(attach.PACKET_MAX):
        digest.update(packet[1:])
        packets += 1
        if packets % 1000 == 0:
            peak = max(peak, held.resident_bytes())
    held.exited()
    assert peak - idle < 4 << 20
    expected = hashlib.sha256()
    for _ in range(count // 10000):
        expected.update(line * 10000)
    assert expected.hexdigest() == digest.hexdigest()
    files = [held.log, held.log.with_suffix(".log.1")]
    assert all(path.stat().st_size <= 16 << 20 for path in files)
    held.leave()


def test_full_disk_costs_only_the_log(hold: Hold, small_disk: SmallDisk) -> None:
    """The client gets everything, the status is recorded, what could not be logged is told."""
    record = os.fsencode(small_disk.path)
    log = LogOrder("k8s-file", record + b"/ctr.log")
    held = hold("read go; seq 1 20000; exit 4", stdin=True, record_dir=record, logs=(log,))
    held.started()
    small_disk.fill(but_bytes=8192)
    held.client.send(b"go\n")
    assert numbers(20000) == held.output()[attach.STDOUT]
    assert 4 == held.exited().exit_code
    assert 0 == held.leave()
    exited = msgspec.json.decode((small_disk.path / "exit.json").read_bytes(), type=control.Exited)
    assert 4 == exited.exit_code
    assert (small_disk.path / "ctr.log").stat().st_size > 4096


def test_disk_with_room_again_has_the_whole_log(hold: Hold, small_disk: SmallDisk) -> None:
    record = os.fsencode(small_disk.path)
    log = LogOrder("k8s-file", record + b"/ctr.log")
    held = hold("read go; seq 1 2000; read go; echo end", stdin=True, record_dir=record, logs=(log,))
    held.started()
    small_disk.fill(but_bytes=8192)
    held.client.send(b"go\n")
    got = b""
    while not got.endswith(b"\n2000\n"):
        got += held.client.recv(attach.PACKET_MAX)[1:]
    small_disk.free()
    held.client.send(b"go\n")
    assert b"end\n" == held.output()[attach.STDOUT]
    held.exited()
    held.leave()
    held.log = small_disk.path / "ctr.log"
    assert numbers(2000) + b"end\n" == held.logged()


def test_sockets_are_gone_at_the_end(hold: Hold) -> None:
    held = hold("read line", stdin=True)
    held.started()
    assert {"attach", "control"} == {path.name for path in held.run_dir.iterdir()}
    held.client.send(b"go\n")
    held.exited()
    held.leave()
    assert not held.run_dir.exists()
