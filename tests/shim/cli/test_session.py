"""The caller's side of a container, with the test in the shim's place."""

from __future__ import annotations

import os
import signal
import socket
import termios
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.caller import Caller, read_rest, read_until

from holdfast.protocol import attach
from holdfast.shim.cli.session import Ended, Session, Ways

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    MakeShim = Callable[..., "Shim"]

LEFT, OUTPUT_GONE = 70, 71


class Shim:
    """The other ends of the sockets, and a caller that holds on to them."""

    def __init__(
        self, *, stdin: bool = True, terminal: bool = False, proxy: bool = True, keys: str = "ctrl-p,ctrl-q"
    ) -> None:
        self.client, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.news, their_news = socket.socketpair()
        self.told, telling = os.pipe()

        def tell(line: bytes) -> None:
            os.write(telling, line)

        def call() -> int:
            self.client.close()
            self.news.close()
            session = Session(
                Ways(
                    stdin=stdin,
                    terminal=terminal,
                    detach_keys=keys,
                    signals=(lambda number: tell(b"signal %d\n" % number)) if proxy else None,
                    resize=lambda rows, columns: tell(b"size %d %d\n" % (rows, columns)),
                )
            )

            def on_news(piece: bytes) -> bool:
                if piece == b"started":
                    session.started()
                return bool(piece)

            try:
                with session.taken():
                    os.write(telling, b"ready\n")
                    stayed = session.hold(
                        theirs, their_news.fileno(), on_news, lambda: os._exit(OUTPUT_GONE)
                    )
            except Ended as ended:
                return 128 + int(ended.args[0])
            return 0 if stayed else LEFT

        self.caller = Caller(call, terminal=terminal)
        theirs.close()
        their_news.close()
        os.close(telling)
        read_until(self.told, b"ready\n")

    def write(self, content: bytes, stream: int = attach.STDOUT) -> None:
        for packet in attach.packets(stream, content):
            self.client.send(packet)

    def end(self) -> None:
        self.client.close()
        self.news.close()

    def close(self) -> None:
        self.end()
        self.caller.close()
        os.close(self.told)


