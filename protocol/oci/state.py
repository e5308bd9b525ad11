"""The state of a container as JSON: what `state` and `list` print, and what hooks read on their stdin.

Managers read more than the spec has: rootfs, created and owner are runc's additions, and some of its
readers want them. Hooks get what the spec has and no more, since startContainer hooks run inside the
container.

Source: runtime-spec, runtime.md "State", "Query State"; config.md "POSIX-platform Hooks".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

OCI_VERSION = "1.3.0"
"""The version of the runtime-spec that Holdfast follows, and says so wherever it is asked."""

_FOR_RUNTIME_USERS = ("rootfs", "created", "owner")


class State(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a container is, at one moment."""

    oci_version: str = OCI_VERSION
    id: str
    pid: int
    """Of init, as whoever reads it sees it; 0 when it is gone."""
    status: str
    """creating, created, running, stopped; or paused, which the spec leaves to runtimes."""
    bundle: str
    """Absolute path."""
    rootfs: str = ""
    """Absolute path."""
    created: str = ""
    """When: RFC 3339, with a fraction, in UTC with `Z`."""
    annotations: dict[str, str] = {}
    """The config's own."""
    owner: str = ""
    """Name of the user who created it."""


def encode(state: State) -> bytes:
    """Return the object as `state` prints it: indented, with a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(_members(state)), indent=2) + b"\n"


def encode_list(states: Iterable[State]) -> bytes:
    """Return the array of objects as `list --format json` prints it: one line; `[]` if there are none."""
    return msgspec.json.encode([_members(state) for state in states]) + b"\n"


def encode_for_hook(state: State) -> bytes:
    """Return the object as a hook gets it: one line, only what the spec has."""
    return msgspec.json.encode(
        {key: value for key, value in _members(state).items() if key not in _FOR_RUNTIME_USERS}
    )


def _members(state: State) -> dict[str, object]:
    members: dict[str, object] = msgspec.to_builtins(state)
    if not state.annotations:
        del members["annotations"]
    return members
