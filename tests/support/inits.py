"""Starts an init as the runtime does, for tests of what one is made to do: a puppet that a puppet cloned."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.runtime.puppet import puppet
from holdfast.runtime.sys import files, process
from holdfast.runtime.sys.call import number_of
from holdfast.runtime.sys.process import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS

if TYPE_CHECKING:
    from collections.abc import Iterator

USUAL = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET
"""What a container usually has of its own."""

MAPPED = b"0 100000 65536\n"
"""A map for a user namespace: root inside is 100000 outside."""


class Init:
    """The first process of new namespaces: its id out here, and the puppet that it is."""

    def __init__(self, pid: int, x: puppet.Puppet, output_fd: int) -> None:
        self.pid = pid
        self.x = x
        self._output_fd = output_fd
        self._is_reaped = False

    def become_root(self) -> None:
        """Become root of its user namespace."""
        self.x.do(process.setresgid(0, 0, 0))
        self.x.do(process.setgroups(()))
        self.x.do(process.setresuid(0, 0, 0))

    def mountinfo(self) -> bytes:
        """Return what is mounted, as the init sees it."""
        return Path(f"/proc/{self.pid}/mountinfo").read_bytes()

    def run(self, *argv: str) -> tuple[int, str]:
        """Have it become a program. Returns, at its end, the exit code and what it wrote."""
        arguments = [os.fsencode(arg) for arg in argv]
        self.x.do(files.close_range(3, on_exec=True))
        self.x.do(process.execve(arguments[0], arguments, [b"PATH=/bin:/usr/bin"]))
        self.x.become()
        output = bytearray()
        while piece := os.read(self._output_fd, 1 << 16):
            output += piece
        _, status = os.waitpid(self.pid, 0)
        self._is_reaped = True
        return os.waitstatus_to_exitcode(status), output.decode("utf-8", "backslashreplace")

    def end(self) -> None:
        """Kill and reap it."""
        self.x.hang_up()
        if not self._is_reaped:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@contextmanager
def new_init(flags: int = USUAL, *, id_map: bytes = b"") -> Iterator[Init]:
    """Give an init in new namespaces, and end it. With an id map it gets a user namespace as well."""
    if id_map:
        flags |= process.CLONE_NEWUSER
    reading, writing = os.pipe2(os.O_CLOEXEC)
    started = _start_puppet(writing)
    os.close(writing)
    try:
        call = process.clone3(flags | process.CLONE_PARENT, channel=puppet.CHILD_CHANNEL, exit_signal=0)
        pid = started.puppet.do(call)
        started.puppet.flush()
    finally:
        started.puppet.hang_up()
        os.waitpid(started.pid, 0)
    init = Init(number_of(pid), started.child, reading)
    try:
        if id_map:
            Path(f"/proc/{init.pid}/uid_map").write_bytes(id_map)
            Path(f"/proc/{init.pid}/gid_map").write_bytes(id_map)
        init.x.do(files.close(puppet.CHANNEL))
        yield init
    finally:
        init.end()
        os.close(reading)


def _start_puppet(output_fd: int) -> puppet.Started:
    null_fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    program_fd = puppet.sealed_program()
    try:
        return puppet.start(program_fd, (null_fd, output_fd, output_fd))
    finally:
        os.close(program_fd)
        os.close(null_fd)
