"""Steps of a process that joins a container which runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol import errors
from holdfast.runtime.container import name_of
from holdfast.runtime.paths import Rootfs
from holdfast.runtime.setup import isolation, parking
from holdfast.runtime.sys import files, process
from holdfast.runtime.sys.call import Passed
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from holdfast.runtime.making import Making


def start_puppet(making: Making) -> None:
    """Start the puppet that will clone the process, and put it into the container's cgroup."""
    isolation.start_puppet(making)
    isolation.enter_cgroup(making)


def join_and_clone(making: Making) -> None:
    """Have the puppet join init's namespaces and clone the process into them, as a child of the runtime."""
    stage, namespaces = making.stage, making.namespaces
    stage.do(process.prctl(process.PR_SET_DUMPABLE, 0))
    flags = namespaces.new
    for join in namespaces.joins:
        flags |= join.flag
    stage.subject = "join the namespaces of init"
    if flags:
        stage.do(process.setns(Passed(making.init_pidfd), flags))
    isolation.clone(making, 0, beside=making.record.pid)
    root_fd = making.init.do(files.openat(AT_FDCWD, b"/", files.O_DIRECTORY_PATH))
    making.rootfs = Rootfs(making.init, root_fd)


def become(making: Making) -> None:
    """Have the process run its program."""
    name = name_of(making.pid)
    parking.become_program(making)
    making.init.become()
    if name_of(making.pid) == name:
        raise errors.never_executed(making.process.argv[0])
