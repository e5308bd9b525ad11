"""The mounts of a container: those that every Linux program expects, and those that were asked for.

Sources: runtime-spec, config-linux.md "Default Filesystems"; Docker's documentation of `-v`,
`--mount`, `--tmpfs`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.protocol.oci.config import Mount

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.shim.bundle.wishes import Wishes

_SHM = "/dev/shm"  # noqa: S108  # its place in the container
_SHM_SIZE = 64 << 20

_VOLUME_WORDS = (
    "ro rw bind rbind private rprivate slave rslave shared rshared suid nosuid dev nodev exec noexec"
)
_VOLUME_OPTIONS = frozenset(_VOLUME_WORDS.split())
_LABELS = frozenset(("z", "Z"))
_SELINUX = "/sys/fs/selinux/enforce"
_TMPFS_KEYS = frozenset(("size", "mode", "uid", "gid", "nr_inodes", "huge"))
_TMPFS_FLAGS = frozenset(("ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec"))


def default_mounts(shm_size: int | None) -> tuple[Mount, ...]:
    """Return what is mounted in every container. shm_size: of /dev/shm, in bytes."""
    confined = ("nosuid", "noexec", "nodev")
    shm = ("mode=1777", f"size={_SHM_SIZE if shm_size is None else shm_size}")
    pty = ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
    return (
        Mount(destination="/proc", type="proc", source="proc", options=confined),
        Mount(
            destination="/dev",
            type="tmpfs",
            source="tmpfs",
            options=("nosuid", "strictatime", "mode=755", "size=65536k"),
        ),
        Mount(destination="/dev/pts", type="devpts", source="devpts", options=("nosuid", "noexec", *pty)),
        Mount(destination="/dev/mqueue", type="mqueue", source="mqueue", options=confined),
        Mount(destination=_SHM, type="tmpfs", source="shm", options=(*confined, *shm)),
        Mount(destination="/sys", type="sysfs", source="sysfs", options=(*confined, "ro")),
        Mount(
            destination="/sys/fs/cgroup",
            type="cgroup",
            source="cgroup",
            options=(*confined, "relatime", "ro"),
        ),
    )


def wished_mounts(wishes: Wishes) -> tuple[Mount, ...]:
    """Return the mounts that were asked for, those higher up in the tree first. Raises HoldfastError."""
    mounts = [
        *(parse_volume(text) for text in wishes.volume),
        *(parse_mount(text) for text in wishes.mount),
        *(parse_tmpfs(text) for text in wishes.tmpfs),
    ]
    taken: set[str] = set()
    for mount in mounts:
        if mount.destination in taken:
            raise HoldfastError(f"mount on {quoted(mount.destination)}: is asked for twice")
        taken.add(mount.destination)
    return tuple(sorted(mounts, key=lambda mount: mount.destination.count("/")))


def without(defaults: Iterable[Mount], wished: Sequence[Mount]) -> tuple[Mount, ...]:
    """Return the defaults but those in whose place something was asked for."""
    taken = {mount.destination for mount in wished}
    return tuple(mount for mount in defaults if mount.destination not in taken)


def parse_volume(text: str) -> Mount:
    """Read `SRC:DST[:OPTION,...]`. Raises HoldfastError."""
    what = f"--volume {quoted(text)}"
    source, *rest = text.split(":")
    if not rest or len(rest) > 2:  # noqa: PLR2004  # destination, options
        raise HoldfastError(f"{what}: is not SRC:DST or SRC:DST:OPTIONS")
    options = [option for option in (rest[1].split(",") if rest[1:] else []) if option]
    unknown = [option for option in options if option not in _VOLUME_OPTIONS | _LABELS]
    if unknown:
        allowed = " ".join(sorted(_VOLUME_OPTIONS | _LABELS))
        raise HoldfastError(f"{what}: {quoted(unknown[0])} is not an option; allowed: {allowed}")
    if _LABELS.intersection(options) and os.path.exists(_SELINUX):
        raise HoldfastError(f"{what}: z and Z are for SELinux, which this version does not label for")
    named = [option for option in options if option in _VOLUME_OPTIONS]
    return _bind(what, source, rest[0], named)


def parse_mount(text: str) -> Mount:
    """Read `type=bind,src=SRC,dst=DST[,...]` or `type=tmpfs,dst=DST[,...]`. Raises HoldfastError."""
    what = f"--mount {quoted(text)}"
    values: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        key = _MOUNT_KEYS.get(key, "")
        if not key:
            raise HoldfastError(f"{what}: {quoted(part)} is not known; allowed: {' '.join(_MOUNT_KEYS)}")
        values[key] = value if equals else "true"
    kind = values.pop("type", "bind")
    destination = values.pop("destination", "")
    read_only = ["ro"] if values.pop("readonly", "false") in ("true", "1") else []
    if kind == "bind":
        propagation = [values.pop("propagation")] if "propagation" in values else []
        if propagation and propagation[0] not in _VOLUME_OPTIONS:
            raise HoldfastError(f"{what}: {quoted(propagation[0])} is not a propagation")
        mount = _bind(what, values.pop("source", ""), destination, read_only + propagation)
    elif kind == "tmpfs":
        data = [
            f"{key}={values.pop('tmpfs-' + key)}" for key in ("size", "mode") if "tmpfs-" + key in values
        ]
        mount = _tmpfs(what, destination, read_only + data)
    else:
        raise HoldfastError(f"{what}: {quoted(kind)} is not a type; allowed: bind, tmpfs")
    if values:
        raise HoldfastError(f"{what}: {min(values)} does not go with type {kind}")
    return mount


_MOUNT_KEYS = {
    "type": "type",
    "source": "source",
    "src": "source",
    "destination": "destination",
    "dst": "destination",
    "target": "destination",
    "readonly": "readonly",
    "ro": "readonly",
    "bind-propagation": "propagation",
    "tmpfs-size": "tmpfs-size",
    "tmpfs-mode": "tmpfs-mode",
}


def parse_tmpfs(text: str) -> Mount:
    """Read `DST[:OPTION,...]`. Raises HoldfastError."""
    destination, _, options = text.partition(":")
    return _tmpfs(
        f"--tmpfs {quoted(text)}", destination, [option for option in options.split(",") if option]
    )


def _tmpfs(what: str, destination: str, options: Sequence[str]) -> Mount:
    for option in options:
        key, equals, _ = option.partition("=")
        if option not in _TMPFS_FLAGS and not (equals and key in _TMPFS_KEYS):
            allowed = " ".join(sorted(_TMPFS_FLAGS) + sorted(key + "=" for key in _TMPFS_KEYS))
            raise HoldfastError(f"{what}: {quoted(option)} is not an option; allowed: {allowed}")
    return Mount(
        destination=_destination(what, destination),
        type="tmpfs",
        source="tmpfs",
        options=_merged(("nosuid", "nodev", "noexec"), options),
    )


def _bind(what: str, source: str, destination: str, options: Sequence[str]) -> Mount:
    if not source.startswith(("/", "./", "../")) and source not in (".", ".."):
        allowed = "an absolute path, or one that begins with ./ or ../"
        raise HoldfastError(f"{what}: source {quoted(source)} is not a path; allowed: {allowed}")
    source = os.path.abspath(source)
    try:
        os.stat(source)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a NUL byte in a path"
        raise HoldfastError(f"{what}: source {quoted(source)}: {reason}") from None
    return Mount(
        destination=_destination(what, destination),
        type="bind",
        source=source,
        options=_merged(("rbind", "rprivate", "nosuid", "nodev"), options),
    )


def _destination(what: str, path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise HoldfastError(f"{what}: destination {quoted(path)}: is not an absolute path")
    normal = "/" + os.path.normpath(path).lstrip("/")
    if normal == "/":
        raise HoldfastError(f"{what}: destination {quoted(path)}: is the container's root; see --rootfs")
    return normal


def _merged(defaults: Sequence[str], options: Sequence[str]) -> tuple[str, ...]:
    """Return the options, with those defaults that none of them contradicts."""
    named = {_MEANS.get(option, option) for option in options}
    return (*(default for default in defaults if _MEANS.get(default, default) not in named), *options)


_PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_MEANS = {
    **dict.fromkeys(_PROPAGATIONS, "propagation"),
    "bind": "rbind",
    "suid": "nosuid",
    "dev": "nodev",
    "exec": "noexec",
}
