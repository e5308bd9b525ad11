"""Rules that many fields share."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from holdfast.protocol.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from holdfast.protocol.oci.config import IDMapping

ID_MAX = 2**32 - 2
"""The greatest uid or gid: 2**32 - 1 is -1 to the kernel, "leave it as it is". Source: setresuid(2)."""
_MAPPINGS_MAX = 340
"""Lines of a map. Source: user_namespaces(7)."""


def is_absolute(field: str, path: str) -> Iterator[Problem]:
    """Tell of a path that does not begin with a slash."""
    if not path.startswith("/"):
        yield Problem(field, path, "an absolute path", "is not absolute")


def is_one_of(field: str, value: str, allowed: Iterable[str], why: str) -> Iterator[Problem]:
    """Tell of a word that is not of a fixed set. why: what it is not, `is not a namespace`."""
    allowed = tuple(allowed)
    if value not in allowed:
        yield Problem(field, value, ", ".join(allowed), why)


def are_among(field: str, values: Iterable[str], allowed: Collection[str], why: str) -> Iterator[Problem]:
    """Tell of each word in a list that is not of a fixed set."""
    for i, value in enumerate(values):
        yield from is_one_of(f"{field}[{i}]", value, allowed, why)


def is_between(field: str, value: int | None, least: int, most: int) -> Iterator[Problem]:
    """Tell of a number out of a range; None is no number."""
    if value is not None and not least <= value <= most:
        yield Problem(field, value, f"{least} to {most}", "is out of range")


def is_one_line(field: str, value: str) -> Iterator[Problem]:
    """Tell of a value with more than one line, for files of the kernel that take an order per line."""
    if not value.isprintable():
        yield Problem(field, value, "printable characters", "has a control character in it")


def is_environment(field: str, entries: Iterable[str]) -> Iterator[Problem]:
    """Tell of each entry that is not a name, an equals sign and a value."""
    for i, entry in enumerate(entries):
        if entry.find("=") < 1:
            # The value is not shown: it may be a secret that was put here by mistake.
            yield Problem(f"{field}[{i}]", entry.partition("=")[0], "NAME=value", "is not NAME=value")


def are_mappings(field: str, mappings: Iterable[IDMapping]) -> Iterator[Problem]:
    """Tell of what the kernel answers with a mere EINVAL. Source: user_namespaces(7)."""
    mappings = tuple(mappings)
    if len(mappings) > _MAPPINGS_MAX:
        yield Problem(field, len(mappings), f"{_MAPPINGS_MAX} mappings", "mappings are too many")
    for i, mapping in enumerate(mappings):
        yield from is_between(f"{field}[{i}].size", mapping.size, 1, 2**32 - 1)
        for name, first in (("containerID", mapping.container_id), ("hostID", mapping.host_id)):
            if first + mapping.size - 1 > ID_MAX:
                last = f"0 to {ID_MAX}, with all of its {mapping.size} ids"
                yield Problem(f"{field}[{i}].{name}", first, last, "is out of range")
    for name, firsts in (
        ("containerID", [(m.container_id, m.size) for m in mappings]),
        ("hostID", [(m.host_id, m.size) for m in mappings]),
    ):
        ordered = sorted((first, size, i) for i, (first, size) in enumerate(firsts))
        for (first, size, _), (later, _, i) in pairwise(ordered):
            if later < first + size:
                yield Problem(f"{field}[{i}].{name}", later, "each id once", "is in another mapping too")
