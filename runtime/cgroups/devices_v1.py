"""Device rules for the devices controller of cgroup v1: a default, and exceptions from it.

The controller has no list of rules. It denies all with some exceptions, or allows all with some; a write to
devices.allow or devices.deny changes that state, in ways that have surprised people: a denial that is
narrower than an exception, for instance, is accepted and does nothing. So the state that is wanted is worked
out here, and written from the ground up: first the default, denial before anything is allowed, then each
exception once. What the controller cannot express is refused.

The controller also differs in how it decides. Where it denies by default, a request is allowed only if a
single exception has all of its kinds of access; so an exception is given what those around it have.

Source: the kernel's admin-guide/cgroup-v1/devices.rst, security/device_cgroup.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.runtime.cgroups import devices
from holdfast.runtime.cgroups.limits import Write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.runtime.cgroups.devices import Rule
    from holdfast.runtime.cgroups.limits import Limits

_LETTERS = (("r", devices.READ), ("w", devices.WRITE), ("m", devices.MKNOD))


class Range(NamedTuple):
    """The devices that an exception is about."""

    kind: str
    major: int | None
    minor: int | None

    def covers(self, other: Range) -> bool:
        """Whether all devices of the other range are in this one."""
        kind, major, minor = other
        return self.kind == kind and self.major in (None, major) and self.minor in (None, minor)

    def meets(self, other: Range) -> bool:
        """Whether a device can be in both."""
        kind, major, minor = other
        is_major = major is None or self.major in (None, major)
        return self.kind == kind and is_major and (minor is None or self.minor in (None, minor))

    def common(self, other: Range) -> Range:
        """Return the devices that are in both, which have to meet."""
        major = other.major if self.major is None else self.major
        return Range(self.kind, major, other.minor if self.minor is None else self.minor)


class State(NamedTuple):
    """What the controller is to hold."""

    allow: bool
    """The default."""
    exceptions: dict[Range, int]
    """What is not as the default says: a mask of kinds of access."""


def plan(rules: Iterable[Rule], out: Limits) -> None:
    """Have the rules written."""
    state = state_of(rules, out)
    field = devices.FIELD
    out.add(field, "devices.allow" if state.allow else "devices.deny", "a")
    file = "devices.deny" if state.allow else "devices.allow"
    for where, access in state.exceptions.items():
        out.together(Write(field, file, _line(where, access)))


def state_of(rules: Iterable[Rule], out: Limits) -> State:
    """Work out the state; what cannot be expressed is refused through `out`."""
    state = State(allow=False, exceptions={})
    for rule in rules:
        if rule.is_everything:
            state = State(rule.allow, {})
            continue
        for kind in rule.kinds:
            where = Range(kind, rule.major, rule.minor)
            if rule.allow != state.allow:
                state.exceptions[where] = state.exceptions.get(where, 0) | rule.access
            elif not _take_back(state.exceptions, where, rule.access):
                _refuse(rule, out)
    exceptions = {where: access for where, access in state.exceptions.items() if access}
    return State(state.allow, exceptions if state.allow else _filled_up(exceptions))


def _take_back(exceptions: dict[Range, int], where: Range, access: int) -> bool:
    """Make less of the exceptions. Returns False if only a part of one is to go: they have no holes."""
    for other, theirs in exceptions.items():
        if theirs & access and where.meets(other):
            if not where.covers(other):
                return False
            exceptions[other] = theirs & ~access
    return True


def _filled_up(exceptions: dict[Range, int]) -> dict[Range, int]:
    """Give each range, and each that two have in common, all that any range around it has."""
    ranges = dict.fromkeys(exceptions)
    waiting = list(ranges)
    while waiting:
        one = waiting.pop()
        for other in list(ranges):
            if one.meets(other) and (both := one.common(other)) not in ranges:
                ranges[both] = None
                waiting.append(both)
    return {where: _access(exceptions, where) for where in ranges}


def _access(exceptions: dict[Range, int], where: Range) -> int:
    access = 0
    for other, theirs in exceptions.items():
        if other.covers(where):
            access |= theirs
    return access


def _refuse(rule: Rule, out: Limits) -> None:
    where = Range(rule.kinds, rule.major, rule.minor)
    verb = "allow" if rule.allow else "deny"
    why = "is an exception from a part of a rule before it, which cgroup v1 does not have"
    # A rule that follows those of the configuration contradicts one of them.
    field = f"{devices.FIELD}[{rule.place}]" if rule.place >= 0 else devices.FIELD
    out.refuse(field, f"{verb} {_line(where, rule.access)}", "rules for the same devices as before", why)


def _line(where: Range, access: int) -> str:
    """Return a line as the controller reads it: `c 1:3 rwm`."""
    major, minor = ("*" if number is None else str(number) for number in where[1:])
    return f"{where.kind} {major}:{minor} " + "".join(letter for letter, bit in _LETTERS if access & bit)
