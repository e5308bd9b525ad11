"""Attach clients of all kinds: what they see, what they type, and that none of them hinders another."""

from __future__ import annotations

import os
import resource
import socket
from typing import TYPE_CHECKING

import pytest
from support.held import receive_all, until

from holdfast.protocol import attach, control
from holdfast.shim import attach as attaching
from holdfast.shim.attach import QUEUE_BYTES_MAX

if TYPE_CHECKING:
    from support.held import Held, Hold

NOBODY = 65534


def numbers(count: int) -> bytes:
    """Return what seq prints."""
    return b"".join(b"%d\n" % i for i in range(1, count + 1))


def test_input_reaches_the_program_and_ends(hold: Hold) -> None:
    held = hold("cat; echo end", stdin=True)
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


def test_end_of_one_clients_input_leaves_the_others_theirs(hold: Hold) -> None:
    held = hold("read line; echo got $line; cat", stdin=True)
    held.started()
    other = held.connect()
    held.client.shutdown(socket.SHUT_WR)
    other.send(b"hello\n")
    assert b"\2got hello\n" == other.recv(attach.PACKET_MAX)
    other.shutdown(socket.SHUT_WR)  # the last one that could type
    assert 0 == held.exited().exit_code
    other.close()
    held.leave()


@pytest.mark.parametrize("way", ["shutdown", "empty packet"])
def test_client_ends_the_input_by_saying_so(hold: Hold, way: str) -> None:
    held = hold("cat; echo end", stdin=True, first=False)
    held.started()
    with held.connect() as client:
        if way == "shutdown":
            client.shutdown(socket.SHUT_WR)
        else:
            client.send(b"")
        assert b"end\n" == receive_all(client)[attach.STDOUT]
    held.leave()


def test_end_that_was_asked_for_comes_when_the_last_who_could_type_has_left(hold: Hold) -> None:
    held = hold("cat; echo end", stdin=True)
    held.started()
    with held.connect() as other:
        held.client.shutdown(socket.SHUT_WR)
        other.send(b"still typing\n")
        assert b"\2still typing\n" == held.client.recv(attach.PACKET_MAX)
    assert b"end\n" == held.output()[attach.STDOUT]
    held.leave()


def test_client_that_just_leaves_ends_nothing(hold: Hold) -> None:
    """One detaches and comes back later: the program must still be waiting."""
    held = hold("read line; echo got $line", stdin=True, first=False)
    held.started()
    before = held.fd_count()
    with held.connect():
        until(lambda: before + 1 == held.fd_count())
    until(lambda: before == held.fd_count())
    with held.connect() as client:
        client.send(b"hello\n")
        assert b"got hello\n" == receive_all(client)[attach.STDOUT]
    held.leave()


def test_input_ends_with_the_first_client(hold: Hold) -> None:
    """It is the program's stdin as a pipe is: when the launcher is killed, the program sees the end."""
    held = hold("cat >&-; exit 5", stdin=True)
    held.started()
    held.client.close()
    assert 5 == held.exited().exit_code
    held.leave()


def test_what_a_client_has_sent_before_it_left_is_typed(hold: Hold) -> None:
    """The program answers, which fails, since nobody reads it; the rest of the input must not be lost."""
    held = hold("while read line; do echo $line; done", stdin=True, first=False)
    held.started()
    lines = [b"%d\n" % i for i in range(200)]
    with held.connect() as client:
        for line in lines:
            client.send(line)
    until(lambda: held.logged().endswith(lines[-1]))
    assert b"".join(lines) == held.logged()
    held.end_input()
    held.leave()


def test_packet_that_is_too_long_is_not_typed_in_part(hold: Hold) -> None:
    held = hold("cat", stdin=True)
    held.started()
    with held.connect() as client:
        client.send(b"x" * (attach.INPUT_MAX + 1))
        assert b"" == client.recv(1)
    held.client.send(b"typed")
    held.client.shutdown(socket.SHUT_WR)
    assert b"typed" == held.output()[attach.STDOUT]
    held.leave()


def test_slow_first_client_is_waited_for_and_gets_everything(hold: Hold) -> None:
    """As a reader of a pipe: `holdfast run … | less`. The shim's memory does not grow meanwhile."""
    count = 3_000_000
    held = hold(f"seq 1 {count}")
    held.started()
    before = held.resident_bytes()
    assert settled_size(held) < len(numbers(count))  # it waits
    assert held.resident_bytes() - before < 12 << 20
    assert numbers(count) == held.output()[attach.STDOUT]
    held.exited()
    held.leave()


