"""Exec: one more process in a running container.

It goes the way of init from the namespaces on (the same steps serve both), but joins where init made.

Sources: setns(2), pidfd_open(2), cgroups(7); runtime-spec, config.md "Process".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol import errors
from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci.check import check_process
from holdfast.protocol.oci.config import Process, parse_config
from holdfast.runtime.container import open_container, read_config
from holdfast.runtime.create import carry_out
from holdfast.runtime.making import Making
from holdfast.runtime.plan import keyring_name, plan_process
from holdfast.runtime.process.capabilities import ALL
from holdfast.runtime.process.own import held_capabilities
from holdfast.runtime.setup import isolation, joining, parking, registry, session
from holdfast.runtime.step import INIT, PARENT, Step
from holdfast.runtime.steps import process_steps
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.runtime.explain import Explain


class ExecRequest(msgspec.Struct, kw_only=True):
    """What whoever wants a process in a container says."""

    root: bytes
    id: str
    process: Process
    stdio: tuple[int, int, int] = (0, 1, 2)
    console_fd: int | None = None
    pid_file: bytes | None = None
    preserve_fds: int = 0


def execute(request: ExecRequest, explain: Explain | None = None) -> int:
    """Run a process in a container; returns when it has become its program.

    It is a child of this process, and falls to the nearest subreaper when this process ends.
    Returns its pid. Raises HoldfastError or OSError; nothing is left behind then.
    """
    problems = check_process(request.process)
    if problems:
        raise errors.ConfigError(problems)
    if bool(request.process.terminal) != (request.console_fd is not None):
        raise HoldfastError("process.terminal: a terminal and a console socket go together")
    with open_container(request.root, request.id) as container:
        status, record = container.status(), container.record
        if status not in ("created", "running"):
            raise errors.cannot_exec(request.id, status)
        linux = parse_config(read_config(container)).linux
        process = plan_process(
            request.process,
            seccomp=linux.seccomp if linux else None,
            held=ALL if record.namespaces.has("user") else held_capabilities(here),
            keyring=keyring_name(request.id),
            preserve_fds=request.preserve_fds,
        )
        making = Making(
            process,
            record.namespaces,
            stdio=request.stdio,
            console_fd=request.console_fd,
            pid_file=request.pid_file,
        )
        making.record, making.cgroup = record, record.cgroup
        making.init_pidfd = container.pidfd()
        carry_out(join_steps(making), making, explain)
        return making.pid


def join_steps(making: Making) -> Iterator[Step]:
    """Yield the steps that take a checked process to its program, inside a container that runs."""
    yield Step(
        PARENT,
        "start a puppet in the container's cgroup",
        joining.start_puppet,
        undo=isolation.stop_puppet,
        why="The cgroup first: from here on the process is under the container's limits, and dies with it.",
        source="posix_spawn(3), memfd_create(2), cgroups(7)",
    )
    yield Step(
        PARENT,
        "join the container's namespaces and clone into them",
        joining.join_and_clone,
        undo=isolation.kill_init,
        why="All namespaces of init in one call, by a descriptor that can't come to mean another process. A clone, "
        "since a pid namespace takes only children. Undumpable before it joins, so that nobody inside can trace it.",
        source="setns(2), clone(2), ptrace(2)",
    )
    yield Step(
        INIT,
        "close what the process does not need and begin a session",
        isolation.settle_in,
        why="Nothing of the runtime's is open while the user's programs are around.",
        source="setsid(2), fcntl(2)",
    )
    if making.namespaces.has("user"):
        yield Step(
            INIT,
            "become root of the user namespace",
            isolation.become_root,
            why="So that what follows has the rights of the container's root.",
            source="user_namespaces(7), setresuid(2)",
        )
    yield Step(
        INIT,
        "join the session keyring",
        session.join_keyring,
        why="The container's, by its name; otherwise the process would have the caller's keys.",
        source="keyctl(2)",
    )
    if making.process.terminal:
        yield Step(
            INIT,
            "open the terminal",
            session.open_terminal,
            why="In the container's devpts, so that its name means something to the program.",
            source="pty(7), ioctl_tty(2)",
        )
    if making.process.oom_score is not None:
        yield Step(
            PARENT,
            "set the OOM score",
            parking.set_oom_score,
            why="From outside: lowering it takes a right that the process loses.",
            source="proc_pid_oom_score_adj(5)",
        )
    if making.process.limits:
        yield Step(
            PARENT,
            "set the resource limits",
            parking.set_limits,
            why="From outside: raising a hard limit takes a right that the process loses.",
            source="prlimit(2)",
        )
    yield from process_steps(making.process)
    yield Step(
        INIT,
        "become the program",
        joining.become,
        why="Everything else is done; if this fails its answer is the last thing that the puppet says.",
        source="execve(2), close_range(2)",
    )
    yield Step(
        PARENT,
        "write the pid file",
        registry.write_pid_file,
        why="The manager reads it when the runtime has ended.",
        source='conmon(8) "--container-pidfile"',
    )
