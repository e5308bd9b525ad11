"""Where a container's cgroup lies: the meaning of `linux.cgroupsPath` for the cgroupfs driver.

- Absolute: below the mount point of each hierarchy.
- Relative, as for a runtime that itself runs in a container: on v1 below the cgroup that the runtime is in;
  on a machine with the unified hierarchy alone beside it, since a cgroup of v2 that has processes of its own
  (the runtime) cannot pass its controllers on to a cgroup below it.
- Empty: a relative path of one name, the container's id.

The path is made plain as text, before it is joined to anything, so a `..` in it cannot leave the place where
it starts; and nobody else gets to see it. What would be the top of a hierarchy is refused: all the machine's
processes are below it, and would be killed with the container.

Sources: runtime-spec, config-linux.md "Cgroups Path"; cgroups(7); the kernel's admin-guide/cgroup-v2.rst,
"No Internal Process Constraint".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import ConfigError, Problem

if TYPE_CHECKING:
    from holdfast.runtime.cgroups.detect import Hierarchy

FIELD = "linux.cgroupsPath"

_NAME_MAX = 255
_PATH_MAX = 4000
"""Bytes: the kernel's limit of 4096, less room for a mount point."""


def cgroup_path(text: str, container_id: str, hierarchy: Hierarchy, *, unified: bool) -> str:
    """Return the path of a container's cgroup below the mount point of a hierarchy.

    text: the configuration's path. unified: whether the machine has the unified hierarchy alone.
    Raises ConfigError for a path that cannot be one.
    """
    names = plain(text or container_id)
    if not text.startswith("/"):
        names = [*_start(text, hierarchy, unified=unified), *names]
    path = "/".join(names)
    if len(path.encode()) > _PATH_MAX:
        raise ConfigError([Problem(FIELD, text, f"{_PATH_MAX} bytes at most", "is too long")])
    return path


def plain(text: str) -> list[str]:
    """Return the names in a path, without empty ones, `.` and `..`. Raises ConfigError if it is none."""
    if not text.isprintable():
        raise ConfigError([Problem(FIELD, text, "printable characters", "is not a path")])
    names: list[str] = []
    for name in text.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    if not names:
        raise ConfigError(
            [Problem(FIELD, text, "the path of a cgroup below it", "is the top of the hierarchy")]
        )
    for name in names:
        if len(name.encode()) > _NAME_MAX:
            raise ConfigError([Problem(FIELD, name, f"names of {_NAME_MAX} bytes at most", "is too long")])
    return names


def is_plain(path: str) -> bool:
    """Whether a path is as `cgroup_path` makes it: relative, and downwards all the way."""
    names = path.split("/")
    return path.isprintable() and not any(name in ("", ".", "..") for name in names)


def _start(text: str, hierarchy: Hierarchy, *, unified: bool) -> list[str]:
    """Return the names of the cgroup from which a relative path starts."""
    if hierarchy.own is None:
        if not text:
            return []
        why = f"is relative, and the runtime's own cgroup is not below {hierarchy.mount}"
        raise ConfigError([Problem(FIELD, text, "an absolute path", why)])
    names = [name for name in hierarchy.own.split("/") if name]
    return names[:-1] if unified else names
