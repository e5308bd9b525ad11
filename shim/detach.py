"""Leaving the launcher's surroundings: what makes a process a shim, and what its runtime takes back of it.

A shim begins a session of its own, so that no terminal's hang-up and no signal to the launcher's process
group reaches it; becomes a subreaper, so that init and the container's orphans become its children; holds
nothing open of the launcher's but what it was given; and asks the kernel to kill others first when memory is
short. What its program is to be born with, the runtime's process undoes first: the OOM score is the
launcher's again, no signal is blocked.

Signals that are meant for init are blocked until there is somebody who relays them, so none is lost, and
they have a handler that does nothing, so none ends the shim, not even while it tidies up.

Sources: daemon(7); PR_SET_CHILD_SUBREAPER and PR_SET_PDEATHSIG of prctl(2); close_range(2);
proc_pid_oom_score_adj(5).
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from holdfast.runtime.sys import files
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Iterable

RELAYED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""What the shim passes on to init."""

_UMASK = 0o022
_IGNORED = (
    signal.SIGHUP,
    signal.SIGPIPE,
    signal.SIGTTOU,
    signal.SIGTTIN,
    signal.SIGTSTP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_OOM_SCORE = "/proc/self/oom_score_adj"
_NEVER = b"-1000"


def detach(kept: Iterable[int], title: str) -> bytes:
    """Leave the launcher's surroundings. To be called in a process that has just been forked.

    kept: descriptors that stay open. title: what ps shows; the launcher's arguments, which may hold secrets,
    are overwritten. Returns the launcher's OOM score, for `tie_to_shim`. Raises OSError.
    """
    import prctl  # noqa: PLC0415  # only a shim needs it

    os.setsid()
    prctl.set_child_subreaper(True)
    prctl.set_name("holdfast-shim")
    prctl.set_proctitle(title)
    os.umask(_UMASK)
    os.chdir("/")
    _settle_signals()
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in range(3):
        os.dup2(null_fd, fd)
    close_all_but(kept)
    return _set_oom_score(_NEVER)


def tie_to_shim(shim_pid: int, oom_score: bytes) -> None:
    """Make a child of the shim one that ends with it, and that its own children can be born of."""
    import prctl  # noqa: PLC0415  # see above

    # It is asked to end, not killed, so that it takes away what it has made.
    prctl.set_pdeathsig(signal.SIGTERM)
    if os.getppid() != shim_pid:  # the shim has died just before
        os.kill(os.getpid(), signal.SIGTERM)
    _set_oom_score(oom_score)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor from 3 on that is not to be kept, and keep those from programs that are run."""
    lowest = 3
    for fd in sorted(kept):
        os.set_inheritable(fd, False)  # noqa: FBT003  # its only parameter
        if fd > lowest:
            here.do(files.close_range(lowest, fd - 1))
        lowest = fd + 1
    here.do(files.close_range(lowest))


def _settle_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in RELAYED:
        signal.signal(number, _stay)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if ignored, statuses of children would be thrown away
    signal.pthread_sigmask(signal.SIG_SETMASK, RELAYED)


def _stay(_number: int, _frame: object) -> None:
    """Do nothing: what is asked of init is not asked of the shim."""


def _set_oom_score(score: bytes) -> bytes:
    """Set our own OOM score, if we may. Returns what it was."""
    fd = os.open(_OOM_SCORE, os.O_RDWR | os.O_CLOEXEC)
    try:
        before = os.read(fd, 16)
        try:
            os.write(fd, score)
        except PermissionError:  # to lower it takes CAP_SYS_RESOURCE
            return before
    finally:
        os.close(fd)
    return before
