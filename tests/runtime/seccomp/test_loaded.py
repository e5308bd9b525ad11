"""Filters in the kernel: loaded as an init loads them, by the raw call, and tried with real system calls."""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from support.filtered import int80, load, syscall, under

from holdfast.protocol.oci.config import Seccomp, Syscall, SyscallArg
from holdfast.runtime.puppet import puppet as puppets
from holdfast.runtime.seccomp import default
from holdfast.runtime.seccomp.default import default_seccomp
from holdfast.runtime.seccomp.profile import Filter, compile_profile
from holdfast.runtime.sys import process
from holdfast.runtime.sys.numbers import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MACHINE = os.uname().machine
X32 = 0x40000000
TCGETS, TIOCSTI, TIOCLINUX = 0x5401, 0x5412, 0x541C
AF_ALG, AF_VSOCK = 38, 40
SIGCHLD = signal.SIGCHLD.value

on_x86_64 = pytest.mark.skipif(MACHINE != "x86_64", reason="numbers and instructions of x86-64")


@pytest.fixture(scope="module")
def plain() -> Filter:
    """Give the default profile of a container without capabilities."""
    return compile_profile(default_seccomp(set(), MACHINE))


def filter_of(*syscalls: Syscall, **others: Any) -> Filter:  # noqa: ANN401  # any member
    return compile_profile(Seccomp(**{"default_action": "SCMP_ACT_ALLOW", "syscalls": syscalls} | others))


def answers(filter_: Filter | None, *calls: Callable[[], int]) -> list[int]:
    outcome = under(filter_, *calls)
    assert 0 == outcome.killed_by
    return outcome.results


REFUSED = {
    "keyctl": 250,
    "kexec_load": 246,
    "io_uring_setup": 425,
    "userfaultfd": 323,
    "move_pages": 279,
    "mount": 165,
    "setns": 308,
    "bpf": 321,
    "perf_event_open": 298,
    "init_module": 175,
    "reboot": 169,
    "settimeofday": 164,
    "open_by_handle_at": 304,
}
"""What nobody gets or only a capability brings, on x86-64."""


@on_x86_64
@pytest.mark.parametrize("name", REFUSED)
def test_refused_call_gets_eperm(plain: Filter, name: str) -> None:
    assert [-errno.EPERM] == answers(plain, partial(syscall, REFUSED[name], -1, -1, -1))


@pytest.mark.parametrize("number", [999, 470, 2**30 - 1])
def test_call_that_nobody_has_heard_of_gets_enosys(plain: Filter, number: int) -> None:
    assert [-errno.ENOSYS] == answers(plain, partial(syscall, number))


def test_call_in_a_gap_of_the_numbers_gets_enosys(plain: Filter) -> None:
    between_old_and_new = 400
    assert [-errno.ENOSYS] == answers(plain, partial(syscall, between_old_and_new))


def test_clone3_gets_enosys_and_clone_works_without_namespaces(plain: Filter) -> None:
    namespace = process.CLONE_NEWUSER

    def fork() -> int:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        return os.waitpid(pid, 0)[1]

    results = answers(
        plain,
        partial(syscall, NUMBERS["clone3"], 0, 0),
        fork,
        partial(syscall, NUMBERS["unshare"], namespace),
    )
    assert [-errno.ENOSYS, 0, -errno.EPERM] == results


@on_x86_64
def test_clone_with_a_namespace_gets_eperm_whatever_else_is_in_its_flags(plain: Filter) -> None:
    clone = 56
    for flag in (bit for bit in range(32) if default.CLONE_NAMESPACES >> bit & 1):
        flags = 1 << flag | SIGCHLD
        assert [-errno.EPERM] == answers(plain, partial(syscall, clone, flags))


