"""`run -it`, `attach`, `exec -it`, on a real terminal."""

from __future__ import annotations

import errno
import os
import signal
import termios
import time
from typing import TYPE_CHECKING

import pytest
from support.caller import read_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.caller import Caller
    from support.holdfast import Holdfast

    OnTerminal = Callable[..., Caller]

pytestmark = pytest.mark.root

DETACH = b"\x10\x11"


@pytest.fixture
def on_terminal(hf: Holdfast) -> Iterator[OnTerminal]:
    """Run commands on terminals, and close those in the end."""
    opened = []

    def start(*words: str, size: tuple[int, int] = (24, 80)) -> Caller:
        caller = hf.on_terminal(*words)
        termios.tcsetwinsize(caller.ptm, size)
        opened.append(caller)
        return caller

    yield start
    for caller in opened:
        caller.close()


def type_(caller: Caller, text: bytes) -> None:
    os.write(caller.ptm, text)


def ask(caller: Caller, command: bytes, wanted: bytes) -> bytes:
    """Type a command and wait for its answer, which must not be in the command itself."""
    assert wanted not in command
    type_(caller, command + b"\r")
    return read_until(caller.ptm, wanted)


def is_restored(caller: Caller) -> bool:
    return bool(caller.mode == termios.tcgetattr(caller.ptm))


def test_a_shell_on_a_terminal(hf: Holdfast, on_terminal: OnTerminal) -> None:
    shell = on_terminal("run", "-it", "--rm", "--", "sh")
    read_until(shell.ptm, b"# ")
    assert b"/dev/pts/0" in ask(shell, b"tty", b"pts/0")
    ask(shell, b"echo $((6*7))", b"42")
    type_(shell, b"exit 3\r")
    assert 3 == shell.wait()
    assert is_restored(shell)
    assert [] == hf.left()


def test_the_size_is_there_before_the_program_and_changes_follow(on_terminal: OnTerminal) -> None:
    shell = on_terminal(
        "run",
        "-it",
        "--rm",
        "--",
        "sh",
        "-c",
        "stty size; trap 'stty size' WINCH; while :; do sleep 0.1; done",
        size=(33, 99),
    )
    read_until(shell.ptm, b"33 99")
    termios.tcsetwinsize(shell.ptm, (44, 111))
    read_until(shell.ptm, b"44 111")
    type_(shell, DETACH)
    assert 0 == shell.wait()


def test_ctrl_c_reaches_the_program_and_not_us(on_terminal: OnTerminal) -> None:
    shell = on_terminal(
        "run",
        "-it",
        "--rm",
        "--",
        "sh",
        "-c",
        "trap 'echo inter''rupted; exit 4' INT; echo rea''dy; while :; do sleep 0.1; done",
    )
    read_until(shell.ptm, b"ready")
    type_(shell, b"\x03")
    read_until(shell.ptm, b"interrupted")
    assert 4 == shell.wait()
    assert is_restored(shell)


def test_detach_and_attach_again(hf: Holdfast, on_terminal: OnTerminal) -> None:
    shell = on_terminal("run", "-it", "--name", "x", "--", "sh")
    read_until(shell.ptm, b"# ")
    type_(shell, b"value=kept\r")
    read_until(shell.ptm, b"# ")
    type_(shell, DETACH)
    assert 0 == shell.wait()
    assert is_restored(shell)
    assert hf.state("x")["Running"]
    again = on_terminal("attach", "x", size=(30, 90))
    ask(again, b"echo $value-$(stty size)", b"kept-30 90")
    type_(again, b"exit 5\r")
    assert 5 == again.wait()
    assert is_restored(again)


def test_a_lone_detach_key_is_typed_when_something_else_follows(on_terminal: OnTerminal) -> None:
    program = on_terminal(
        "run", "-it", "--rm", "--", "sh", "-c", "stty raw -echo; echo rea''dy; head -c 3 | od -An -tx1"
    )
    read_until(program.ptm, b"ready")
    type_(program, b"\x10")
    time.sleep(0.1)
    type_(program, b"ab")
    read_until(program.ptm, b"10 61 62")
    assert 0 == program.wait()


