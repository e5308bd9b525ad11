"""Questions to a shim, and bad ones too."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from support.held import DEADLINE_S, PlainProcess, until

from holdfast.protocol import attach, control
from holdfast.shim import sockets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.held import Held, Hold


class Slow(PlainProcess):
    """A runtime that takes until something is written into a fifo."""

    def __init__(self, fifo: Path, error: OSError | None = None) -> None:
        super().__init__(["true"])
        os.mkfifo(fifo)
        self._fifo = fifo
        self._error = error

    def bring_up(self, stdio: Sequence[int], console_fd: int | None) -> int:
        self._fifo.read_bytes()
        if self._error is not None:
            raise self._error
        return super().bring_up(stdio, console_fd)


def connect(held: Held) -> socket.socket:
    """Connect to the control socket."""
    sock = sockets.connect(os.fsencode(held.run_dir), sockets.CONTROL)
    sock.settimeout(DEADLINE_S)
    return sock


def end(held: Held) -> None:
    """End a program that reads its input."""
    held.client.shutdown(socket.SHUT_WR)
    held.output()
    held.exited()
    held.leave()


def test_wait_is_answered_at_the_end_with_the_record(hold: Hold) -> None:
    held = hold("read line; exit 9", stdin=True)
    pid = held.started()
    assert control.Started(pid=pid) == held.ask(control.Status())
    held.client.send(b"go\n")
    answer = held.ask(control.Wait())
    assert isinstance(answer, control.Exited)
    assert 9 == answer.exit_code
    held.leave()


def test_status_before_there_is_a_process_says_so(hold: Hold, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    held = hold.with_runtime(Slow(fifo))
    until((held.run_dir / "control").exists)
    answer = held.ask(control.Status())
    assert control.Refused("status: the container is still being made") == answer
    fifo.write_bytes(b"go")
    assert 0 == held.exited().exit_code
    held.leave()


def test_one_who_waits_and_asks_no_more_is_answered(hold: Hold) -> None:
    """As with `echo '{"do":"wait"}' | socat - UNIX-CONNECT:control`."""
    held = hold("cat", stdin=True)
    held.started()
    with connect(held) as asking:
        asking.sendall(control.encode(control.Wait()))
        asking.shutdown(socket.SHUT_WR)
        assert isinstance(held.ask(control.Status()), control.Started)
        held.client.shutdown(socket.SHUT_WR)
        assert isinstance(control.decode_event(asking.recv(4096)), control.Exited)
    held.output()
    held.leave()


def test_one_who_waits_for_what_never_comes_to_life_is_told(hold: Hold, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    held = hold.with_runtime(Slow(fifo, error=OSError("no such luck")))
    until((held.run_dir / "control").exists)
    with connect(held) as asking:
        asking.sendall(control.encode(control.Wait()))
        assert isinstance(held.ask(control.Status()), control.Refused)
        began = time.monotonic()
        fifo.write_bytes(b"go")
        assert control.Failed("no such luck", 125) == control.decode_event(asking.recv(4096))
    held.failed()
    held.leave()
    assert time.monotonic() - began < 2


def test_those_who_stop_waiting_leave_nothing_behind(hold: Hold) -> None:
    held = hold("cat", stdin=True)
    held.started()
    before = held.fd_count()
    waiting = [connect(held) for _ in range(20)]
    for sock in waiting:
        sock.sendall(control.encode(control.Wait()))
    until(lambda: held.fd_count() > before + 20)
    for sock in waiting:
        sock.close()
    until(lambda: before == held.fd_count())
    end(held)


def test_terminal_has_the_size_that_was_asked_for(hold: Hold) -> None:
    held = hold("read line; stty size; stty -a | grep -c isig", terminal=True, stdin=True)
    held.started()
    assert isinstance(held.ask(control.Resize(33, 77)), control.Done)
    held.client.send(b"go\n")
    assert b"go\r\n33 77\r\n1\r\n" == held.output()[attach.STDOUT]
    assert 0 == held.exited().exit_code
    held.leave()


def test_size_asked_for_before_there_is_a_terminal_is_given_to_it(hold: Hold, tmp_path: Path) -> None:
    class SlowTerminal(Slow):
        def __init__(self) -> None:
            super().__init__(tmp_path / "fifo")
            self._command = ["stty", "size"]

    held = hold.with_runtime(SlowTerminal(), terminal=True)
    until((held.run_dir / "control").exists)
    assert isinstance(held.ask(control.Resize(12, 34)), control.Done)
    (tmp_path / "fifo").write_bytes(b"go")
    assert b"12 34\r\n" == held.output()[attach.STDOUT]
    held.leave()


def test_resize_without_a_terminal_is_refused(hold: Hold) -> None:
    held = hold("cat", stdin=True)
    held.started()
    assert control.Refused("resize: the container has no terminal") == held.ask(control.Resize(1, 1))
    end(held)


def test_garbage_is_told_and_the_next_request_is_answered(hold: Hold) -> None:
    held = hold("cat", stdin=True)
    held.started()
    with connect(held) as asking:
        asking.sendall(b'{"do":"fly"}\n\xff\xfe\n' + control.encode(control.Status()))
        lines = b""
        while lines.count(b"\n") < 3:
            lines += asking.recv(4096)
    events = [control.decode_event(line) for line in lines.split(b"\n")[:-1]]
    assert [control.Refused, control.Refused, control.Started] == [type(event) for event in events]
    end(held)


def test_endless_line_is_not_kept(hold: Hold) -> None:
    held = hold("cat", stdin=True)
    held.started()
    with connect(held) as asking:
        try:
            while True:
                asking.sendall(b"x" * 65536)
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert isinstance(held.ask(control.Status()), control.Started)
    end(held)


def test_flood_of_requests_leaves_others_their_turn(hold: Hold) -> None:
    held = hold("cat", stdin=True)
    held.started()
    with connect(held) as flooding:
        flooding.setblocking(False)
        try:
            while True:  # never reading an answer
                flooding.send(control.encode(control.Resize(1, 1)) * 100)
        except BlockingIOError:
            pass
        held.client.send(b"hello\n")
        assert b"\2hello\n" == held.client.recv(attach.PACKET_MAX)
        assert isinstance(held.ask(control.Status()), control.Started)
    end(held)


def test_log_is_reopened_on_request(hold: Hold) -> None:
    held = hold("cat", stdin=True)
    held.started()
    held.client.send(b"before\n")
    until(lambda: b"before\n" == held.logged())
    held.log.rename(held.log.with_suffix(".old"))
    assert isinstance(held.ask(control.ReopenLogs()), control.Done)
    held.client.send(b"after\n")
    until(lambda: b"after\n" == held.logged())
    held.log.rename(held.log.with_suffix(".old"))
    held.log.symlink_to("/etc/passwd")
    answer = held.ask(control.ReopenLogs())
    assert isinstance(answer, control.Refused)
    assert "Too many levels of symbolic links" in answer.error
    held.client.send(b"still kept\n")
    until(lambda: b"still kept" in held.log.with_suffix(".old").read_bytes())
    end(held)
