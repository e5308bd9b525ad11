"""Signals to all processes of a container.

Who is in a cgroup changes while one looks. To kill, v2 has a file that does it at once, forks included; else
the cgroup is frozen first, so that nothing is forked, and each process is killed. For other signals the list
is read until nobody new turns up.

A process id from such a list may be another process's a moment later. So a descriptor is opened for it, and
the list is read again: whoever still has that id in the cgroup while the descriptor's process lives, is that
process.

Sources: the kernel's admin-guide/cgroup-v2.rst, "cgroup.kill"; pidfd_open(2); pidfd_send_signal(2).
"""

from __future__ import annotations

import signal as signals
from typing import TYPE_CHECKING

from holdfast.runtime.cgroups import freezer, tree
from holdfast.runtime.cgroups.place import opened
from holdfast.runtime.sys import files, process
from holdfast.runtime.sys.call import ACCEPT_ANY, CallFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.runtime.cgroups.place import Cgroup
    from holdfast.runtime.sys.executor import Here

_ROUNDS_MAX = 64
_AT_A_TIME = 128
"""How many descriptors of processes are open at once."""


def signal_all(x: Here, cgroup: Cgroup, signal: int) -> None:
    """Send a signal to each process of the container. That there is none is fine."""
    if signal == signals.SIGKILL:
        kill_all(x, cgroup)
        return
    told: set[int] = set()
    for _ in range(_ROUNDS_MAX):
        new = processes(x, cgroup) - told
        if not new:
            return
        _send(x, cgroup, new, signal)
        told |= new


def kill_all(x: Here, cgroup: Cgroup) -> None:
    """Kill each process of the container; they may still be dying on return."""
    if _kill_at_once(x, cgroup):
        # Whoever is in a cgroup of v1 without being in that of v2 was put there by somebody else.
        _send(x, cgroup, processes(x, cgroup), signals.SIGKILL)
        thaw(x, cgroup)
        return
    if not processes(x, cgroup):
        return
    freezer.hold(x, cgroup)
    try:
        _send(x, cgroup, processes(x, cgroup), signals.SIGKILL)
    finally:
        freezer.resume(x, cgroup)
        thaw(x, cgroup)


def thaw(x: Here, cgroup: Cgroup) -> None:
    """Let killed processes die that cgroup v1 has frozen."""
    freezer.thaw_all(x, cgroup)


def processes(x: Here, cgroup: Cgroup) -> set[int]:
    """Return the processes of the container, as far as our pid namespace sees them."""
    found: set[int] = set()
    for place in cgroup.places:
        with opened(x, place) as top:
            if top is not None:
                for fd in tree.walk(x, top):
                    found.update(tree.processes(x, fd))
    return found


def _kill_at_once(x: Here, cgroup: Cgroup) -> bool:
    """Have the kernel kill all of them. Returns False where it cannot."""
    if cgroup.unified is None:
        return False
    with opened(x, cgroup.unified) as fd:
        try:
            return fd is not None and tree.write(x, fd, b"cgroup.kill", b"1")
        except CallFailed:
            return False  # of a threaded cgroup, for instance


def _send(x: Here, cgroup: Cgroup, pids: Iterable[int], signal: int) -> None:
    waiting = list(pids)
    while waiting:
        some, waiting = waiting[:_AT_A_TIME], waiting[_AT_A_TIME:]
        # Fails for a process that is gone, and for a thread that is none: a threaded cgroup lists those.
        opened_fds = {pid: x.do(process.pidfd_open(pid).accepting(ACCEPT_ANY)) for pid in some}
        try:
            still_there = processes(x, cgroup)
            for pid, fd in opened_fds.items():
                if fd >= 0 and pid in still_there:
                    x.do(process.pidfd_send_signal(fd, signal).accepting(ACCEPT_ANY))
        finally:
            for fd in opened_fds.values():
                if fd >= 0:
                    x.do(files.close(fd))
