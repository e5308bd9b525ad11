"""From what a person asked for to a config.json, in the types of the runtime-spec: valid as it stands.

What is not asked for is as Docker has it: every namespace but the user's, fourteen capabilities, a
seccomp filter, the kernel's tell-tale files masked. Two things are stricter: there is no network
but the container's own loopback, and volumes are mounted nosuid and nodev.

Sources: runtime-spec, config.md and config-linux.md; Docker's documentation of `run`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol import passwd
from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.protocol.oci.config import (
    Config,
    ConsoleSize,
    Linux,
    Mount,
    Namespace,
    Process,
    Root,
    Seccomp,
    User,
)
from holdfast.protocol.oci.state import OCI_VERSION
from holdfast.runtime.paths import Rootfs
from holdfast.runtime.seccomp.default import default_seccomp
from holdfast.runtime.sys.executor import here
from holdfast.shim.bundle import environment, limits, mounts
from holdfast.shim.bundle.capabilities import as_sets, chosen_capabilities
from holdfast.shim.bundle.wishes import HOST, NO_NETWORK, PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from holdfast.shim.bundle.wishes import Wishes


_PROFILE_MAX = 1 << 20

_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
"""What tells of the machine or of other containers, or lets it be attacked from the side."""

_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
"""What would change the machine."""


class Files:
    """The container's file tree, as far as the configuration depends on it."""

    def __init__(
        self, *, path: str, fd: int, extra_mounts: tuple[Mount, ...] = (), hidden: Iterable[str] = ()
    ) -> None:
        """Name the tree.

        path: absolute. fd: the same, open; it belongs to the caller. extra_mounts: what comes
        before the mounts that were asked for. hidden: paths that are to be masked besides the usual
        ones.
        """
        self.path = path
        self.extra_mounts = extra_mounts
        self.hidden = tuple(hidden)
        self._rootfs = Rootfs(here, fd)

    def read(self, path: bytes, limit: int) -> bytes:
        """Return the beginning of a file in the tree; empty if there is no such regular file."""
        return self._rootfs.read_file(path, limit)


def make_config(
    wishes: Wishes, files: Files, *, hostname: str, own: Mapping[str, str], size: tuple[int, int] | None
) -> Config:
    """Return the configuration of a container.

    own: the caller's environment. size: rows and columns of the caller's terminal.
    Raises HoldfastError naming the flag that cannot be carried out.
    """
    asked_mounts = mounts.wished_mounts(wishes)
    devices, rules = limits.devices(wishes.device)
    capabilities = chosen_capabilities(wishes.cap_add, wishes.cap_drop)
    security = _Security(wishes.security_opt, capabilities)
    return Config(
        oci_version=OCI_VERSION,
        root=Root(path=files.path, readonly=wishes.read_only),
        hostname="" if wishes.uts == HOST else hostname,
        mounts=(
            *mounts.without((*mounts.default_mounts(wishes.shm_size), *files.extra_mounts), asked_mounts),
            *asked_mounts,
        ),
        process=Process(
            terminal=wishes.tty,
            console_size=_console_size(size) if wishes.tty else None,
            args=command_of(wishes),
            cwd=_workdir(wishes.workdir),
            env=_env(wishes, hostname, own),
            user=_user(wishes, files),
            capabilities=as_sets(capabilities),
            no_new_privileges=security.no_new_privileges,
            rlimits=limits.rlimits(wishes.ulimit),
            oom_score_adj=wishes.oom_score_adj,
        ),
        linux=Linux(
            namespaces=tuple(_namespaces(wishes)),
            devices=devices,
            resources=limits.resources(wishes, rules),
            cgroups_path=_cgroups_path(wishes.cgroup_parent),
            sysctl=_pairs("--sysctl", wishes.sysctl),
            seccomp=security.seccomp,
            masked_paths=(*security.masked, *files.hidden),
            readonly_paths=security.read_only,
        ),
        annotations=_pairs("--annotation", wishes.annotation),
    )


def command_of(wishes: Wishes) -> tuple[str, ...]:
    """Return program and arguments. Raises HoldfastError if there are none."""
    command = (*([wishes.entrypoint] if wishes.entrypoint else []), *wishes.operands)
    if not command:
        raise HoldfastError('run: COMMAND is missing; see "holdfast run --help"')
    return command


def encode(value: Config | Process) -> bytes:
    """Return the content of config.json, or a process of one.

    Raises HoldfastError for text that JSON cannot hold.
    """
    try:
        return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    except UnicodeEncodeError as error:
        raise HoldfastError(
            f"{quoted(error.object)}: is not UTF-8; allowed: UTF-8, since config.json can hold nothing else"
        ) from None


def read_user(text: str, files: Files, extra_groups: Iterable[str] = ()) -> User:
    """Find a user in the container's own files. Raises HoldfastError."""
    identity = passwd.resolve_user(
        text, files.read(b"etc/passwd", passwd.FILE_MAX), files.read(b"etc/group", passwd.FILE_MAX)
    )
    more = [passwd.resolve_group(name, files.read(b"etc/group", passwd.FILE_MAX)) for name in extra_groups]
    groups = tuple(dict.fromkeys((*identity.groups, *more)))
    return User(uid=identity.uid, gid=identity.gid, additional_gids=groups)


