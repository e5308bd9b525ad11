"""Rules for `mounts`.

What a destination really is shows only inside the container's root, where a symbolic link may lead
elsewhere; the runtime asks `proc_problem` again about where it has come to.

Sources: runtime-spec, config.md "Mounts"; CVE-2019-16884, CVE-2019-19921 for what may be mounted below
/proc.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import Problem, quoted
from holdfast.protocol.oci import names
from holdfast.protocol.oci.rules.common import are_mappings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.protocol.oci.config import Config, Mount

PROC_FILES = (
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
)
"""What may be replaced below /proc: files that lxcfs and runtimes provide, of which no security depends."""


def problems(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the mounts of a configuration."""
    has_userns = any(namespace.type == "user" for namespace in config.linux.namespaces)
    for i, mount in enumerate(config.mounts):
        field = f"mounts[{i}]"
        yield from _destination(field, mount)
        yield from _source(field, mount)
        yield from _id_mappings(field, mount, has_userns=has_userns)


def _destination(field: str, mount: Mount) -> Iterator[Problem]:
    path = cleaned(mount.destination)
    if path == "/" and "remount" not in mount.options:
        allowed = "a place inside the container's root"
        yield Problem(f"{field}.destination", mount.destination, allowed, "is the container's root")
    problem = proc_problem(field, path, mount)
    if problem:
        yield problem


def cleaned(path: str) -> str:
    """Return a path from /, without `.`, `..` and empty parts, by its text alone."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return "/" + "/".join(parts)


def proc_problem(field: str, destination: str, mount: Mount) -> Problem | None:
    """Return what is wrong with a mount at or below /proc, if anything is.

    field: the mount's, `mounts[3]`. destination: inside the container, clean. On /proc itself a procfs may
    be, or a bind mount of one: whether its source is one the runtime must see.
    """
    if destination == "/proc" and not names.is_bind(mount.options) and mount.type != "proc":
        why = "cannot be mounted because it is not of type proc"
        return Problem(
            f"{field}.destination", mount.destination, "the type proc, or a bind mount of a procfs", why
        )
    if destination.startswith("/proc/") and destination not in PROC_FILES:
        why = "cannot be mounted because it is inside /proc"
        return Problem(f"{field}.destination", mount.destination, ", ".join(PROC_FILES), why)
    return None


def _source(field: str, mount: Mount) -> Iterator[Problem]:
    """Tell of a bind mount without a source, and of another one without a type."""
    if not names.is_bind(mount.options):
        if not mount.type and "remount" not in mount.options:
            yield Problem(f"{field}.type", None, "a filesystem, or the option bind or rbind")
        return
    if not mount.source:
        yield Problem(f"{field}.source", None, "a path to bind")
    for i, option in enumerate(mount.options):
        if names.is_filesystem_option(option):
            # The kernel would ignore it silently.
            why = "is an option of a filesystem"
            yield Problem(f"{field}.options[{i}]", option, "on a bind mount only options of mounts", why)


def _id_mappings(field: str, mount: Mount, *, has_userns: bool) -> Iterator[Problem]:
    asked = [option for option in mount.options if option in {"idmap", "ridmap"}]
    given = mount.uid_mappings or mount.gid_mappings
    if asked and not given and not has_userns:
        allowed = "with uidMappings and gidMappings, or a user namespace"
        yield Problem(f"{field}.options", asked[0], allowed, "has no mapping to use")
    if given and not (mount.uid_mappings and mount.gid_mappings):
        missing = "gidMappings" if mount.uid_mappings else "uidMappings"
        yield Problem(f"{field}.{missing}", None, "both mappings or neither")
    yield from are_mappings(f"{field}.uidMappings", mount.uid_mappings)
    yield from are_mappings(f"{field}.gidMappings", mount.gid_mappings)


def warnings(config: Config) -> Iterator[str]:
    """Yield what the spec calls deprecated."""
    for i, mount in enumerate(config.mounts):
        if not mount.destination.startswith("/"):
            destination = quoted(mount.destination)
            yield f"mounts[{i}].destination: {destination} is relative, which is deprecated; taken from /"
