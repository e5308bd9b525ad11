from __future__ import annotations

import os
import signal
import termios
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.shim.cli.terminal import DetachKeys, RawTerminal, parse_detach_keys, window_size

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = b"\x10\x11"


@pytest.fixture
def pty() -> Iterator[tuple[int, int]]:
    ptm, pts = os.openpty()
    yield ptm, pts
    os.close(ptm)
    os.close(pts)


def test_raw_terminal_hands_every_byte_on_and_is_restored(pty: tuple[int, int]) -> None:
    ptm, pts = pty
    before = termios.tcgetattr(pts)
    with RawTerminal(pts):
        os.write(ptm, b"\x03\r\x04x")
        assert b"\x03\r\x04x" == os.read(pts, 10)
        assert before != termios.tcgetattr(pts)
    assert before == termios.tcgetattr(pts)


def test_raw_terminal_is_restored_after_an_exception(pty: tuple[int, int]) -> None:
    before = termios.tcgetattr(pty[1])
    with pytest.raises(KeyError), RawTerminal(pty[1]):
        raise KeyError
    assert before == termios.tcgetattr(pty[1])


def test_raw_terminal_keeps_what_was_typed_ahead(pty: tuple[int, int]) -> None:
    ptm, pts = pty
    os.write(ptm, b"early\n")
    with RawTerminal(pts):
        assert b"early\n" == os.read(pts, 10)


def test_raw_terminal_on_a_pipe_does_nothing() -> None:
    read_fd, write_fd = os.pipe()
    with RawTerminal(read_fd) as terminal:
        terminal.make_raw()
    os.close(read_fd)
    os.close(write_fd)


def test_raw_terminal_that_is_stopped_gives_the_terminal_back_meanwhile() -> None:
    """A child with a pty of its own suspends itself; while it is stopped the pty is as it was."""
    ptm, pts = os.openpty()
    before = termios.tcgetattr(pts)
    pid = os.fork()
    if pid == 0:
        try:
            with RawTerminal(pts) as terminal:
                terminal.suspend()
                os._exit(0 if termios.tcgetattr(pts) != before else 1)
        finally:
            os._exit(2)
    try:
        assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
        assert before == termios.tcgetattr(pts)
        os.kill(pid, signal.SIGCONT)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(ptm)
        os.close(pts)


def test_window_size_of_a_pty_and_of_a_pipe(pty: tuple[int, int]) -> None:
    assert window_size(pty[1]) is None  # a new one has no size
    termios.tcsetwinsize(pty[0], (24, 80))
    assert (24, 80) == window_size(pty[1])
    read_fd, write_fd = os.pipe()
    assert window_size(read_fd) is None
    os.close(read_fd)
    os.close(write_fd)


def typed(*pieces: bytes, keys: bytes = KEYS) -> tuple[list[bytes], DetachKeys]:
    watcher = DetachKeys(keys)
    return [watcher.pass_on(piece) for piece in pieces], watcher


def test_detach_keys_are_found_in_one_piece_and_in_two() -> None:
    assert [b"ab"] == typed(b"ab" + KEYS + b"cd")[0]
    pieces, watcher = typed(b"a\x10", b"\x11")
    assert [b"a", b""] == pieces
    assert watcher.pressed


def test_detach_keys_hold_the_first_back_until_the_next_tells() -> None:
    pieces, watcher = typed(b"\x10", b"x", b"\x10", b"\x10", b"\x11")
    assert [b"", b"\x10x", b"", b"\x10", b""] == pieces
    assert watcher.pressed


def test_detach_keys_give_back_what_is_held_at_the_end() -> None:
    _, watcher = typed(b"\x10")
    assert b"\x10" == watcher.rest()
    assert b"" == watcher.rest()


def test_no_detach_keys_let_everything_pass() -> None:
    assert [KEYS] == typed(KEYS, keys=b"")[0]


@given(st.binary(max_size=50), st.integers(1, 5), st.sampled_from([KEYS, b"aab", b"a"]))
def test_detach_keys_lose_nothing_wherever_the_input_is_cut(data: bytes, size: int, keys: bytes) -> None:
    watcher = DetachKeys(keys)
    out = b""
    for place in range(0, len(data), size):
        out += watcher.pass_on(data[place : place + size])
        if watcher.pressed:
            break
    else:
        out += watcher.rest()
    found = data.find(keys)
    assert (found >= 0) == watcher.pressed
    assert (data if found < 0 else data[:found]) == out


def test_parse_detach_keys_reads_names() -> None:
    assert KEYS == parse_detach_keys("ctrl-p,ctrl-q")
    assert b"a\x1d\x1b\x00" == parse_detach_keys("a,ctrl-],ctrl-[,CTRL-@")
    assert b"" == parse_detach_keys("")
    for text in ("ctrl-", "ctrl-pp", "alt-x", "é", "ctrl-1"):
        with pytest.raises(ValueError, match="is not a key"):
            parse_detach_keys(text)
