"""Steps at the end: init becomes the user, reports, and waits for `start` before it runs the user's program.

From the moment on that a seccomp filter is loaded nothing can be relied on but what the filter lets through.
So all that init has left to do goes out as one batch, which runs through to the execve; it reports on its
way, and waits in the middle of it. `start` connects to the socket, and if a call fails from there on, it is
`start` that gets the answer; if the execve succeeds the connection closes, since all descriptors are
close-on-exec.

Sources: seccomp(2), prctl(2) PR_SET_NO_NEW_PRIVS, execve(2), accept(2).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.container import START_SOCKET
from holdfast.runtime.process import limits, user, verify
from holdfast.runtime.puppet.puppet import READY
from holdfast.runtime.sys import files, process, sockets
from holdfast.runtime.sys.call import Passed
from holdfast.runtime.sys.executor import close_quietly

if TYPE_CHECKING:
    from holdfast.runtime.making import Making


def forbid_new_privileges(making: Making) -> None:
    """Forbid gaining privileges by exec, for good."""
    making.init.do(process.prctl(process.PR_SET_NO_NEW_PRIVS, 1))


def load_filter(making: Making) -> None:
    """Put init under the seccomp filter."""
    chosen = making.process.filter
    if chosen is not None:
        making.init.hold()
        making.init.subject = "linux.seccomp: load the filter"
        making.init.do(process.seccomp_load(chosen.program, chosen.flags))
        making.init.subject = ""


def drop_to_user(making: Making) -> None:
    """Have init become the user, with the user's capabilities and umask."""
    making.init.do(files.umask(making.process.identity.umask))
    user.drop(making.init, making.process.identity)


def park(making: Making) -> None:
    """Have init report, wait for `start`, shut what is open, and become the program.

    Returns when it has reported.
    """
    x = making.init
    listener_fd = making.parent.do(sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM))
    try:
        _listen(making, listener_fd)
        x.do(sockets.sendto(x.channel, READY))
        x.do(sockets.accept4(Passed(listener_fd), becomes_channel=True))
        become_program(making)
        making.record.program = os.fsdecode(making.process.argv[0])
        making.record.after_start = x.run_through()
    finally:
        close_quietly(listener_fd)


def _listen(making: Making, listener_fd: int) -> None:
    """Give the start socket its name, in the state directory, which only the owner can enter."""
    x = making.parent
    x.subject = "make the start socket"
    # Bound through the descriptor, since the path may be longer than a socket's address can be.
    x.do(sockets.bind_unix(listener_fd, b"/proc/self/fd/%d/%s" % (making.state_fd, START_SOCKET)))
    x.do(sockets.listen(listener_fd, 1))
    x.subject = ""


def become_program(making: Making) -> None:
    """Have the process run the user's program, with nothing open that it should not have."""
    x, plan = making.init, making.process
    x.do(files.close_range(3 + plan.preserve_fds, on_exec=True))
    if plan.no_new_privileges:
        load_filter(making)
    x.subject = f'exec "{os.fsdecode(plan.argv[0])}"'
    x.do(process.execve(making.program, plan.argv, making.environment))
    x.subject = ""


def set_limits(making: Making) -> None:
    """Set the resource limits of the parked init."""
    limits.apply(making.parent, making.pid, making.process.limits)


def set_oom_score(making: Making) -> None:
    """Tell the OOM killer about init."""
    score = making.process.oom_score
    if score is not None:
        limits.set_oom_score(making.parent, making.proc, making.pid, score)


def check_identity(making: Making) -> None:
    """Ask the kernel, from outside, who the parked init has become, and compare that with the plan.

    Raises HoldfastError naming what differs. It would be a mistake of ours; better no container than one
    with other rights than it was given.
    """
    status = making.proc.read(b"%d/status" % making.pid)
    wrong = verify.differences(status, making.process, making.namespaces)
    if wrong:
        raise HoldfastError(f"check who init has become: {wrong[0]}")