def test_other_detach_keys(hf: Holdfast, on_terminal: OnTerminal) -> None:
    shell = on_terminal("run", "-it", "--name", "x", "--detach-keys", "ctrl-x,d", "--", "sh")
    read_until(shell.ptm, b"# ")
    type_(shell, b"\x18d")
    assert 0 == shell.wait()
    again = on_terminal("attach", "--detach-keys", "ctrl-a", "x")
    ask(again, b"echo $((6*7))", b"42")
    type_(again, b"\x01")
    assert 0 == again.wait()
    assert hf.state("x")["Running"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_restored_when_we_are_told_to_end(
    hf: Holdfast, on_terminal: OnTerminal, number: int
) -> None:
    shell = on_terminal("run", "-it", "--name", "x", "--", "sh")
    read_until(shell.ptm, b"# ")
    shell.send(number)
    assert 128 + number == shell.wait()
    assert is_restored(shell)
    assert hf.state("x")["Running"]


def test_the_terminal_is_restored_when_the_container_is_killed(
    hf: Holdfast, on_terminal: OnTerminal
) -> None:
    shell = on_terminal("run", "-it", "--name", "x", "--", "sh")
    read_until(shell.ptm, b"# ")
    hf.ok("kill", "x")
    assert 137 == shell.wait()
    assert is_restored(shell)


def test_exec_on_a_terminal_is_a_terminal_of_its_own(hf: Holdfast, on_terminal: OnTerminal) -> None:
    hf.ok("run", "-d", "--name", "x", "--", "sleep", "1000")
    shell = on_terminal("exec", "-it", "x", "sh", size=(21, 71))
    read_until(shell.ptm, b"# ")
    ask(shell, b"stty size", b"21 71")
    termios.tcsetwinsize(shell.ptm, (22, 72))
    deadline = time.monotonic() + 30
    while b"22 72" not in ask(shell, b"stty size; echo $((6*7))", b"42"):
        assert time.monotonic() < deadline
    type_(shell, b"exit 8\r")
    assert 8 == shell.wait()
    assert is_restored(shell)


def test_without_a_terminal_of_ours_asking_for_one_is_told(hf: Holdfast) -> None:
    for command in (["run", "-it", "--", "sh"], ["exec", "-it", "x", "sh"]):
        result = hf(*command)
        assert 125 == result.code
        assert "the input device is not a TTY" in result.err
    assert "tty\r\n" == hf("run", "-t", "--rm", "--", "sh", "-c", "test -t 1 && echo tty").out


def test_detached_on_a_terminal_can_be_attached_to(hf: Holdfast, on_terminal: OnTerminal) -> None:
    hf.ok("run", "-dit", "--name", "x", "--", "sh")
    shell = on_terminal("attach", "x")
    ask(shell, b"echo $((6*7))", b"42")
    type_(shell, b"exit\r")
    assert 0 == shell.wait()


def test_a_container_that_is_started_again_gets_the_size_of_the_new_terminal(
    hf: Holdfast, on_terminal: OnTerminal
) -> None:
    hf.ok("create", "-it", "--name", "x", "--", "sh", "-c", "sleep 0.3; stty size")
    shell = on_terminal("start", "-ai", "x", size=(17, 57))
    read_until(shell.ptm, b"17 57")
    assert 0 == shell.wait()


def test_nothing_typed_ahead_is_lost(on_terminal: OnTerminal) -> None:
    program = on_terminal("run", "-it", "--rm", "--", "sh", "-c", "sleep 0.5; read line; echo got-$line")
    type_(program, b"early\r")
    read_until(program.ptm, b"got-early")
    assert 0 == program.wait()


TYPE_INTO = """
import ctypes, os
number = {"x86_64": 16, "aarch64": 29}[os.uname().machine]
syscall = ctypes.CDLL(None, use_errno=True).syscall
for request in (0x5412, 0x1_0000_5412, 0xFFFF_FFFF_0000_5412):
    failed = syscall(number, 0, ctypes.c_ulong(request), ctypes.create_string_buffer(b"#"))
    print("errno", ctypes.get_errno() if failed else 0)
print("do" + "ne")
"""


def test_a_program_cannot_type_into_a_terminal(on_terminal: OnTerminal) -> None:
    """By TIOCSTI, also with upper bits in the request that the kernel ignores and a filter might compare."""
    program = on_terminal("run", "-it", "--rm", "--", "python3", "-c", TYPE_INTO)
    assert 3 == read_until(program.ptm, b"done").count(f"errno {errno.EPERM}".encode())
    assert 0 == program.wait()


def test_control_without_the_filter_the_kernel_alone_decides(on_terminal: OnTerminal) -> None:
    program = on_terminal(
        "run", "-it", "--rm", "--security-opt", "seccomp=unconfined", "--", "python3", "-c", TYPE_INTO
    )
    assert f"errno {errno.EPERM}".encode() not in read_until(program.ptm, b"done")
    assert 0 == program.wait()