def _user(wishes: Wishes, files: Files) -> User:
    user = read_user(wishes.user, files, wishes.group_add)
    return user if wishes.umask is None else msgspec.structs.replace(user, umask=wishes.umask)


def _console_size(size: tuple[int, int] | None) -> ConsoleSize | None:
    return None if size is None else ConsoleSize(height=size[0], width=size[1])


def _workdir(path: str) -> str:
    if path and not path.startswith("/"):
        raise HoldfastError(f"--workdir {quoted(path)}: is not an absolute path")
    return path or "/"


def _env(wishes: Wishes, hostname: str, own: Mapping[str, str]) -> tuple[str, ...]:
    found = environment.defaults(hostname, terminal=wishes.tty)
    found |= environment.wished(wishes.env, wishes.env_file, own)
    return tuple(f"{name}={value}" for name, value in found.items())


def _namespaces(wishes: Wishes) -> Iterable[Namespace]:
    yield Namespace(type="mount")
    for kind, flag, value in (
        ("pid", "--pid", wishes.pid),
        ("ipc", "--ipc", wishes.ipc),
        ("uts", "--uts", wishes.uts),
        ("cgroup", "--cgroupns", wishes.cgroupns),
    ):
        if value not in (HOST, PRIVATE):
            raise HoldfastError(f"{flag}: {quoted(value)} is not a namespace; allowed: {HOST}, {PRIVATE}")
        if value == PRIVATE:
            yield Namespace(type=kind)
    if wishes.network.startswith("ns:"):
        yield Namespace(type="network", path=wishes.network.removeprefix("ns:"))
    elif wishes.network == NO_NETWORK:
        yield Namespace(type="network")
    elif wishes.network != HOST:
        allowed = f"{NO_NETWORK}, {HOST}, ns:PATH"
        raise HoldfastError(f"--network: {quoted(wishes.network)} is not a network; allowed: {allowed}")


def _cgroups_path(parent: str) -> str:
    if parent and (not parent.startswith("/") or ".." in parent.split("/")):
        raise HoldfastError(f"--cgroup-parent {quoted(parent)}: is not an absolute path without ..")
    return parent


def _pairs(flag: str, entries: Iterable[str]) -> dict[str, str]:
    found = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not key or not equals:
            raise HoldfastError(f"{flag} {quoted(entry)}: is not KEY=VALUE")
        found[key] = value
    return found


class _Security:
    """What `--security-opt` makes of the defaults."""

    def __init__(self, options: Iterable[str], capabilities: frozenset[str]) -> None:
        self.no_new_privileges = False
        self.seccomp: Seccomp | None = None
        self.masked: tuple[str, ...] = _MASKED
        self.read_only: tuple[str, ...] = _READ_ONLY
        profile = ""
        for option in options:
            key, _, value = option.partition("=" if "=" in option else ":")
            match key:
                case "no-new-privileges" if value in ("", "true", "false"):
                    self.no_new_privileges = value != "false"
                case "seccomp" if value:
                    profile = value
                case "mask" if value:
                    self.masked += tuple(value.split(":"))
                case "unmask" if value:
                    self._unmask(value)
                case "apparmor" if value == "unconfined":
                    pass  # no profile is set in any case
                case "label" if value == "disable":
                    pass  # no label is set in any case
                case _:
                    allowed = "no-new-privileges, seccomp=unconfined|FILE, mask=PATH, unmask=ALL|PATH"
                    raise HoldfastError(
                        f"--security-opt {quoted(option)}: is not supported; allowed: {allowed}"
                    )
        if profile != "unconfined":
            self.seccomp = (
                read_profile(profile) if profile else default_seccomp(capabilities, os.uname().machine)
            )

    def _unmask(self, value: str) -> None:
        paths = (*_MASKED, *_READ_ONLY) if value == "ALL" else tuple(value.split(":"))
        self.masked = tuple(path for path in self.masked if path not in paths)
        self.read_only = tuple(path for path in self.read_only if path not in paths)


def read_profile(path: str) -> Seccomp:
    """Read a seccomp profile: a file with what stands at linux.seccomp in a config.json.

    Raises HoldfastError.
    """
    what = f"--security-opt seccomp={quoted(path)}"
    try:
        with open(path, "rb") as file:
            content = file.read(_PROFILE_MAX + 1)
    except OSError as error:
        raise HoldfastError(f"{what}: {error.strerror}") from None
    if len(content) > _PROFILE_MAX:
        raise HoldfastError(f"{what}: more than {_PROFILE_MAX} bytes")
    try:
        if any(rule.conditions() for rule in msgspec.json.decode(content, type=_DockerProfile).syscalls):
            # Read without their conditions such rules would allow more than the profile means.
            raise HoldfastError(
                f"{what}: has Docker's includes or excludes; allowed: linux.seccomp of a config.json"
            )
        return msgspec.json.decode(content, type=Seccomp)
    except msgspec.MsgspecError as error:
        raise HoldfastError(f"{what}: {error}") from None


class _DockerRule(msgspec.Struct):
    includes: dict[str, object] | None = None
    excludes: dict[str, object] | None = None

    def conditions(self) -> bool:
        return bool(self.includes or self.excludes)


class _DockerProfile(msgspec.Struct):
    syscalls: list[_DockerRule] = []