@pytest.fixture
def shim() -> Iterator[MakeShim]:
    opened: list[Shim] = []

    def make(**options: Any) -> Shim:  # noqa: ANN401
        opened.append(Shim(**options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_streams_come_out_unmixed_and_in_order(shim: MakeShim) -> None:
    held = shim()
    held.write(b"out 1\n")
    held.write(b"err 1\n", attach.STDERR)
    held.write(b"out 2\n")
    held.end()
    assert b"out 1\nout 2\n" == read_rest(held.caller.stdout)
    assert b"err 1\n" == read_rest(held.caller.stderr)
    assert 0 == held.caller.wait()


def test_input_goes_in_and_its_end_too(shim: MakeShim) -> None:
    held = shim()
    os.write(held.caller.stdin, b"typed")
    assert b"typed" == held.client.recv(attach.INPUT_MAX)
    held.caller.close_stdin()
    assert b"" == held.client.recv(attach.INPUT_MAX)
    held.write(b"still heard\n")
    assert b"still heard\n" == read_until(held.caller.stdout, b"\n")


def test_without_interactive_nothing_goes_in(shim: MakeShim) -> None:
    held = shim(stdin=False)
    os.write(held.caller.stdin, b"typed")
    held.write(b"x")
    assert b"x" == read_until(held.caller.stdout, b"x")
    held.client.setblocking(False)
    with pytest.raises(BlockingIOError):
        held.client.recv(attach.INPUT_MAX)


def test_output_is_read_while_input_waits_for_room(shim: MakeShim) -> None:
    """A program that writes much and reads late: whoever waits for it to read must go on reading."""
    held = shim()
    feeding = threading.Thread(target=lambda: os.write(held.caller.stdin, b"i" * (4 << 20)))
    feeding.start()
    size = 8 << 20
    writing = threading.Thread(target=lambda: held.write(b"o" * size))
    writing.start()
    got = 0
    while got < size:
        got += len(os.read(held.caller.stdout, 1 << 20))
    writing.join()
    taken = 0
    while taken < 4 << 20:
        taken += len(held.client.recv(attach.INPUT_MAX))
    feeding.join()


def test_much_output_loses_nothing(shim: MakeShim) -> None:
    held = shim()
    content = b"".join(b"%d\n" % number for number in range(200_000))

    def write_all() -> None:
        held.write(content)
        held.end()

    writing = threading.Thread(target=write_all)
    writing.start()
    assert content == read_rest(held.caller.stdout)
    writing.join()
    assert 0 == held.caller.wait()


def test_output_that_nobody_reads_any_more_is_told(shim: MakeShim) -> None:
    held = shim()
    held.caller.close_stdout()
    held.write(b"x")
    assert OUTPUT_GONE == held.caller.wait()


def test_signals_are_passed_on_and_early_ones_wait_for_the_start(shim: MakeShim) -> None:
    held = shim()
    held.caller.send(signal.SIGTERM)
    held.write(b"x")
    read_until(held.caller.stdout, b"x")
    held.caller.send(signal.SIGUSR1)
    held.news.send(b"started")
    assert b"signal 15\nsignal 10\n" == read_until(held.told, b"signal 10\n")
    held.caller.send(signal.SIGHUP)
    read_until(held.told, b"signal 1\n")


def test_three_interrupts_in_a_row_leave_the_container(shim: MakeShim) -> None:
    held = shim()
    held.news.send(b"started")
    for _ in range(2):
        held.caller.send(signal.SIGINT)
        read_until(held.told, b"signal 2\n")
    held.caller.send(signal.SIGINT)
    assert LEFT == held.caller.wait()
    assert b"left the container running" in read_rest(held.caller.stderr)


def test_without_sig_proxy_a_signal_is_for_us(shim: MakeShim) -> None:
    held = shim(proxy=False)
    held.caller.send(signal.SIGTERM)
    assert -signal.SIGTERM == held.caller.wait()


def test_a_terminal_is_raw_meanwhile_and_restored_at_the_end(shim: MakeShim) -> None:
    held = shim(terminal=True)
    wait_until_raw(held)
    os.write(held.caller.ptm, b"\x03\r\x1a")
    assert b"\x03\r\x1a" == held.client.recv(attach.INPUT_MAX)
    held.write(b"out\r\n")
    assert b"out\r\n" == read_until(held.caller.ptm, b"\n")
    held.end()
    assert 0 == held.caller.wait()
    assert held.caller.mode == termios.tcgetattr(held.caller.ptm)


def wait_until_raw(held: Shim) -> None:
    deadline = time.monotonic() + 10
    while termios.tcgetattr(held.caller.ptm)[3] & termios.ICANON:
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_while_raw_restores_the_terminal_and_ends_us(shim: MakeShim, number: int) -> None:
    held = shim(terminal=True)
    wait_until_raw(held)
    held.caller.send(number)
    assert 128 + number == held.caller.wait()
    assert termios.tcgetattr(held.caller.ptm)[3] & termios.ICANON


def test_a_stopped_caller_gives_the_terminal_back_and_takes_it_again(shim: MakeShim) -> None:
    held = shim(terminal=True)
    wait_until_raw(held)
    held.caller.send(signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(held.caller.pid, os.WUNTRACED)[1])
    assert termios.tcgetattr(held.caller.ptm)[3] & termios.ICANON
    held.caller.send(signal.SIGCONT)
    wait_until_raw(held)
    os.write(held.caller.ptm, b"x")
    assert b"x" == held.client.recv(attach.INPUT_MAX)


def test_detach_keys_leave_and_what_was_typed_before_goes_in(shim: MakeShim) -> None:
    held = shim(terminal=True)
    wait_until_raw(held)
    os.write(held.caller.ptm, b"a\x10")
    assert b"a" == held.client.recv(attach.INPUT_MAX)
    os.write(held.caller.ptm, b"\x11")
    assert LEFT == held.caller.wait()
    assert termios.tcgetattr(held.caller.ptm)[3] & termios.ICANON


def test_a_new_size_of_the_terminal_is_passed_on(shim: MakeShim) -> None:
    held = shim(terminal=True)
    wait_until_raw(held)
    termios.tcsetwinsize(held.caller.ptm, (33, 99))
    held.news.send(b"started")
    read_until(held.told, b"size 33 99\n")
    termios.tcsetwinsize(held.caller.ptm, (44, 111))
    read_until(held.told, b"size 44 111\n")
