"""Rules for `linux.sysctl`: which kernel parameters a container may set.

Most parameters are the whole host's; what may be set is a list of those that are a namespace's own. The
name's grammar is exact, since what is read as one name here becomes a path below /proc/sys: in
CVE-2022-0811 a name with a `+` in it set a second parameter, kernel.core_pattern, and with it ran a program
on the host.

A name may be separated by dots or by slashes; the first separator tells which. In the dotted form a slash
stands for a dot, and the other way round: `net.ipv4.conf.eth0/100.rp_filter` is of the interface
`eth0.100`.

Sources: sysctl(8), sysctl.d(5); namespaces(7) and the pages of the four namespaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import Problem, joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FIRST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
_LATER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ-") | _FIRST
_SWAPPED = str.maketrans("./", "/.")

_OF_IPC = frozenset(
    "kernel/" + name
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)
_OF_NAMESPACE = {"fs/mqueue/": "ipc", "net/": "network", "user/": "user"}
"""Directory → type of the namespace that has its own."""


def path(name: str) -> str | None:
    """Return the path of a parameter below /proc/sys; None if the name is not of the grammar."""
    parts = name.replace("/", ".").split(".")
    if not _FIRST.issuperset(parts[0]) or not all(part and _LATER.issuperset(part) for part in parts):
        return None
    separators = [char for char in name if char in "./"]
    return name.translate(_SWAPPED) if separators[:1] == ["."] else name


def problems(sysctls: Mapping[str, str], types: set[str]) -> Iterator[Problem]:
    """Yield what is wrong with the parameters. types: of the namespaces that are not the runtime's own."""
    field = "linux.sysctl"
    for name, value in sysctls.items():
        where = path(name)
        if where is None:
            allowed = "words of letters, digits, _ and - with a dot or a slash between them"
            yield Problem(field, name, allowed, "is not the name of a parameter")
        elif where == "kernel/hostname":
            yield Problem(field, name, "the field hostname", "is set by a field of its own")
        else:
            yield from _is_own(field, name, where, types)
        if "\n" in value:
            yield Problem(joined(field, name), value, "one line", "has a newline in it")


def _is_own(field: str, name: str, where: str, types: set[str]) -> Iterator[Problem]:
    needed = _namespace_of(where)
    if needed is None:
        allowed = "net.*, user.*, fs.mqueue.*, kernel.domainname and the parameters of IPC"
        yield Problem(field, name, allowed, "is not in a separate namespace")
    elif needed not in types:
        allowed = f'with "{needed}" in linux.namespaces'
        yield Problem(field, name, allowed, "is not in a separate namespace")


def _namespace_of(where: str) -> str | None:
    if where in _OF_IPC:
        return "ipc"
    if where == "kernel/domainname":
        return "uts"
    for directory, namespace in _OF_NAMESPACE.items():
        if where.startswith(directory):
            return namespace
    return None
