"""An attacker inside a container: it makes whatever system calls the test tells it to.

It is the puppet once more, this time as the container's own program, with all the rights that the container
was given and no others. So an attack is written in the test, call by call, and nothing needs to be compiled.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from support.containers import Box, reap, status_of

from holdfast.protocol.oci.config import parse_process
from holdfast.runtime.create import create
from holdfast.runtime.execute import ExecRequest, execute
from holdfast.runtime.puppet import puppet
from holdfast.runtime.sys import files, process
from holdfast.runtime.sys.call import ACCEPT_ANY, Call, Out, Struct, number_of
from holdfast.runtime.sys.call import Member as At
from holdfast.runtime.sys.numbers import AT_FDCWD, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

    import pytest
    from support.containers import Containers

    from holdfast.runtime.making import Making
    from holdfast.runtime.step import Step
    from holdfast.runtime.sys.call import Result

PUPPET = Path(puppet.__file__).with_name("puppet")
COMMAND = ("/bin/sh", "-c", "exec /puppet 3<&0")
"""The puppet takes its orders from descriptor 3; ours come on stdin."""

_PTRACE, _PROCESS_VM_READV = (101, 310) if os.uname().machine == "x86_64" else (117, 270)
_PTRACE_DETACH, _PTRACE_SEIZE, _PTRACE_INTERRUPT = 17, 0x4206, 0x4207
_WALL = 0x40000000
_REFUSED = (errno.EACCES, errno.EPERM, errno.ESRCH, errno.ENOENT, errno.ELOOP)
_ANYWHERE = 0x400000


class Attacker:
    """A program in a container that does as it is told."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.x = puppet.Puppet(sock)
        self.pid = pid

    def try_(self, call: Call) -> Result:
        """Have a call made with the next flush; it may fail."""
        return self.x.do(call.accepting(ACCEPT_ANY))

    def do(self, call: Call) -> int:
        """Have a call made. Returns its result, or minus the errno."""
        result = self.try_(call)
        self.x.flush()
        return number_of(result)

    def readlink(self, path: bytes) -> bytes:
        """Return where a link leads, nothing if it cannot be read."""
        target = Out(4096)
        count = self.do(files.readlinkat(AT_FDCWD, path, target))
        return target.data[: max(count, 0)]

    def inode(self, path: bytes) -> int:
        """Return the inode of what is at a path, 0 if that cannot be known."""
        status = files.new_stat()
        return files.Stat.of(status).inode if self.do(files.statx(AT_FDCWD, path, status, 0)) == 0 else 0

    def reaches(self, pid: int) -> list[str]:
        """Try to get at another process of its pid namespace. Returns what was not refused."""
        proc = b"/proc/%d/" % pid
        flags = {b"exe": os.O_RDWR, b"mem": os.O_RDWR, b"root": os.O_RDONLY, b"cwd": os.O_RDONLY}
        paths = (*flags, b"environ", b"auxv", b"maps", *(b"fd/%d" % fd for fd in (*range(5), 10, 11)))
        results = {}
        for path in paths:
            fd = results[path.decode()] = self.try_(
                files.openat(AT_FDCWD, proc + path, flags.get(path, os.O_RDONLY))
            )
            self.try_(files.close(fd))
        pidfd = self.try_(process.pidfd_open(pid))
        stolen = results["pidfd_getfd"] = self.try_(
            Call(NUMBERS["pidfd_getfd"], "pidfd_getfd", (pidfd, 0, 0))
        )
        self.try_(files.close(stolen))
        self.try_(files.close(pidfd))
        results["process_vm_readv"] = self.try_(_read_memory(pid))
        results["ptrace"] = self.try_(_ptrace(_PTRACE_SEIZE, pid))
        # Let go again, else it could not be reaped by its parent: each of these fails if it is not held.
        self.try_(_ptrace(_PTRACE_INTERRUPT, pid))
        self.try_(Call(NUMBERS["wait4"], "wait4", (pid, 0, _WALL, 0)))
        self.try_(_ptrace(_PTRACE_DETACH, pid))
        self.x.flush()
        return [name for name, result in results.items() if -number_of(result) not in _REFUSED]


def _ptrace(request: int, pid: int) -> Call:
    return Call(_PTRACE, "ptrace", (request, pid, 0, 0))


def _read_memory(pid: int) -> Call:
    local = Struct(bytes(16), (At(0, 8, Out(8)), At(8, 8, 8)))
    remote = Struct(struct.pack("=QQ", _ANYWHERE, 8), ())
    return Call(_PROCESS_VM_READV, "process_vm_readv", (pid, local, 1, remote, 1, 0))


def pid_inside(pid: int) -> int:
    """Return the number that a process has in its own pid namespace."""
    return int(status_of(pid)["NSpid"].split()[-1])


@contextmanager
def attacking_init(containers: Containers, config: dict[str, Any]) -> Iterator[tuple[Attacker, Box]]:
    """Give an attacker that is the init of a container."""
    shutil.copy(PUPPET, containers.rootfs / "puppet")
    config["process"]["args"] = list(COMMAND)
    request = containers.request(config)
    box = Box(containers, request.id)
    ours, theirs = socket.socketpair()
    with ours, open(os.devnull, "wb") as null:
        with theirs:
            request.stdio = (theirs.fileno(), null.fileno(), null.fileno())
            box.pid = create(request)
        containers.boxes.append(box)
        box.start()
        yield Attacker(ours, pid_inside(box.pid)), box


@contextmanager
def attacking_exec(containers: Containers, box: Box, rights: Mapping[str, object]) -> Iterator[Attacker]:
    """Give an attacker that was brought into a container by an exec."""
    shutil.copy(PUPPET, containers.rootfs / "puppet")
    ours, theirs = socket.socketpair()
    with ours, open(os.devnull, "wb") as null:
        with theirs:
            pid = begin_exec(box, theirs.fileno(), null.fileno(), *COMMAND, rights=rights)
        yield Attacker(ours, pid_inside(pid))
        ours.shutdown(socket.SHUT_RDWR)
        reap(pid)


def begin_exec(
    box: Box, stdin_fd: int, out_fd: int, *args: str, preserve_fds: int = 0, rights: Mapping[str, object]
) -> int:
    """Run a process in a container, with stdin and the rest given. Returns its pid."""
    described = {"args": list(args), "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
    spec = parse_process(msgspec.json.encode({**described, **rights}))
    return execute(
        ExecRequest(
            root=box.root,
            id=box.id,
            process=spec,
            stdio=(stdin_fd, out_fd, out_fd),
            preserve_fds=preserve_fds,
        )
    )


def after_each_step(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, look: Callable[[str, Making], None]
) -> None:
    """Have `look` called, with the step's name, after each step in which there is a process that is ours."""

    def watched(step: Step) -> Step:
        if step.name in ("become the program", "write the pid file"):  # it is the user's then
            return step

        def do(making: Making) -> None:
            step.do(making)
            making.flush()
            if making.pid:
                look(step.name, making)

        return step._replace(do=do)

    monkeypatch.setattr(module, name, tuple(watched(step) for step in getattr(module, name)))
