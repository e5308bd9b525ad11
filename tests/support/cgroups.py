"""Makes configurations for cgroups, real cgroups, and processes to put into them."""

from __future__ import annotations

import json
import os
import secrets
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.protocol.oci.config import Config, parse_config
from holdfast.runtime.cgroups import group
from holdfast.runtime.cgroups.detect import Host, detect
from holdfast.runtime.cgroups.plan import CgroupPlan, plan_cgroup
from holdfast.runtime.sys import process as processes
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdfast.runtime.cgroups.place import Cgroup, Place

HOST = detect(here)
"""What this machine has."""

PREFIX = "holdfast-test-"


def new_name() -> str:
    """Return a name that no other test has for its cgroup."""
    return PREFIX + secrets.token_hex(8)


def config(
    path: str = "",
    resources: dict[str, Any] | None = None,
    *,
    mounts: Sequence[dict[str, Any]] = (),
    uid: int = 0,
    **linux: Any,  # noqa: ANN401  # JSON
) -> Config:
    """Return a configuration with this cgroupsPath and these resources, as they stand in config.json."""
    content = {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["true"], "user": {"uid": uid, "gid": 0}},
        "mounts": mounts,
        "linux": {"cgroupsPath": path, "resources": resources or {}, **linux},
    }
    return parse_config(json.dumps(content).encode())


def plan(path: str = "", resources: dict[str, Any] | None = None, host: Host = HOST) -> CgroupPlan:
    """Return the plan for a configuration with this cgroupsPath and these resources."""
    return plan_cgroup(config(path, resources), "some-id", host)


@contextmanager
def made(path: str, resources: dict[str, Any] | None = None) -> Iterator[Cgroup]:
    """Make a cgroup with its limits, and remove it with all that is in it."""
    planned = plan(path, resources)
    cgroup = group.make(here, planned)
    try:
        group.limit(here, cgroup, planned)
        yield cgroup
    finally:
        group.remove(here, cgroup)


def enter(cgroup: Cgroup, pid: int) -> None:
    """Put a process into the cgroup of each hierarchy."""
    for place in cgroup.places:
        (directory(place) / "cgroup.procs").write_text(str(pid))


def directory(place: Place) -> Path:
    """Return where a cgroup is."""
    return Path(place.mount, place.path)


def directories(name: str) -> list[Path]:
    """Return the cgroups of this name at the top of the hierarchies."""
    return [path for one in HOST.hierarchies if (path := Path(one.mount, name)).exists()]


@contextmanager
def process(work: Callable[[], object] = signal.pause) -> Iterator[int]:
    """Give the id of a new process that works, by default at nothing; in the end it is killed and reaped."""
    pid = os.fork()
    if not pid:
        here.do(processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL))
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def stop_self() -> None:
    """Stop this process until somebody lets it go."""
    os.kill(os.getpid(), signal.SIGSTOP)


def let_go(pid: int) -> None:
    """Let a child go on that stops itself first."""
    os.waitpid(pid, os.WUNTRACED)
    os.kill(pid, signal.SIGCONT)


class Finished:
    """How a process has ended (minus the signal, if it was killed), and the CPU time that it took."""

    def __init__(self, status: int, cpu_s: float) -> None:
        self.code = os.waitstatus_to_exitcode(status)
        self.cpu_s = cpu_s


def run_in(cgroup: Cgroup, work: Callable[[], int]) -> Finished:
    """Have a new process do some work in a cgroup, from its first act on; its exit code is the result."""
    waits, goes = os.pipe()
    pid = os.fork()
    if not pid:
        here.do(processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL))
        os.close(goes)
        os.read(waits, 1)
        code = 255
        try:
            code = work()
        finally:
            os._exit(code)
    os.close(waits)
    try:
        enter(cgroup, pid)
    finally:
        os.close(goes)
        _, status, usage = os.wait4(pid, 0)
    return Finished(status, usage.ru_utime + usage.ru_stime)
