"""The terminal: made in the container's devpts, controlling, of the size that was asked for."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.caller import read_rest, read_until
from support.containers import reap
from support.oci import usual_config

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci.config import parse_process
from holdfast.runtime.create import create
from holdfast.runtime.execute import ExecRequest, execute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.containers import Box, Containers

pytestmark = pytest.mark.root


def with_terminal(*args: str, **changes: object) -> dict[str, Any]:
    config = usual_config(*args)
    config["process"] |= {"terminal": True, **changes}
    return config


def received(console: socket.socket) -> int:
    """Return our end of the terminal."""
    data, fds, _, _ = socket.recv_fds(console, 100, 1)
    assert data
    (ptm_fd,) = fds
    return ptm_fd


def said(containers: Containers, config: dict[str, Any]) -> list[str]:
    """Run a program on a terminal; return the lines that it wrote."""
    box = containers.create(config)
    assert box.console is not None
    ptm_fd = received(box.console)
    box.start()
    text = read_rest(ptm_fd).decode()
    os.close(ptm_fd)
    box.wait()
    return text.replace("\r\n", "\n").splitlines()


def test_stdio_is_the_terminal_and_named_the_same_inside(containers: Containers) -> None:
    script = "for fd in 0 1 2; do readlink /proc/self/fd/$fd; done; tty"
    assert ["/dev/pts/0"] * 4 == said(containers, with_terminal("sh", "-c", script))


def test_terminal_is_the_controlling_one(containers: Containers) -> None:
    assert ["to the tty"] == said(containers, with_terminal("sh", "-c", "echo to the tty > /dev/tty"))


def test_console_is_the_terminal(containers: Containers) -> None:
    script = "echo to the console > /dev/console; stat -c %t,%T /dev/console /dev/pts/0"
    first, one, other = said(containers, with_terminal("sh", "-c", script))
    assert "to the console" == first
    assert one == other


@pytest.mark.parametrize("size", [(24, 80), (1, 1), (65535, 65535)])
def test_size_is_that_of_the_config(containers: Containers, size: tuple[int, int]) -> None:
    box = containers.create(with_terminal(consoleSize={"height": size[0], "width": size[1]}))
    assert box.console is not None
    ptm_fd = received(box.console)
    found = struct.unpack("=4H", fcntl.ioctl(ptm_fd, termios.TIOCGWINSZ, bytes(8)))
    os.close(ptm_fd)
    assert (*size, 0, 0) == found


def test_terminal_belongs_to_the_user(containers: Containers) -> None:
    config = with_terminal("stat", "-c", "%u %g %a", "/dev/pts/0", user={"uid": 1000, "gid": 1000})
    assert ["1000 5 620"] == said(containers, config)


def test_key_reaches_the_program_as_a_signal(containers: Containers) -> None:
    script = "trap 'echo interrupted; exit' INT; echo ready; while :; do sleep 0.01; done"
    box = containers.create(with_terminal("sh", "-c", script))
    assert box.console is not None
    ptm_fd = received(box.console)
    box.start()
    read_until(ptm_fd, b"ready")
    os.write(ptm_fd, b"\x03")
    read_until(ptm_fd, b"interrupted")
    os.close(ptm_fd)
    box.wait()


def failure(containers: Containers, config: dict[str, Any]) -> str:
    """Return why a container with a terminal cannot be created."""
    request = containers.request(config)
    ours, theirs = socket.socketpair()
    request.console_fd = theirs.fileno()
    with ours, theirs, pytest.raises((HoldfastError, OSError)) as told:
        create(request)
    return str(told.value)


def test_path_that_is_no_pty_multiplexer_is_refused(containers: Containers) -> None:
    config = with_terminal()
    config["mounts"] = [one for one in config["mounts"] if not one["destination"].startswith("/dev")]
    (containers.rootfs / "dev/pts").mkdir()
    os.mknod(containers.rootfs / "dev/pts/ptmx", 0o20666, os.makedev(1, 5))
    assert "is not a pty multiplexer" in failure(containers, config)


def test_terminal_without_a_devpts_is_told(containers: Containers) -> None:
    config = with_terminal()
    config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/dev/pts"]
    assert "process.terminal: open a pty: No such file or directory" == failure(containers, config)


@contextmanager
def exec_on_terminal(box: Box, *args: str) -> Iterator[tuple[int, int]]:
    """Run a process on a terminal: its pid, and our end."""
    user = {"uid": 0, "gid": 0}
    spec = {"terminal": True, "args": list(args), "cwd": "/", "env": ["PATH=/bin"], "user": user}
    process = parse_process(msgspec.json.encode(spec))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = execute(ExecRequest(root=box.root, id=box.id, process=process, console_fd=theirs.fileno()))
        ptm_fd = received(ours)
    yield pid, ptm_fd
    os.close(ptm_fd)


def test_exec_has_a_terminal_of_its_own(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    with exec_on_terminal(box, "sh", "-c", "tty; echo also > /dev/tty") as (pid, ptm_fd):
        text = read_rest(ptm_fd)
        assert 0 == reap(pid)
    assert b"/dev/pts/0\r\nalso\r\n" == text


def test_terminals_of_execs_leave_no_mounts_in_the_container(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    before = box.execute("cat", "/proc/self/mountinfo").out
    for _ in range(2):
        with exec_on_terminal(box, "true") as (pid, _):
            assert 0 == reap(pid)
    assert before == box.execute("cat", "/proc/self/mountinfo").out
