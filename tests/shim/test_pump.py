"""From a program's pipe or terminal into the log, at the right time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.held import until

from holdfast.protocol import attach

if TYPE_CHECKING:
    from pathlib import Path

    from support.held import Hold


def test_prompt_gets_into_the_log_though_its_line_has_no_end_yet(hold: Hold) -> None:
    held = hold("printf 'name? '; read name; echo hello $name", stdin=True)
    held.started()
    until(lambda: b"name? " == held.logged())
    assert held.log.read_bytes().endswith(b" stdout P name? \n")
    held.client.send(b"you\n")
    held.exited()
    assert b"name? hello you\n" == held.logged()
    held.leave()


def test_beginning_of_a_line_is_logged_when_the_program_closes_its_output(hold: Hold) -> None:
    held = hold("printf unfinished; exec >&- 2>&-; read line; exit 3", stdin=True)
    held.started()
    until(lambda: b"unfinished" == held.logged())
    held.client.send(b"go\n")
    assert 3 == held.exited().exit_code
    held.leave()


def test_program_that_closes_its_output_early_costs_nothing_until_its_end(hold: Hold) -> None:
    held = hold("echo before; exec >&- 2>&-; read line; exit 3", stdin=True)
    held.started()
    assert b"\2before\n" == held.client.recv(100)
    until(lambda: held.is_idle_for(0.5))
    held.client.send(b"go\n")
    assert 3 == held.exited().exit_code
    held.leave()


def test_terminal_that_nobody_has_open_is_idle_and_heard_again_when_it_is_opened(
    hold: Hold, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    program = (
        f"mkfifo {first} {second}; tty=$(tty); echo away; exec <&- >&- 2>&-; "
        f"read x <{first}; echo back >$tty; read x <{second}; echo again >$tty"
    )
    held = hold(program, terminal=True)
    held.started()
    assert b"\2away\r\n" == held.client.recv(100)
    for fifo, expected in ((first, b"back"), (second, b"again")):
        until(lambda: held.is_idle_for(0.5))
        fifo.write_bytes(b"go\n")
        assert b"\2" + expected + b"\r\n" == held.client.recv(100)
    assert 0 == held.exited().exit_code
    assert b"away\r\nback\r\nagain\r\n" == held.logged()
    held.leave()


def test_output_of_a_terminal_is_whole_when_the_program_ends_at_once(hold: Hold) -> None:
    expected = b"".join(b"%d\r\n" % i for i in range(1, 5001))
    held = hold("seq 1 5000", terminal=True)
    assert expected == held.output()[attach.STDOUT]
    held.exited()
    assert expected == held.logged()
    held.leave()
