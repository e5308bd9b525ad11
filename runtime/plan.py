"""From a checked configuration to a plan: everything that can be decided before anything is made.

A step only carries out. So a mistake in a configuration is told before there is something to undo, and the
order of the steps can be read without the details of what each writes where.

Source: runtime-spec, config.md and config-linux.md.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import ConfigError, Problem
from holdfast.protocol.oci.check import check
from holdfast.runtime.cgroups.plan import CgroupPlan, plan_cgroup
from holdfast.runtime.mounts.cgroup import hierarchies_of
from holdfast.runtime.mounts.plan import MountsPlan, plan_mounts
from holdfast.runtime.namespaces.plan import NamespacesPlan, plan_namespaces
from holdfast.runtime.process import environ
from holdfast.runtime.process.capabilities import ALL, CAP_MKNOD, plan_capabilities
from holdfast.runtime.process.limits import Limit, plan_limits
from holdfast.runtime.process.user import Identity
from holdfast.runtime.seccomp.profile import Filter, compile_profile

if TYPE_CHECKING:
    from holdfast.protocol.oci import config
    from holdfast.runtime.cgroups import detect
    from holdfast.runtime.seccomp.cache import Cache

_DEFAULT_UMASK = 0o022


class ProcessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a process is set up before it becomes the user's program: init, or one that joins a container."""

    argv: tuple[bytes, ...]
    environment: tuple[bytes, ...]
    cwd: bytes
    identity: Identity
    held: int
    """The capabilities that the process has until it becomes the user, as a mask."""
    no_new_privileges: bool
    limits: tuple[Limit, ...]
    oom_score: int | None
    terminal: bool
    size: tuple[int, int]
    """Rows and columns of the terminal."""
    filter: Filter | None
    keyring: bytes | None
    """The name of the session keyring to begin, or to join."""
    preserve_fds: int
    """How many descriptors from 3 on the program gets."""
    listens: bool = False
    """Whether they begin with sockets of socket activation, which are announced by the program's pid."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that is decided of a container to be made."""

    id: str
    root: bytes
    bundle: bytes
    config: config.Config
    snapshot: bytes
    """The configuration's own bytes, kept with the container."""
    namespaces: NamespacesPlan
    mounts: MountsPlan
    cgroup: CgroupPlan
    process: ProcessPlan
    no_pivot: bool


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line adds to a configuration."""

    preserve_fds: int = 0
    listen_fds: int = 0
    """How many sockets of socket activation come before those. Source: sd_listen_fds(3)."""
    listen_names: str = ""
    no_pivot: bool = False
    no_new_keyring: bool = False


def make_plan(
    parsed: config.Config,
    snapshot: bytes,
    *,
    container_id: str,
    root: bytes,
    bundle: bytes,
    options: Options,
    host: detect.Host,
    held: int,
    cache: Cache | None = None,
) -> Plan:
    """Decide everything. Raises ConfigError.

    held: the mask of capabilities that the runtime itself has. host: the cgroup hierarchies there are.
    cache: where compiled seccomp profiles are kept.
    """
    problems = [*check(parsed), *_not_yet(parsed)]
    if problems:
        raise ConfigError(problems)
    if parsed.process is None:
        raise ConfigError([Problem("process", None, "a process to run")])
    namespaces = plan_namespaces(parsed.linux)
    cgroup = plan_cgroup(parsed, container_id, host)
    in_userns = namespaces.has("user")
    return Plan(
        id=container_id,
        root=root,
        bundle=bundle,
        config=parsed,
        snapshot=snapshot,
        namespaces=namespaces,
        mounts=plan_mounts(
            parsed,
            bundle,
            namespaces,
            hierarchies=hierarchies_of(host, cgroup.places),
            can_make_nodes=bool(held >> CAP_MKNOD & 1),
        ),
        cgroup=cgroup,
        process=plan_process(
            parsed.process,
            seccomp=parsed.linux.seccomp,
            held=ALL if in_userns else held,
            keyring=None if options.no_new_keyring else keyring_name(container_id),
            preserve_fds=options.preserve_fds,
            listen_fds=options.listen_fds,
            listen_names=options.listen_names,
            cache=cache,
        ),
        no_pivot=options.no_pivot,
    )


def plan_process(
    process: config.Process,
    *,
    seccomp: config.Seccomp | None,
    held: int,
    keyring: bytes | None,
    preserve_fds: int,
    listen_fds: int = 0,
    listen_names: str = "",
    cache: Cache | None = None,
) -> ProcessPlan:
    """Decide how a process is set up. Raises ConfigError."""
    user, size = process.user, process.console_size
    return ProcessPlan(
        argv=tuple(os.fsencode(arg) for arg in process.args),
        environment=environ.plan_environment(process.env, listen_fds, listen_names),
        cwd=os.fsencode(process.cwd),
        identity=Identity(
            uid=user.uid,
            gid=user.gid,
            groups=user.additional_gids,
            umask=_DEFAULT_UMASK if user.umask is None else user.umask,
            capabilities=plan_capabilities(process.capabilities, held),
        ),
        held=held,
        no_new_privileges=process.no_new_privileges,
        limits=plan_limits(process.rlimits),
        oom_score=process.oom_score_adj,
        terminal=process.terminal,
        size=(size.height, size.width) if size else (0, 0),
        filter=compile_profile(seccomp, cache) if seccomp else None,
        keyring=keyring,
        preserve_fds=preserve_fds + listen_fds,
        listens=bool(listen_fds),
    )


def keyring_name(container_id: str) -> bytes:
    """Return the name of a container's session keyring, which its exec processes join."""
    return b"_ses." + container_id.encode()


def not_yet_of_process(process: config.Process) -> list[Problem]:
    """Name what is asked of a process and this version cannot do. Left out silently it would be a lie."""
    return _as_problems(
        {
            "process.apparmorProfile": process.apparmor_profile,
            "process.selinuxLabel": process.selinux_label,
            "process.scheduler": process.scheduler,
            "process.ioPriority": process.io_priority,
            "process.execCPUAffinity.initial": process.exec_cpu_affinity.initial,
            "process.execCPUAffinity.final": process.exec_cpu_affinity.final,
        }
    )


def _as_problems(asked: dict[str, object]) -> list[Problem]:
    return [Problem(field, value, "nothing, in this version") for field, value in asked.items() if value]


def _not_yet(parsed: config.Config) -> list[Problem]:
    """Name what the configuration asks for and this version cannot do."""
    linux = parsed.linux
    asked: dict[str, object] = {
        "hooks": any(getattr(parsed.hooks, name) for name in parsed.hooks.__struct_fields__),
        "linux.personality": linux.personality,
        "linux.intelRdt": linux.intel_rdt,
        "linux.memoryPolicy": linux.memory_policy,
        "linux.netDevices": linux.net_devices,
        "linux.namespaces of type mount with a path": any(
            one.type == "mount" and one.path for one in linux.namespaces
        ),
        "linux.timeOffsets": linux.time_offsets,
        "linux.mountLabel": linux.mount_label,
        "linux.seccomp.listenerPath": linux.seccomp and linux.seccomp.listener_path,
    }
    of_process = not_yet_of_process(parsed.process) if parsed.process else []
    return [*_as_problems(asked), *of_process]
