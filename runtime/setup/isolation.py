"""Steps that make the process.

The cgroup it is born in, the puppet that clones it, its namespaces, its identity.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from holdfast.runtime.cgroups import group
from holdfast.runtime.namespaces import join, network, userns
from holdfast.runtime.process import verify
from holdfast.runtime.puppet import puppet
from holdfast.runtime.sys import files, process
from holdfast.runtime.sys.call import Passed, number_of
from holdfast.runtime.sys.executor import close_quietly

if TYPE_CHECKING:
    from holdfast.runtime.making import Making
    from holdfast.runtime.sys.call import Value

_FREE_FD = 10
"""Where init keeps its own descriptors, above those that the user's program gets."""

_PASSED_AT_ONCE = 32

_LIBC_SIGNALS = (32, 33)
"""Which the C library keeps for itself: posix_spawn does not reset them if the caller ignores them."""


def open_namespaces(making: Making) -> None:
    """Open the namespaces that the container joins."""
    making.namespace_fds = join.open_all(making.parent, making.namespaces.joins)


def close_namespaces(making: Making) -> None:
    """Close them again."""
    close_quietly(*making.namespace_fds)
    making.namespace_fds = []


def make_cgroup(making: Making) -> None:
    """Make the cgroup in each hierarchy."""
    making.cgroup = group.make(making.parent, making.plan.cgroup)


def remove_cgroup(making: Making) -> None:
    """Remove what was made of the cgroup."""
    if making.cgroup is not None:
        group.remove(making.parent, making.cgroup)


def start_and_join(making: Making) -> None:
    """Start the puppet that will clone init, and have it join the namespaces that are given by path."""
    start_puppet(making)
    join.join_all(making.stage, making.namespaces.joins, making.namespace_fds)
    making.stage.flush()


def start_puppet(making: Making) -> None:
    """Start the puppet that will clone the process."""
    program_fd = puppet.sealed_program()
    try:
        started = puppet.start(program_fd, making.stdio)
    finally:
        close_quietly(program_fd)
    making.adopt(started)
    if os.geteuid() == 0:  # nobody else could write its id maps then
        making.stage.do(process.prctl(process.PR_SET_DUMPABLE, 0))


def enter_cgroup(making: Making) -> None:
    """Have the puppet enter the cgroups of v1 by itself.

    Its clone is born in them, and in that of v2 directly.
    """
    if making.cgroup is not None:
        group.enter_self(making.parent, making.stage, making.cgroup)


def stop_puppet(making: Making) -> None:
    """End the puppet and reap it."""
    if making.stage_pid:
        making.stage.hang_up()
        os.waitpid(making.stage_pid, 0)
        making.stage_pid = 0


def clone_init(making: Making) -> None:
    """Clone init with its new namespaces, as a child of the runtime."""
    later = process.CLONE_NEWCGROUP  # its root is the cgroup that the process is in when it is made
    making.stage.subject = "clone init"
    clone(making, making.namespaces.new & ~later)
    close_namespaces(making)
    making.namespaces = userns.with_maps(making.proc, making.pid, making.namespaces)
    verify.check_mapped(making.process.identity, making.namespaces)


def clone(making: Making, flags: int, *, beside: int = 0) -> None:
    """Have the puppet clone the process, and end.

    `beside`: a process whose cgroup of v2 it is to be born in.
    """
    flags |= process.CLONE_PARENT
    with group.birthplace(making.cgroup, making.parent, beside=beside) as cgroup_fd:
        call = process.clone3(flags, channel=puppet.CHILD_CHANNEL, exit_signal=0)
        if cgroup_fd is not None:
            flags |= process.CLONE_INTO_CGROUP
            cgroup = Passed(cgroup_fd)
            call = process.clone3(flags, channel=puppet.CHILD_CHANNEL, exit_signal=0, cgroup=cgroup)
        pid = making.stage.do(call)
        making.stage.flush()
    making.pid = number_of(pid)
    # Its copies of what was passed with the batch in the middle of which it was born: a cgroup, a process.
    making.init.do(files.close_range(puppet.CHILD_CHANNEL + 1))
    stop_puppet(making)


def kill_init(making: Making) -> None:
    """Kill init, and with it the pid namespace, and reap it."""
    if making.pid:
        with suppress(ProcessLookupError):
            os.kill(making.pid, signal.SIGKILL)  # our own child, not reaped yet: the id is still its
        os.waitpid(making.pid, 0)


def limit_cgroup(making: Making) -> None:
    """Write the limits."""
    if making.cgroup is not None:
        group.limit(making.parent, making.cgroup, making.plan.cgroup)


def write_id_maps(making: Making) -> None:
    """Give init's user namespace its maps."""
    userns.write_maps(making.parent, making.proc, making.pid, making.namespaces)


def become_root(making: Making) -> None:
    """Have init become root of its user namespace."""
    userns.become_root(making.init)


def settle_in(making: Making) -> None:
    """Have init shut the door behind it.

    Own session, nothing open but stdio, what is to be preserved, its channel.
    """
    x, count = making.init, making.process.preserve_fds
    for signal_number in _LIBC_SIGNALS:
        x.do(process.default_action(signal_number))
    x.do(process.setsid())
    x.do(files.close(puppet.CHANNEL))
    x.move_channel(max(_FREE_FD, 3 + count))
    if not count:
        return
    # In batches of their own: the descriptors that come with one have numbers that the program's may need.
    kept: list[Value] = []
    for fd in range(3, 3 + count):
        kept.append(x.do(files.dup_above(Passed(fd), max(_FREE_FD, 3 + count))))
        if len(kept) % _PASSED_AT_ONCE == 0:
            x.flush()
    x.flush()
    for target, copy in enumerate(kept, start=3):
        x.do(files.dup3(copy, target))
        x.do(files.close(copy))
    x.flush()


def hide_memory(making: Making) -> None:
    """Have init become undumpable.

    Nobody but root can trace it or read its memory until it runs the program.
    """
    making.init.do(process.prctl(process.PR_SET_DUMPABLE, 0))


def new_cgroup_namespace(making: Making) -> None:
    """Give init a cgroup namespace whose root is the cgroup that it is in."""
    making.init.do(process.unshare(process.CLONE_NEWCGROUP))


def loopback_up(making: Making) -> None:
    """Bring the new network namespace's loopback interface up."""
    network.loopback_up(making.init)
