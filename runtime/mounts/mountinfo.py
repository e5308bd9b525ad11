"""Reading /proc/PID/mountinfo: what is mounted in the mount namespace of a process.

Lines end at a newline and at nothing else, and fields at a space: what a name could hold of these, and of
tabs and backslashes, is escaped as three octal digits. Other control characters, and those that Unicode
takes for line ends, stand there as they are, so nothing but bytes is split here.

Source: proc_pid_mountinfo(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_ESCAPED = {b"\\040": b" ", b"\\011": b"\t", b"\\012": b"\n", b"\\043": b"#", b"\\134": b"\\"}


class Mount(NamedTuple):
    """One line."""

    id: int
    parent: int
    root: bytes
    """The part of its filesystem that is the mount's top."""
    point: bytes
    """Where it is mounted, as the process sees it."""
    options: bytes
    """Of the mount, comma-joined."""
    propagation: tuple[bytes, ...]
    """Like `shared:12`, `master:3`; empty for a private mount."""
    type: bytes
    source: bytes


def parse(content: bytes) -> list[Mount]:
    """Return the mounts in the order of the file; a mount may come before the one that it is mounted on."""
    return [_parse_line(line) for line in content.split(b"\n") if line]


def below(mounts: Sequence[Mount], top: int) -> set[int]:
    """Return the ids of a mount and of all that is mounted in it, at any depth."""
    found = {top}
    while more := {one.id for one in mounts if one.parent in found} - found:
        found |= more
    return found


def _parse_line(line: bytes) -> Mount:
    fields = line.split(b" ")
    # After the sixth field come any number of optional ones, ended by a hyphen.
    end = fields.index(b"-", 6)
    return Mount(
        id=int(fields[0]),
        parent=int(fields[1]),
        root=_unescape(fields[3]),
        point=_unescape(fields[4]),
        options=fields[5],
        propagation=tuple(fields[6:end]),
        type=_unescape(fields[end + 1]),
        source=_unescape(fields[end + 2]),
    )


def _unescape(field: bytes) -> bytes:
    for escape, char in _ESCAPED.items():  # the backslash last, since what it gives is not an escape
        field = field.replace(escape, char)
    return field
