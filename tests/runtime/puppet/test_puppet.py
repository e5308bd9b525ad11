"""The puppet for real: each test starts one as a child process and has it carry out system calls."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.runtime.puppet import puppet as puppets
from holdfast.runtime.sys import files, process
from holdfast.runtime.sys.call import CallFailed, Out, Passed
from holdfast.runtime.sys.executor import Here
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_LIBC_SIGNALS = 0b11 << 31
"""32 and 33, which the C library keeps for itself; the runtime resets them by a call of its own."""


@pytest.fixture
def started() -> Iterator[puppets.Started]:
    """Give a puppet; it is ended and reaped afterwards."""
    program_fd = puppets.sealed_program()
    running = puppets.start(program_fd, (0, 1, 2))
    os.close(program_fd)
    yield running
    running.puppet.hang_up()
    running.child.hang_up()
    os.waitpid(running.pid, 0)


def test_results_of_earlier_calls_can_be_arguments_of_later_ones(
    started: puppets.Started, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    x = started.puppet
    directory = x.do(files.openat(AT_FDCWD, os.fsencode(tmp_path), files.O_DIRECTORY_PATH))
    file = x.do(files.openat(directory, b"file", os.O_RDONLY))
    content = Out(100)
    size = x.do(files.read(file, content))
    x.flush()
    assert 7 == size.value
    assert b"content" == content.data[:7]


def test_same_function_gives_the_same_here_and_in_a_puppet(started: puppets.Started) -> None:
    there, here = files.new_stat(), files.new_stat()
    started.puppet.do(files.statx(AT_FDCWD, b"/etc/passwd", there))
    started.puppet.flush()
    Here().do(files.statx(AT_FDCWD, b"/etc/passwd", here))
    assert files.Stat.of(here) == files.Stat.of(there)


def test_batch_stops_at_the_first_call_that_fails(started: puppets.Started, tmp_path: Path) -> None:
    x, path = started.puppet, os.fsencode(tmp_path)
    x.do(files.mkdirat(AT_FDCWD, path + b"/before", 0o700))
    x.subject = "make a directory"
    x.do(files.mkdirat(AT_FDCWD, path + b"/missing/inside", 0o700))
    x.do(files.mkdirat(AT_FDCWD, path + b"/after", 0o700))
    with pytest.raises(CallFailed) as failure:
        x.flush()
    assert errno.ENOENT == failure.value.errno
    assert "make a directory: No such file or directory" == str(failure.value)
    assert ["before"] == os.listdir(tmp_path)


def test_accepted_errno_is_a_result(started: puppets.Started, tmp_path: Path) -> None:
    x = started.puppet
    result = x.do(files.mkdirat(AT_FDCWD, os.fsencode(tmp_path), 0o700).accepting(errno.EEXIST))
    x.flush()
    assert -errno.EEXIST == result.value


def test_descriptor_passed_and_fetched_back_is_the_same_file(
    started: puppets.Started, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    ours = os.open(path, os.O_RDONLY)
    theirs = started.puppet.do(files.dup_above(Passed(ours), 20))
    back = started.puppet.fetch(theirs)
    assert 20 == theirs.value
    assert os.fstat(ours).st_ino == os.fstat(back).st_ino
    os.close(ours)
    os.close(back)


def test_fetched_descriptor_is_closed_on_exec(started: puppets.Started) -> None:
    """A program that is run meanwhile must not get the far end of somebody's terminal."""
    fetched = started.puppet.fetch(0)
    assert not os.get_inheritable(fetched)
    os.close(fetched)


def test_passed_descriptors_do_not_stay_open_in_the_puppet(started: puppets.Started) -> None:
    reading, writing = os.pipe()
    started.puppet.do(files.write(Passed(writing), b"x"))
    started.puppet.flush()
    os.close(writing)
    assert [b"x", b""] == [os.read(reading, 10), os.read(reading, 10)]
    os.close(reading)


