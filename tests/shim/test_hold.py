"""A shim holds real processes: their output, their input, their end."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import msgspec
import pytest
from support.held import Held, end_watchdog, hold, receive_all

from holdfast.protocol import attach, control
from holdfast.shim.attach import QUEUE_BYTES_MAX


def numbers(count: int) -> bytes:
    """Return what seq prints."""
    return b"".join(b"%d\n" % i for i in range(1, count + 1))


def test_output_is_whole_and_in_order_at_the_client_and_in_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = hold(monkeypatch, tmp_path, "seq 1 200000; echo to stderr >&2; exit 7")
    output = held.output()
    exited = held.exited()
    assert 7 == exited.exit_code
    assert numbers(200000) == output[attach.STDOUT]
    assert b"to stderr\n" == output[attach.STDERR]
    assert numbers(200000) == held.logged("stdout")
    assert 0 == held.leave()


@pytest.mark.parametrize("run", range(50))
def test_last_line_is_never_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: int) -> None:
    held = hold(monkeypatch, tmp_path, f"printf 'last line {run}'")
    assert f"last line {run}".encode() == held.output()[attach.STDOUT]
    held.exited()
    assert f"last line {run}".encode() == held.logged()
    held.leave()


def test_exit_record_appears_after_the_log_is_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held = hold(monkeypatch, tmp_path, "seq 1 50000; kill -9 $$", first=False)
    exited = held.exited()
    assert numbers(50000) == held.logged()
    assert exited == msgspec.json.decode((held.record_dir / "exit.json").read_bytes(), type=control.Exited)
    assert (137, signal.SIGKILL) == (exited.exit_code, exited.signal)
    held.leave()


def test_input_reaches_the_program_and_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held = hold(monkeypatch, tmp_path, "cat; echo end", stdin=True)
    held.started()
    text = os.urandom(1 << 20)
    for start in range(0, len(text), attach.INPUT_MAX):
        held.client.send(text[start : start + attach.INPUT_MAX])
        if start == 0:
            held.client.recv(1, socket.MSG_PEEK)
    held.client.shutdown(socket.SHUT_WR)
    assert text + b"end\n" == held.output()[attach.STDOUT]
    assert 0 == held.exited().exit_code
    held.leave()


def test_end_of_one_clients_input_leaves_the_others_theirs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = hold(monkeypatch, tmp_path, "read line; echo got $line; cat", stdin=True)
    held.started()
    other = held.connect()
    held.client.shutdown(socket.SHUT_WR)
    other.send(b"hello\n")
    assert b"\2got hello\n" == other.recv(attach.PACKET_MAX)
    other.shutdown(socket.SHUT_WR)  # the last one that could type
    assert 0 == held.exited().exit_code
    other.close()
    held.leave()


def test_slow_first_client_is_waited_for_and_gets_everything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As a reader of a pipe: `holdfast run … | less`. The shim's memory does not grow meanwhile."""
    count = 3_000_000
    held = hold(monkeypatch, tmp_path, f"seq 1 {count}")
    held.started()
    before = resident_bytes(held.shim_pid)
    settled = wait_until_still(held.log)
    assert settled < len(numbers(count))  # it waits
    assert resident_bytes(held.shim_pid) - before < 12 << 20
    assert numbers(count) == held.output()[attach.STDOUT]
    held.exited()
    held.leave()


def test_late_client_that_never_reads_is_cut_and_nobody_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = hold(monkeypatch, tmp_path, "read line; seq 1 6000000; echo end", stdin=True)
    held.started()
    late = held.connect()
    held.client.send(b"go\n")
    assert held.output()[attach.STDOUT].endswith(b"6000000\nend\n")
    held.exited()
    got = receive_all(late)[attach.STDOUT]
    assert len(got) < QUEUE_BYTES_MAX + (4 << 20)
    assert numbers(6000000).startswith(got)
    late.close()
    held.leave()


def test_of_64_clients_half_that_never_read_do_not_hinder_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = hold(monkeypatch, tmp_path, "read line; seq 1 100000; read line", stdin=True)
    held.started()
    clients = [held.connect() for _ in range(64)]
    held.ask(control.Status())  # all have been accepted when this is answered
    held.client.send(b"go\n")
    expected = numbers(100000)
    for client in clients[::2]:
        got = b""
        while len(got) < len(expected):
            got += client.recv(attach.PACKET_MAX)[1:]
        assert expected == got
    held.client.send(b"end\n")
    for client in clients:
        client.close()
    assert expected == held.output()[attach.STDOUT]
    held.exited()
    held.leave()