@pytest.mark.parametrize("upper", [0, 1 << 32, -1 << 32])
def test_arguments_are_compared_as_the_kernel_reads_them(plain: Filter, upper: int) -> None:
    """The kernel reads the lower half; without the filter each of these would do what that says."""
    no_such_fd = errno.EBADF
    no_such_persona = 0x40000  # ADDR_NO_RANDOMIZE
    results = answers(
        plain,
        partial(syscall, NUMBERS["ioctl"], -1, upper | TIOCSTI),
        partial(syscall, NUMBERS["ioctl"], -1, upper | TIOCLINUX),
        partial(syscall, NUMBERS["ioctl"], -1, upper | TCGETS),
        partial(syscall, NUMBERS["socket"], upper | AF_ALG, socket.SOCK_SEQPACKET, 0),
        partial(syscall, NUMBERS["socket"], upper | AF_VSOCK, socket.SOCK_STREAM, 0),
        partial(syscall, NUMBERS["personality"], upper | no_such_persona),
    )
    assert [-errno.EPERM, -errno.EPERM, -no_such_fd, -errno.EPERM, -errno.EPERM, -errno.EPERM] == results
    unix_socket = partial(syscall, NUMBERS["socket"], upper | socket.AF_UNIX, socket.SOCK_STREAM, 0)
    (unix,) = answers(plain, unix_socket)
    assert unix >= 0


@on_x86_64
def test_call_by_the_32_bit_door_is_filtered_too(plain: Filter) -> None:
    enter = int80()
    getpid, keyctl, mount, ioctl, nothing = 20, 288, 21, 54, 470
    (unfiltered,) = answers(None, partial(enter, getpid))
    if unfiltered < 0:
        pytest.skip("this kernel has no calls of 32 bits")
    results = answers(
        plain,
        partial(enter, getpid),
        partial(enter, keyctl, 0),
        partial(enter, mount, 0),
        partial(enter, ioctl, 0, TIOCSTI),
        partial(enter, nothing),
    )
    assert results[0] > 0
    assert [-errno.EPERM, -errno.EPERM, -errno.EPERM, -errno.ENOSYS] == results[1:]


@on_x86_64
def test_call_by_the_32_bit_door_kills_if_only_the_native_one_is_listed() -> None:
    enter = int80()
    everything = filter_of()
    getpid = 20
    (unfiltered,) = answers(None, partial(enter, getpid))
    if unfiltered < 0:
        pytest.skip("this kernel has no calls of 32 bits")
    assert ([], signal.SIGSYS) == under(everything, partial(enter, getpid))


@on_x86_64
def test_call_of_x32_is_filtered_too(plain: Filter) -> None:
    keyctl, mount, nothing = X32 | 250, X32 | 165, X32 | 470
    results = answers(plain, partial(syscall, keyctl), partial(syscall, mount), partial(syscall, nothing))
    assert [-errno.EPERM, -errno.EPERM, -errno.ENOSYS] == results


@on_x86_64
def test_call_of_x32_kills_if_only_the_native_architecture_is_listed() -> None:
    getpid = X32 | 39
    assert ([], signal.SIGSYS) == under(filter_of(), partial(syscall, getpid))


