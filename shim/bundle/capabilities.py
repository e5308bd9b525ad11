"""The capabilities that root has inside: those that Docker gives, more or fewer on request.

The set lets an ordinary system's programs do their work on the container's own files and processes,
and none of them opens a way to the host: changing owners and modes, binding low ports, raw sockets
in the container's own network, device nodes (which the cgroup's device rules then refuse to open).

The inheritable and ambient sets stay empty: with them a file's capabilities would come back to a
user who has dropped them (CVE-2022-29162).

Source: capabilities(7); Docker's documentation, "Runtime privilege and Linux capabilities".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.protocol.oci.config import Capabilities
from holdfast.protocol.oci.names import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT = frozenset(
    (
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_RAW",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    )
)
_ALL = "ALL"


def chosen_capabilities(add: Iterable[str], drop: Iterable[str]) -> frozenset[str]:
    """Return the names that are left after `--cap-add` and `--cap-drop`, each of which may be ALL.

    Raises HoldfastError for a name that there is not, or one that is both added and dropped.
    """
    added, dropped = _names("--cap-add", add), _names("--cap-drop", drop)
    both = (added & dropped) - {_ALL}
    if both:
        raise HoldfastError(f'capability "{min(both)}": is both added and dropped')
    if _ALL in added:
        start = frozenset(CAPABILITIES)
    elif _ALL in dropped:
        start = frozenset()
    else:
        start = DEFAULT
    return (start | added) - dropped - {_ALL}


def as_sets(names: Iterable[str]) -> Capabilities:
    """Return the sets of a process with these capabilities."""
    ordered = tuple(sorted(names))
    return Capabilities(bounding=ordered, effective=ordered, permitted=ordered)


def _names(flag: str, typed: Iterable[str]) -> frozenset[str]:
    found = set()
    for text in typed:
        name = text.upper()
        if name != _ALL:
            name = "CAP_" + name.removeprefix("CAP_")
            if name not in CAPABILITIES:
                raise HoldfastError(f"{flag}: {quoted(text)} is not a capability; see capabilities(7)")
        found.add(name)
    return frozenset(found)