def test_program_that_closes_its_output_early_is_held_to_its_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = hold(monkeypatch, tmp_path, "echo before; exec >&- 2>&-; read line; exit 3", stdin=True)
    held.started()
    assert b"\2before\n" == held.client.recv(100)
    held.client.send(b"go\n")
    assert 3 == held.exited().exit_code
    held.leave()


def test_signal_to_the_shim_reaches_the_program_and_the_shim_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = hold(
        monkeypatch,
        tmp_path,
        "trap 'echo caught; exit 5' TERM; echo ready; while :; do read line; done",
        stdin=True,
    )
    held.started()
    assert b"\2ready\n" == held.client.recv(100)
    os.kill(held.shim_pid, signal.SIGHUP)
    os.kill(held.shim_pid, signal.SIGTERM)
    assert b"caught\n" == held.output()[attach.STDOUT]
    assert 5 == held.exited().exit_code
    assert 0 == held.leave()


def test_what_orphans_write_after_the_end_is_still_logged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = hold(monkeypatch, tmp_path, "(sleep 0.2; echo late) & echo now", first=False)
    held.exited()
    held.leave()
    assert b"now\nlate\n" == held.logged()


def test_terminal_has_the_size_that_was_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held = hold(
        monkeypatch, tmp_path, "read line; stty size; stty -a | grep -c isig", terminal=True, stdin=True
    )
    held.started()
    assert isinstance(held.ask(control.Resize(33, 77)), control.Done)
    held.client.send(b"go\n")
    assert b"go\r\n33 77\r\n1\r\n" == held.output()[attach.STDOUT]
    assert 0 == held.exited().exit_code
    held.leave()


def test_wait_is_answered_at_the_end_with_the_record(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = hold(monkeypatch, tmp_path, "read line; exit 9", stdin=True)
    pid = held.started()
    assert control.Started(pid=pid) == held.ask(control.Status())
    assert isinstance(held.ask(control.Resize(1, 1)), control.Refused)
    held.client.send(b"go\n")
    answer = held.ask(control.Wait())
    assert isinstance(answer, control.Exited)
    assert 9 == answer.exit_code
    held.leave()


def test_sockets_are_ours_alone_and_gone_at_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held = hold(monkeypatch, tmp_path, "read line", stdin=True)
    held.started()
    assert {0o600} == {path.stat().st_mode & 0o777 for path in held.run_dir.iterdir()}
    held.client.send(b"go\n")
    held.exited()
    held.leave()
    assert not held.run_dir.exists()


def test_shim_survives_its_launchers_process_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The launcher's shell is killed with all that belongs to it.

    The program runs on, and can be attached to.
    """
    reading, writing = os.pipe()
    end_watchdog()
    launcher = os.fork()
    if launcher == 0:
        os.setpgid(0, 0)
        held = hold(monkeypatch, tmp_path, "read line; echo still here", stdin=True, first=False)
        os.write(writing, b"%d" % held.started())
        signal.pause()
        os._exit(0)
    program = int(os.read(reading, 20))
    os.killpg(launcher, signal.SIGKILL)
    os.waitpid(launcher, 0)
    os.kill(program, 0)
    late = Held.__new__(Held)
    late.run_dir = tmp_path / "run"
    client = late.connect()
    client.send(b"go\n")
    assert b"still here\n" == receive_all(client)[attach.STDOUT]
    client.close()
    os.close(reading)
    os.close(writing)


def resident_bytes(pid: int) -> int:
    """Return how much memory a process has of its own."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_until_still(path: Path) -> int:
    """Wait until a file does not grow any more. Returns its size."""
    size, deadline = -1, time.monotonic() + 30
    while time.monotonic() < deadline:
        found = path.stat().st_size if path.exists() else 0
        if found == size and size > 0:
            return size
        size = found
        time.sleep(0.3)  # what is waited for is that nothing happens
    raise AssertionError("the log does not stop growing")
