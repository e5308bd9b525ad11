"""Which devices a container may use: the rules, and what they mean.

A device node is a name with two numbers; whoever has the right to make nodes, or gets at one by a mount,
reaches any device of the machine. So the cgroup decides once more, by the numbers, whether a node may be
made, opened to read, opened to write. The rules are a list. For each device and each of the three kinds of
access by itself, the last rule that covers it decides; what no rule covers is denied. An open for reading
and writing asks for two kinds, and is allowed if both are.

(To take a request for two kinds as one whole, and look for the last rule that has both, is what some
runtimes do. Then "allow 8:0 rw" followed by "deny 8:0 w" still lets a process open the disk for reading and
writing.)

The rules of a configuration are followed by some that everything needs: the harmless devices that each
container has, and making nodes, which is of no use without opening them. Following, so that a configuration
cannot break a container by accident.

The kernel knows such rules in two forms: devices_v1.py makes lists of exceptions for the devices controller
of v1, devices_v2.py a program that v2 asks.

Sources: runtime-spec, config-linux.md "Allowed Device List"; the kernel's admin-guide/cgroup-v1/devices.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.protocol.oci.config import DeviceRule

FIELD = "linux.resources.devices"

MKNOD, READ, WRITE = 1, 2, 4
"""The kinds of access, with the numbers that the kernel gives them."""
ANY_ACCESS = MKNOD | READ | WRITE

BLOCK, CHAR = "b", "c"

_ACCESS = {"m": MKNOD, "r": READ, "w": WRITE}
_ANY_NUMBER = -1
"""How older writers say it; the spec leaves the number out."""


class Rule(NamedTuple):
    """What may be done, or not, to which devices."""

    allow: bool
    kinds: str
    """`b`, `c` or `bc`."""
    major: int | None
    """None: any; the same for the minor number."""
    minor: int | None
    access: int
    """A mask."""
    place: int = -1
    """Of a configuration's rule: which one of the list it is."""

    @property
    def is_everything(self) -> bool:
        """Whether the rule covers each device and each access, so that none before it has any effect."""
        return self == (self.allow, BLOCK + CHAR, None, None, ANY_ACCESS, self.place)


def _harmless(major: int, minor: int | None) -> Rule:
    return Rule(True, CHAR, major, minor, ANY_ACCESS)  # noqa: FBT003  # a table


DEFAULT_RULES = (
    Rule(True, CHAR, None, None, MKNOD),  # noqa: FBT003
    Rule(True, BLOCK, None, None, MKNOD),  # noqa: FBT003
    _harmless(1, 3),  # null
    _harmless(1, 5),  # zero
    _harmless(1, 7),  # full
    _harmless(1, 8),  # random
    _harmless(1, 9),  # urandom
    _harmless(5, 0),  # tty
    _harmless(5, 1),  # console
    _harmless(5, 2),  # ptmx
    _harmless(136, None),  # the terminals in /dev/pts
    _harmless(10, 200),  # net/tun, which VPNs in containers have come to rely on
)
"""What follows the rules of a configuration. Source: the kernel's admin-guide/devices.txt."""


def rules_of(wanted: Iterable[DeviceRule]) -> tuple[Rule, ...]:
    """Return the rules of a configuration with those that follow them."""
    return (*(_rule(rule, place) for place, rule in enumerate(wanted)), *DEFAULT_RULES)


def allow_everything(wanted: Iterable[DeviceRule]) -> bool:
    """Whether the rules keep nobody from anything, so that nothing is lost where they cannot be set."""
    rules = [_rule(rule, place) for place, rule in enumerate(wanted)]
    return bool(rules) and all(rule.allow for rule in rules) and any(rule.is_everything for rule in rules)


def _rule(wanted: DeviceRule, place: int) -> Rule:
    access = 0
    for letter in wanted.access:
        access |= _ACCESS[letter]
    kinds = wanted.type if wanted.type in (BLOCK, CHAR) else BLOCK + CHAR
    return Rule(wanted.allow, kinds, _number(wanted.major), _number(wanted.minor), access, place)


def _number(wanted: int | None) -> int | None:
    return None if wanted == _ANY_NUMBER else wanted
