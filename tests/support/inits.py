"""Starts an init as the runtime does, for tests of what one is made to do: a puppet that a puppet cloned."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from holdfast.runtime.puppet import puppet
from holdfast.runtime.sys import process
from holdfast.runtime.sys.call import number_of
from holdfast.runtime.sys.process import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS

if TYPE_CHECKING:
    from collections.abc import Iterator

USUAL = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET
"""What a container usually has of its own."""

MAPPED = b"0 100000 65536\n"
"""A map for a user namespace: root inside is 100000 outside."""


class Init(NamedTuple):
    """The first process of new namespaces: its id out here, and the puppet that it is."""

    pid: int
    x: puppet.Puppet


@contextmanager
def new_init(flags: int = USUAL, *, id_map: bytes = b"") -> Iterator[Init]:
    """Give an init in new namespaces, and end it. With an id map it gets a user namespace as well."""
    if id_map:
        flags |= process.CLONE_NEWUSER
    started = _start_puppet()
    try:
        call = process.clone3(flags | process.CLONE_PARENT, channel=puppet.CHILD_CHANNEL, exit_signal=0)
        pid = started.puppet.do(call)
        started.puppet.flush()
    finally:
        started.puppet.hang_up()
        os.waitpid(started.pid, 0)
    init = Init(number_of(pid), started.child)
    try:
        if id_map:
            Path(f"/proc/{init.pid}/uid_map").write_bytes(id_map)
            Path(f"/proc/{init.pid}/gid_map").write_bytes(id_map)
        yield init
    finally:
        init.x.hang_up()
        os.kill(init.pid, signal.SIGKILL)
        os.waitpid(init.pid, 0)


def become_root(init: Init) -> None:
    """Have an init with a user namespace become root of it."""
    init.x.do(process.setresgid(0, 0, 0))
    init.x.do(process.setgroups(()))
    init.x.do(process.setresuid(0, 0, 0))


def _start_puppet() -> puppet.Started:
    null_fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    program_fd = puppet.sealed_program()
    try:
        return puppet.start(program_fd, (null_fd, null_fd, null_fd))
    finally:
        os.close(program_fd)
        os.close(null_fd)