def settled_size(held: Held) -> int:
    """Wait until the shim does nothing any more. Returns the size of the log then."""
    seen = -1

    def is_still() -> bool:
        nonlocal seen
        before, seen = seen, held.log.stat().st_size if held.log.exists() else 0
        return 0 < seen == before and held.is_idle_for(0.3)

    until(is_still)
    return seen


def test_late_client_that_never_reads_is_cut_and_nobody_waits_for_it(hold: Hold) -> None:
    held = hold("read line; seq 1 6000000; echo end", stdin=True)
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
    assert b"attach.client_dropped" in (held.record_dir / "shim.log").read_bytes()


def test_of_64_clients_half_that_never_read_do_not_hinder_the_others(hold: Hold) -> None:
    held = hold("read line; seq 1 100000; read line", stdin=True)
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


def test_clients_beyond_the_limit_are_turned_away(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "CLIENTS_MAX", 3)
    held = hold("cat", stdin=True)  # whose own client is the first
    held.started()
    clients = [held.connect() for _ in range(3)]
    assert b"" == clients[2].recv(1)
    held.client.send(b"hello")
    assert [b"\2hello"] * 2 == [client.recv(attach.PACKET_MAX) for client in clients[:2]]
    for client in clients:
        client.close()
    held.client.shutdown(socket.SHUT_WR)
    held.output()
    held.leave()


def test_departed_clients_leave_nothing_behind(hold: Hold) -> None:
    """The container is silent, so nothing but their leaving tells that they have left."""
    held = hold("cat", stdin=True, first=False)
    held.started()
    before = held.fd_count()
    clients = [held.connect() for _ in range(20)]
    for client in clients[::2]:
        client.send(b"typed before leaving\n")
    keeper = held.connect()
    for client in clients[::3]:
        client.shutdown(socket.SHUT_WR)
    for client in clients:
        client.close()
    until(lambda: before + 1 == held.fd_count())
    keeper.shutdown(socket.SHUT_WR)
    receive_all(keeper)
    keeper.close()
    held.leave()


def test_thousand_clients_that_came_and_went_have_cost_no_memory(hold: Hold) -> None:
    held = hold("cat", stdin=True, first=False)
    held.started()
    before = held.fd_count()

    def come_and_go(count: int) -> int:
        for _ in range(count):
            held.connect().close()
        until(lambda: before == held.fd_count())
        return held.resident_bytes()

    settled = come_and_go(300)
    assert come_and_go(1000) - settled < 1 << 20
    held.end_input()
    held.leave()


def test_lack_of_descriptors_makes_clients_wait_and_costs_nothing_else(hold: Hold) -> None:
    held = hold("cat", stdin=True)
    held.started()
    soft, hard = resource.prlimit(held.shim_pid, resource.RLIMIT_NOFILE)
    resource.prlimit(held.shim_pid, resource.RLIMIT_NOFILE, (held.fd_count(), hard))
    with held.connect() as client:
        held.client.send(b"as before\n")
        assert b"\2as before\n" == held.client.recv(attach.PACKET_MAX)
        resource.prlimit(held.shim_pid, resource.RLIMIT_NOFILE, (soft, hard))
        client.send(b"late, but heard\n")
        assert b"\2late, but heard\n" == held.client.recv(attach.PACKET_MAX)
    held.client.shutdown(socket.SHUT_WR)
    held.output()
    held.leave()


@pytest.mark.root
def test_other_users_are_turned_away_before_anything_is_read(hold: Hold) -> None:
    """The directory is closed to them; here it has been opened by mistake."""
    held = hold("cat", stdin=True)
    held.started()
    held.run_dir.chmod(0o755)
    for name in ("attach", "control"):
        (held.run_dir / name).chmod(0o666)
    reading, writing = os.pipe()
    if os.fork() == 0:
        answer = b"served"
        try:
            os.chdir(held.run_dir)  # the directories above are closed to nobody
            os.setresuid(NOBODY, NOBODY, NOBODY)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.connect("attach")
                answer = client.recv(1) or b"refused"
        finally:
            os.write(writing, answer)
            os._exit(0)
    assert b"refused" == os.read(reading, 20)
    os.wait()
    os.close(reading)
    os.close(writing)
    held.client.shutdown(socket.SHUT_WR)
    assert b"" == held.output()[attach.STDOUT]
    held.leave()
