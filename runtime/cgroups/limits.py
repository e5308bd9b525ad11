"""A limit as a value: which file of a cgroup is to hold what; and how such values get there.

Some files are checked by the kernel against each other: memory must not be above memory and swap together, a
quota of a lower period may be too large, a burst above the quota. Which one can be written first depends on
what they hold at that moment. So these are written *together*: in turn, and those that are refused as
invalid once more after the others, as long as that helps.

Source: runtime-spec, config-linux.md "Control groups".
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from holdfast.protocol.errors import HoldfastError, Problem, quoted
from holdfast.runtime.cgroups import tree
from holdfast.runtime.sys.call import CallFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.runtime.sys.executor import Here


class Write(NamedTuple):
    """One value for one file."""

    field: str
    """Which member of the configuration asks for it: `linux.resources.pids.limit`."""
    file: str
    data: str
    instead: tuple[str, str] | None = None
    """File and content for a kernel that does not have the first file."""
    is_optional: bool = False
    """Whether nothing is lost where the kernel has no such file."""
    above: str = ""
    """A file with a number that the value has to exceed; none if empty."""


class Limits:
    """Gathers what a configuration asks of a cgroup."""

    def __init__(self) -> None:
        self.groups: list[tuple[Write, ...]] = []
        """In their order; those of one group are written together."""
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def add(self, field: str, file: str, data: object, *, instead: tuple[str, str] | None = None) -> None:
        """Have a value written."""
        self.together(Write(field, file, str(data), instead))

    def together(self, *writes: Write) -> None:
        """Have some values written that the kernel checks against each other."""
        if writes:
            self.groups.append(writes)

    def refuse(self, field: str, was: object, allowed: str, why: str) -> None:
        """Note what cannot be done."""
        self.problems.append(Problem(field, was, allowed, why))

    def ignore(self, field: str, why: str) -> None:
        """Note what is left out, and is no error."""
        self.warnings.append(f"{field}: is ignored: {why}")


def apply(x: Here, directory: int, groups: Iterable[tuple[Write, ...]]) -> None:
    """Write the values to the files of an open cgroup. Raises HoldfastError or CallFailed."""
    for group in groups:
        waiting = list(group)
        while waiting:
            refused = [
                write for write in waiting if not _try(x, directory, write, may_fail=len(waiting) > 1)
            ]
            if len(refused) == len(waiting):
                _try(x, directory, refused[0], may_fail=False)
            waiting = refused
    x.subject = ""


def _try(x: Here, directory: int, write: Write, *, may_fail: bool) -> bool:
    """Write a value. Returns False if it is invalid, for now, where that may be."""
    _check_above(x, directory, write)
    for file, data in ((write.file, write.data), write.instead or ("", "")):
        x.subject = f"{write.field}: write {quoted(data)} to {quoted(file)}"
        try:
            if file and tree.write(x, directory, file.encode(), data.encode()):
                return True
        except CallFailed as error:
            if may_fail and error.errno == errno.EINVAL:
                return False
            raise
    if write.is_optional:
        return True
    raise HoldfastError(
        f"{write.field}: the kernel does not support this: the cgroup has no {quoted(write.file)}"
    )


def _check_above(x: Here, directory: int, write: Write) -> None:
    if not write.above:
        return
    used = tree.read(x, directory, write.above.encode())
    if used is not None and write.data.isdigit() and int(write.data) <= int(used):
        raise HoldfastError(
            f"{write.field}: {write.data} is not above what is in use; needed: more than {int(used)}"
        )