def test_fetch_after_a_failed_call_raises_that_failure(started: puppets.Started) -> None:
    file = started.puppet.do(files.openat(AT_FDCWD, b"/no/such/file", os.O_RDONLY))
    with pytest.raises(CallFailed, match="No such file or directory"):
        started.puppet.fetch(file)


def test_clone_reads_its_own_batches_and_runs_a_program(started: puppets.Started) -> None:
    pid = started.puppet.do(
        process.clone3(process.CLONE_PARENT, channel=puppets.CHILD_CHANNEL, exit_signal=0)
    )
    started.puppet.flush()
    started.puppet.hang_up()
    started.child.move_channel(10)
    started.child.do(process.execve(b"/bin/sh", [b"sh", b"-c", b'exit "$CODE"'], [b"CODE=7"]))
    started.child.become()
    _, status = os.waitpid(pid.value, 0)
    assert 7 == os.waitstatus_to_exitcode(status)


def test_failing_execve_is_told(started: puppets.Started) -> None:
    started.puppet.do(process.execve(b"/etc/passwd", [b"x"], []))
    with pytest.raises(CallFailed) as failure:
        started.puppet.become()
    assert errno.EACCES == failure.value.errno


def test_puppet_has_nothing_open_but_stdio_and_its_channels(started: puppets.Started) -> None:
    started.puppet.do(process.setsid())
    started.puppet.flush()
    assert {"0", "1", "2", "3", "4"} == set(os.listdir(f"/proc/{started.pid}/fd"))


def test_program_cannot_be_written_to(started: puppets.Started) -> None:
    """CVE-2019-5736: what /proc/PID/exe of a puppet leads to is memory, sealed against any change."""
    exe = os.open(f"/proc/{started.pid}/exe", os.O_RDONLY)
    seals = fcntl.fcntl(exe, fcntl.F_GET_SEALS)
    os.close(exe)
    assert seals & fcntl.F_SEAL_WRITE
    assert seals & fcntl.F_SEAL_SEAL


def test_puppet_ends_when_its_driver_is_gone(started: puppets.Started) -> None:
    started.puppet.hang_up()
    ended = os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    assert 0 == ended.si_status


def test_signal_dispositions_of_the_driver_are_not_inherited(started: puppets.Started) -> None:
    """Python ignores SIGPIPE and SIGXFSZ; a program that inherits that behaves differently in a pipeline."""
    assert signal.SIG_IGN == signal.getsignal(signal.SIGPIPE)
    with open(f"/proc/{started.pid}/status", encoding="ascii") as status:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in status)
    assert 0 == int(lines["SigIgn"], 16) & ~_LIBC_SIGNALS
    assert "0" * 16 == lines["SigBlk"]


_CALL_SIZE = 64


@given(header=st.tuples(*[st.integers(0, 2**32 - 1)] * 4), body=st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_garbage_ends_the_puppet_without_a_crash(header: tuple[int, int, int, int], body: bytes) -> None:
    """There is never room for the calls, so that no real one is made by chance."""
    size, calls, back, zero = header
    calls %= 8
    size %= _CALL_SIZE * calls or 512
    message = struct.pack("=IIII", size, calls, back % 4096 if calls % 2 else back, zero) + body
    assert 0 <= _exit_code_after(message)


@given(body=st.binary(min_size=64, max_size=64))
@settings(max_examples=150, deadline=None)
def test_garbage_in_a_call_ends_the_puppet_without_a_crash(body: bytes) -> None:
    """A pseudo call with wild kinds and places.

    The number is the store's, so that no real call is made by chance.
    """
    message = struct.pack("=IIII", 64, 1, 0, 0) + struct.pack("=i", -1) + body[4:]
    assert 0 <= _exit_code_after(message)


def _exit_code_after(message: bytes) -> int:
    program_fd = puppets.sealed_program()
    running = puppets.start(program_fd, (0, 1, 2))
    os.close(program_fd)
    running.puppet.sock.sendall(message)
    running.puppet.hang_up()  # nobody reads its answer, which may be long
    running.child.hang_up()
    _, status = os.waitpid(running.pid, 0)
    return os.waitstatus_to_exitcode(status)
