"""Which namespaces a container gets: new ones, those of somebody else by path, or the runtime's own.

Sources: namespaces(7); runtime-spec, config-linux.md "Namespaces".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import ConfigError, Problem
from holdfast.runtime.sys import process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.protocol.oci.config import IDMapping, Linux

CLONE_FLAGS = {
    "user": process.CLONE_NEWUSER,
    "ipc": process.CLONE_NEWIPC,
    "uts": process.CLONE_NEWUTS,
    "network": process.CLONE_NEWNET,
    "pid": process.CLONE_NEWPID,
    "mount": process.CLONE_NEWNS,
    "cgroup": process.CLONE_NEWCGROUP,
}
"""Namespace type → CLONE_ flag, in the order in which namespaces given by path are joined: the user
namespace first, since it gives the rights to join the others; the mount namespace late, since paths change
their meaning with it."""


class Join(msgspec.Struct, frozen=True):
    """A namespace given by path."""

    type: str
    flag: int
    path: bytes
    field: str


class NamespacesPlan(msgspec.Struct, frozen=True):
    """What happens to each namespace; one that appears nowhere here is the runtime's own."""

    new: int
    """CLONE_ flags of those to make."""
    joins: tuple[Join, ...] = ()
    uid_map: bytes = b""
    """Content of /proc/PID/uid_map; empty without a new user namespace."""
    gid_map: bytes = b""

    def makes(self, namespace: str) -> bool:
        """Whether the container gets a namespace of this type of its own, a new one."""
        return bool(self.new & CLONE_FLAGS[namespace])

    def has(self, namespace: str) -> bool:
        """Whether the container is in another namespace of this type than the runtime."""
        return self.makes(namespace) or any(join.type == namespace for join in self.joins)


def plan_namespaces(linux: Linux) -> NamespacesPlan:
    """Decide. Raises ConfigError."""
    new, joins = 0, []
    for i, namespace in enumerate(linux.namespaces):
        field = f"linux.namespaces[{i}]"
        if namespace.type not in CLONE_FLAGS:
            raise ConfigError([Problem(f"{field}.type", namespace.type, ", ".join(CLONE_FLAGS))])
        flag = CLONE_FLAGS[namespace.type]
        if namespace.path:
            joins.append(Join(namespace.type, flag, namespace.path.encode(), f"{field}.path"))
        else:
            new |= flag
    joins.sort(key=lambda join: list(CLONE_FLAGS).index(join.type))
    if not new & process.CLONE_NEWUSER:
        return NamespacesPlan(new, tuple(joins))
    for field in ("uid_mappings", "gid_mappings"):
        if not getattr(linux, field):
            name = field.replace("_m", "M")
            raise ConfigError(
                [Problem(f"linux.{name}", None, "at least one mapping with a new user namespace")]
            )
    return NamespacesPlan(new, tuple(joins), id_map(linux.uid_mappings), id_map(linux.gid_mappings))


def id_map(mappings: Sequence[IDMapping]) -> bytes:
    """Return the content of an id map file. Source: user_namespaces(7)."""
    lines = (f"{m.container_id} {m.host_id} {m.size}\n" for m in mappings)
    return "".join(lines).encode()