@pytest.mark.parametrize("action", ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP"])
def test_killing_action_kills_with_sigsys(action: str) -> None:
    refusing = filter_of(Syscall(names=("umask",), action="SCMP_ACT_" + action))
    umask = partial(syscall, NUMBERS["umask"], 0)
    assert ([], signal.SIGSYS) == under(refusing, umask)


def test_error_number_is_the_one_that_is_told_and_zero_is_success() -> None:
    told = Syscall(names=("umask",), action="SCMP_ACT_ERRNO", errno_ret=errno.EXDEV)
    largest = Syscall(names=("getpid",), action="SCMP_ACT_ERRNO", errno_ret=4094)
    zero = Syscall(names=("unlinkat",), action="SCMP_ACT_ERRNO", errno_ret=0)
    results = answers(
        filter_of(told, largest, zero),
        partial(syscall, NUMBERS["umask"], 0),
        partial(syscall, NUMBERS["getpid"]),
        partial(syscall, NUMBERS["unlinkat"], -1, 0, 0),
    )
    assert [-errno.EXDEV, -4094, 0] == results


def test_conditions_on_several_arguments_must_all_hold() -> None:
    def equal(index: int, value: int) -> SyscallArg:
        return SyscallArg(index=index, value=value, op="SCMP_CMP_EQ")

    both = (equal(0, 900), equal(1, 901))
    refusing = filter_of(Syscall(names=("dup3",), action="SCMP_ACT_ERRNO", args=both))
    dup3 = partial(syscall, NUMBERS["dup3"])
    results = answers(refusing, partial(dup3, 900, 901, 0), partial(dup3, 900, 902, 0))
    assert [-errno.EPERM, -errno.EBADF] == results


def test_all_flags_of_the_spec_are_taken_by_the_kernel() -> None:
    names = ("TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV")
    flags = tuple("SECCOMP_FILTER_FLAG_" + name for name in names)
    refusing = Syscall(names=("umask",), action="SCMP_ACT_ERRNO")
    umask = partial(syscall, NUMBERS["umask"], 0)
    assert [-errno.EPERM] == answers(filter_of(refusing, flags=flags), umask)
    asking = Syscall(names=("mkdirat",), action="SCMP_ACT_NOTIFY")
    with_listener = filter_of(refusing, asking, flags=flags, listener_path="/run/agent.sock")
    assert [-errno.EPERM] == answers(with_listener, umask)


def test_tsync_brings_the_other_threads_along() -> None:
    def other_threads_umask(flags: tuple[str, ...]) -> int:
        refusing = filter_of(Syscall(names=("umask",), action="SCMP_ACT_ERRNO"), flags=flags)
        loaded, done, result = threading.Event(), threading.Event(), []

        def other() -> None:
            loaded.wait()
            result.append(syscall(NUMBERS["umask"], 0o22))
            done.set()

        threading.Thread(target=other).start()
        load(refusing)
        loaded.set()
        done.wait()
        return result[0]

    with_tsync = partial(other_threads_umask, ("SECCOMP_FILTER_FLAG_TSYNC",))
    assert [-errno.EPERM] == answers(None, with_tsync)
    without = partial(other_threads_umask, ())
    (result,) = answers(None, without)
    assert result >= 0


def test_thread_that_cannot_follow_makes_tsync_fail() -> None:
    """Without TSYNC_ESRCH the call would return the thread's id, which looks like success."""
    tsync = filter_of(flags=("SECCOMP_FILTER_FLAG_TSYNC",))

    def load_beside_a_thread_with_its_own_filter() -> int:
        filtered, end = threading.Event(), threading.Event()

        def other() -> None:
            load(filter_of(flags=()))
            filtered.set()
            end.wait()

        threading.Thread(target=other).start()
        filtered.wait()
        try:
            return load(tsync)
        except OSError as error:
            return -(error.errno or 0)
        finally:
            end.set()

    assert [-errno.ESRCH] == answers(None, load_beside_a_thread_with_its_own_filter)


SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND = 0xC0502100, 0xC0182101


def test_agent_that_is_handed_the_listener_answers_for_the_kernel() -> None:
    asking = filter_of(
        Syscall(names=("umask",), action="SCMP_ACT_NOTIFY"), listener_path="/run/agent.sock", flags=()
    )
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        listener_fd = load(asking)
        theirs.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener_fd]))])
        os._exit(syscall(NUMBERS["umask"], 0))
    _, (listener_fd,), _, _ = socket.recv_fds(ours, 1, 1)
    notification = bytearray(80)
    fcntl.ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_RECV, notification)
    cookie, asker, _, number = struct.unpack_from("=QIIi", notification)
    assert (pid, NUMBERS["umask"]) == (asker, number)
    fcntl.ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_SEND, struct.pack("=QqiI", cookie, 42, 0, 0))
    assert 42 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    for end in (ours, theirs):
        end.close()
    os.close(listener_fd)


def run_filtered(filter_: Filter, *argv: str, directory: Path | None = None) -> str:
    """Run a program under a filter. Returns its output; what it says on stderr goes along."""
    done = subprocess.run(  # the tests' own programs
        argv,
        preexec_fn=partial(load, filter_),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=directory,
        check=False,
        timeout=60,
    )
    assert 0 == done.returncode, done.stdout.decode()
    return done.stdout.decode()


