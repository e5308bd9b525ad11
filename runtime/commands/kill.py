"""kill: send a signal to a container's init, or to all of its processes.

Source: runtime-spec, runtime.md "Kill"; pidfd_send_signal(2).
"""

from __future__ import annotations

import errno
import os
import signal as signals

from holdfast.protocol import errors
from holdfast.runtime.cgroups import kill as cgroup_kill
from holdfast.runtime.container import Container, open_container
from holdfast.runtime.sys import process
from holdfast.runtime.sys.call import CallFailed
from holdfast.runtime.sys.executor import here


def kill(root: bytes, container_id: str, signal: int, *, every: bool = False) -> None:
    """Send a signal by its number.

    every: to all processes of the container's cgroup; then it is no error that the container has ended.
    Raises HoldfastError: no such container, or it is not running.
    """
    with open_container(root, container_id) as container:
        cgroup = container.record.cgroup
        if every and cgroup is not None:
            cgroup_kill.signal_all(here, cgroup, signal)
            return
        if not send(container, signal):
            raise errors.not_running(container_id)
        if signal == signals.SIGKILL and cgroup is not None and not container.record.namespaces.has("pid"):
            # Nobody else takes init's children along.
            cgroup_kill.signal_all(here, cgroup, signal)


def send(container: Container, signal: int) -> bool:
    """Send a signal to init. Returns False if init is gone."""
    pidfd = container.pidfd()
    if pidfd is None:
        return False
    try:
        here.do(process.pidfd_send_signal(pidfd, signal))
    except CallFailed as error:
        if error.errno == errno.ESRCH:
            return False
        raise
    finally:
        os.close(pidfd)
    if signal == signals.SIGKILL and container.record.cgroup is not None:
        cgroup_kill.thaw(here, container.record.cgroup)  # on cgroup v1 a frozen process does not die
    return True
