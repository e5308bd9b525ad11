"""passwd(5) and group(5), and the user as people name it: `root`, `1000`, `www-data:adm`, `0:0`.

These files belong to the container, so they may hold anything. They are read here by their bytes,
bounded, and not by the C library's lookup, which loads whatever module the container's
nsswitch.conf names. Digits are always a number, never a name: a user who is called `0` must not
become root, nor one who is root become the user called `1000`.

Sources: passwd(5), group(5); image-spec, config.md "User".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.protocol.errors import HoldfastError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_MAX = 1 << 20
"""How much of such a file is looked at."""

ID_MAX = 2**32 - 2
"""The largest uid or gid; the one above means "no change" to the kernel."""

_LINE_MAX = 4096
_GROUPS_MAX = 65536
_PASSWD_FIELDS, _GROUP_FIELDS = 7, 4
_GRAMMAR = "allowed: USER or USER:GROUP, each a name or a number"


class Identity(NamedTuple):
    """A user, by numbers."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def resolve_user(text: str, passwd: bytes, group: bytes) -> Identity:
    """Find the numbers of a user as a person names it; an empty text is root.

    Without a group the user gets the groups that passwd and group give; with one, only that. A
    number that is not in passwd is fine, its group is then 0; a name that is not there is an error.
    Raises HoldfastError.
    """
    user, colon, group_name = (text or "0").partition(":")
    if not user or (colon and not group_name) or ":" in group_name:
        raise HoldfastError(f"user {quoted(text)}: is not one; {_GRAMMAR}")
    uid = _number(user, text)
    entry = _find_user(passwd, user.encode("utf-8", "surrogateescape"), uid)
    if uid is None:
        if entry is None:
            raise HoldfastError(f"user {quoted(text)}: no {quoted(user)} in the container's /etc/passwd")
        uid = entry.uid
    if group_name:
        return Identity(uid, _find_group(group, group_name, text), ())
    if entry is None:
        return Identity(uid, 0, ())
    return Identity(uid, entry.gid, groups_of(group, entry.name))


def resolve_group(name: str, group: bytes) -> int:
    """Find the number of a group as a person names it. Raises HoldfastError."""
    return _find_group(group, name, name)


def groups_of(group: bytes, user: bytes) -> tuple[int, ...]:
    """Return the groups of which a user is a member, in the file's order."""
    found: dict[
        int, None
    ] = {}  # keeps the order; a list would take seconds to search with tens of thousands
    for fields in _entries(group, _GROUP_FIELDS):
        gid = _decimal(fields[2])
        if gid is not None and user in fields[3].split(b","):
            found[gid] = None
            if len(found) == _GROUPS_MAX:
                break
    return tuple(found)


class _User(NamedTuple):
    name: bytes
    uid: int
    gid: int


def _find_user(passwd: bytes, name: bytes, uid: int | None) -> _User | None:
    for fields in _entries(passwd, _PASSWD_FIELDS):
        entry_uid, entry_gid = _decimal(fields[2]), _decimal(fields[3])
        if entry_uid is None or entry_gid is None:
            continue
        if (uid is None and fields[0] == name) or entry_uid == uid:
            return _User(fields[0], entry_uid, entry_gid)
    return None


def _find_group(group: bytes, name: str, text: str) -> int:
    gid = _number(name, text)
    if gid is not None:
        return gid
    for fields in _entries(group, _GROUP_FIELDS):
        gid = _decimal(fields[2])
        if fields[0] == name.encode("utf-8", "surrogateescape") and gid is not None:
            return gid
    raise HoldfastError(f"group {quoted(name)}: no such group in the container's /etc/group")


def _entries(content: bytes, count: int) -> Iterator[list[bytes]]:
    """Yield the fields of each line that has as many as it should."""
    for line in content[:FILE_MAX].split(b"\n"):
        fields = line.split(b":") if len(line) <= _LINE_MAX else []
        if len(fields) == count and fields[0]:
            yield fields


def _number(name: str, text: str) -> int | None:
    """Read a number; None if it is a name. Raises HoldfastError for what looks like a number but is none."""
    if not name[0].isdigit() and name[0] not in "+-":
        return None
    number = _decimal(name.encode("utf-8", "surrogateescape"))
    if number is None:
        raise HoldfastError(
            f"user {quoted(text)}: {quoted(name)} is not an id; allowed: 0 to {ID_MAX}, or a name"
        )
    return number


def _decimal(digits: bytes) -> int | None:
    """Read an id in the one way to write it; None if it is something else."""
    if digits.isdigit() and len(digits) <= 10 and (digits == b"0" or digits[:1] != b"0"):  # noqa: PLR2004  # 2**32
        number = int(digits)
        return number if number <= ID_MAX else None
    return None
