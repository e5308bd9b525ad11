"""Pipes and terminals between a program and its shim."""

from __future__ import annotations

import fcntl
import os
import socket
import stat

import pytest

from holdfast.shim import stdio

NOBODY = 65534


def as_nobody(check: str) -> int:
    """Evaluate one of the checks below as a user without rights; return the exit code."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.setresuid(NOBODY, NOBODY, NOBODY)
            code = CHECKS[check]()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _take_all_pipe_memory() -> int:
    """Fill what this user may have in pipes, then open streams all the same."""
    kept = []
    try:
        while True:
            kept.append(os.pipe())
            fcntl.fcntl(kept[-1][1], fcntl.F_SETPIPE_SZ, stdio.PIPE_BYTES)
    except PermissionError:
        streams = stdio.open_streams(terminal=False, stdin=False)
    size = fcntl.fcntl(streams.programs[1], fcntl.F_GETPIPE_SZ)
    os.write(streams.programs[1], b"works")
    return 0 if size < stdio.PIPE_BYTES and os.read(streams.stdout_fd or -1, 10) == b"works" else 1


CHECKS = {"all pipe memory taken": _take_all_pipe_memory}


def test_pipes_are_large_and_everybody_may_open_them_by_name() -> None:
    """A program that has dropped its rights opens /dev/stdout, which is a link to /proc/self/fd/1."""
    streams = stdio.open_streams(terminal=False, stdin=True)
    for fd in streams.programs:
        assert stdio.PIPE_BYTES == fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
        assert 0o666 == stat.S_IMODE(os.fstat(fd).st_mode)
        assert os.get_blocking(fd)
    streams.keep_programs()
    streams.keep_ours()


def test_without_stdin_the_program_reads_the_null_device() -> None:
    streams = stdio.open_streams(terminal=False, stdin=False)
    assert os.makedev(1, 3) == os.fstat(streams.programs[0]).st_rdev
    assert streams.stdin_fd is None
    streams.keep_programs()
    streams.keep_ours()


@pytest.mark.root
def test_user_whose_pipes_hold_too_much_gets_small_ones() -> None:
    assert 0 == as_nobody("all pipe memory taken")


def test_what_is_no_terminal_is_not_taken_for_one() -> None:
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(theirs, [b"\0"], [reading])
    with pytest.raises(OSError, match="no terminal"):
        stdio.receive_terminal(ours)
    socket.send_fds(theirs, [b"\0"], [reading, writing])
    with pytest.raises(OSError, match="no terminal"):
        stdio.receive_terminal(ours)
    theirs.close()
    with pytest.raises(OSError, match="no terminal"):
        stdio.receive_terminal(ours)
    assert before - 1 == len(os.listdir("/proc/self/fd"))
    ours.close()
    os.close(reading)
    os.close(writing)


def test_terminal_arrives_not_blocking_and_closed_on_exec() -> None:
    ours, theirs = socket.socketpair()
    ptm, pts = os.openpty()
    socket.send_fds(theirs, [b"\0"], [ptm])
    fd = stdio.receive_terminal(ours)
    assert not os.get_blocking(fd)
    assert not os.get_inheritable(fd)
    for each in (fd, ptm, pts):
        os.close(each)
    ours.close()
    theirs.close()