SHELL_SCRIPT = """
set -e
mkdir d; cd d; echo text > a; cp a b; mv b c; ln a h; ln -s a s; chmod 600 a; touch -d @5 a; mkfifo p; rm p
cat a c | sort | uniq -c; sed s/t/T/ a; find . -type f; du -s . >/dev/null; df . >/dev/null; ls -l >/dev/null
(sleep 5 & kill $!; wait $! || true); sh -c 'exit 3' || test $? = 3
id; hostname >/dev/null; uname -a >/dev/null; ps >/dev/null; date >/dev/null
nice -n 1 true; ulimit -n >/dev/null
tar cf t.tar a c; tar tf t.tar; gzip t.tar; dd if=/dev/zero of=z bs=4k count=2 2>/dev/null; sync; rm -r ../d
"""


def test_busybox_runs_as_usual_under_the_default_profile(plain: Filter, tmp_path: Path) -> None:
    output = run_filtered(plain, "/bin/busybox", "sh", "-c", SHELL_SCRIPT, directory=tmp_path)
    assert "2 text" in output
    assert "Text" in output
    assert "Operation not permitted" not in output


PYTHON_PROGRAM = """
import asyncio, concurrent.futures, mmap, multiprocessing, os, select, signal, socket, sqlite3
import subprocess, sys, tempfile, time

async def echo(reader, writer):
    writer.write(await reader.readline()); await writer.drain(); writer.close()

async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    writer.write(b"hello\\n")
    assert b"hello\\n" == await reader.readline()
    writer.close(); server.close()

if __name__ == "__main__":
    asyncio.run(main())
    assert 6 == subprocess.run([sys.executable, "-c", "raise SystemExit(6)"]).returncode
    with concurrent.futures.ThreadPoolExecutor(4) as pool: assert [2, 3] == list(pool.map(abs, (-2, 3)))
    with multiprocessing.Pool(2) as pool: assert [2, 3] == pool.map(abs, (-2, 3))
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * 4096); file.flush(); os.fsync(file.fileno()); mmap.mmap(file.fileno(), 0).close()
    sqlite3.connect("db").execute("create table t (a)").connection.close()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    signal.setitimer(signal.ITIMER_REAL, 0.01); signal.sigwait([signal.SIGALRM])
    os.sched_getaffinity(0); os.getrandom(8); os.memfd_create("m"); select.epoll().close()
    os.pidfd_open(os.getpid()); os.nice(1); time.clock_getres(time.CLOCK_MONOTONIC); socket.if_nameindex()
    print("done")
"""


def test_python_runs_as_usual_under_the_default_profile(plain: Filter, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PYTHON_PROGRAM)
    assert "done\n" == run_filtered(plain, sys.executable, "-I", str(program), directory=tmp_path)


@pytest.mark.root
def test_another_program_loads_the_filter_from_its_bytes_and_flags(plain: Filter, tmp_path: Path) -> None:
    """The puppet, static and without libc, loads the filter that this process made, and becomes a shell."""
    script = b"busybox grep ^Seccomp: /proc/self/status; busybox mount -t proc p /proc || echo refused"
    with (tmp_path / "output").open("wb") as output:
        program_fd = puppets.sealed_program()
        started = puppets.start(program_fd, (0, output.fileno(), output.fileno()))
        os.close(program_fd)
    started.puppet.do(process.prctl(process.PR_SET_NO_NEW_PRIVS, 1))
    started.puppet.do(process.seccomp_load(plain.program, plain.flags))
    started.puppet.do(process.execve(b"/bin/busybox", [b"sh", b"-c", script], [b"PATH=/bin"]))
    started.puppet.become()
    started.puppet.hang_up()
    started.child.hang_up()
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(started.pid, 0)[1])
    lines = (tmp_path / "output").read_text().splitlines()
    assert ["Seccomp:\t2", "refused"] == [lines[0], lines[-1]]


def test_library_keeps_nothing_of_the_kernel(plain: Filter) -> None:
    """Compiling loads nothing: this process is under no filter."""
    assert plain.program
    assert 0 == ctypes.CDLL(None).prctl(21, 0, 0, 0, 0)
