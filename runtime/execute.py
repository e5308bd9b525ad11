"""Exec: one more process in a running container.

It goes the way of init from the namespaces on (the same steps serve both), but joins where init made.

Sources: setns(2), pidfd_open(2), cgroups(7); runtime-spec, config.md "Process".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol import errors
from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci.check import check_process
from holdfast.protocol.oci.config import Process, parse_config
from holdfast.runtime.commands.state import is_paused
from holdfast.runtime.container import open_container, read_config
from holdfast.runtime.create import carry_out
from holdfast.runtime.making import Making
from holdfast.runtime.plan import keyring_name, not_yet_of_process, plan_process
from holdfast.runtime.process.capabilities import ALL
from holdfast.runtime.process.own import held_capabilities
from holdfast.runtime.process.preserved import check_preserved
from holdfast.runtime.process.verify import check_mapped
from holdfast.runtime.seccomp.cache import cache_in
from holdfast.runtime.steps import JOIN, taken
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
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
    ignore_paused: bool = False
    """Whether to go on in a paused container: the process comes to life when the container does."""


def execute(request: ExecRequest, explain: Explain | None = None) -> int:
    """Run a process in a container; returns when it has become its program.

    It is a child of this process, and falls to the nearest subreaper when this process ends.
    Returns its pid. Raises HoldfastError or OSError; nothing is left behind then.
    """
    check_preserved(request.preserve_fds)
    problems = [*check_process(request.process), *not_yet_of_process(request.process)]
    if problems:
        raise errors.ConfigError(problems)
    if bool(request.process.terminal) != (request.console_fd is not None):
        raise HoldfastError("process.terminal: a terminal and a console socket go together")
    with open_container(request.root, request.id) as container:
        status, record = container.status(), container.record
        if status not in ("created", "running"):
            raise errors.cannot_exec(request.id, status)
        if not request.ignore_paused and is_paused(container):
            raise errors.cannot_exec(request.id, "paused")
        with cache_in(request.root) as cache:
            process = plan_process(
                request.process,
                seccomp=parse_config(read_config(container)).linux.seccomp,
                held=ALL if record.namespaces.has("user") else held_capabilities(here),
                keyring=keyring_name(request.id) if record.has_keyring else None,
                preserve_fds=request.preserve_fds,
                cache=cache,
            )
        check_mapped(process.identity, record.namespaces)
        making = Making(
            process,
            record.namespaces,
            stdio=request.stdio,
            console_fd=request.console_fd,
            pid_file=request.pid_file,
        )
        making.record, making.cgroup = record, record.cgroup
        pidfd = container.pidfd()
        if pidfd is None:
            raise errors.cannot_exec(request.id, "stopped")
        making.init_pidfd = pidfd
        try:
            carry_out(taken(JOIN, making), making, explain)
        finally:
            os.close(pidfd)
        return making.pid
