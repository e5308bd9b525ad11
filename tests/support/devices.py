"""What device rules mean, said in the plainest way; and how the kernel decides by the lists of cgroup v1."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from holdfast.runtime.cgroups.devices import BLOCK, MKNOD, READ, WRITE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.runtime.cgroups.devices import Rule
    from holdfast.runtime.cgroups.limits import Write

_LETTERS = {"r": READ, "w": WRITE, "m": MKNOD}


class Asked(NamedTuple):
    """What a process wants to do to a device."""

    kind: str
    major: int
    minor: int
    access: int

    def context(self) -> bytes:
        """Return what a program is given. Source: include/uapi/linux/bpf.h, struct bpf_cgroup_dev_ctx."""
        kind = 1 if self.kind == BLOCK else 2
        return struct.pack("=III", kind | self.access << 16, self.major, self.minor)


def is_allowed(rules: Sequence[Rule], asked: Asked) -> bool:
    """Decide as the rules say: for each kind of access by itself, by the last rule that covers it."""
    return all(_last(rules, asked, bit) for bit in (MKNOD, READ, WRITE) if asked.access & bit)


def _last(rules: Sequence[Rule], asked: Asked, bit: int) -> bool:
    allow = False
    for rule in rules:
        numbers = rule.major in (None, asked.major) and rule.minor in (None, asked.minor)
        if asked.kind in rule.kinds and numbers and rule.access & bit:
            allow = rule.allow
    return allow


class V1Kernel:
    """The devices controller of cgroup v1, as security/device_cgroup.c has it."""

    def __init__(self) -> None:
        self.allow = True
        self.exceptions: dict[tuple[str, str, str], int] = {}

    def write_all(self, writes: Iterable[Write]) -> None:
        for one in writes:
            self.write(one.file, one.data)

    def write(self, file: str, data: str) -> None:
        """Take a line written to devices.allow or devices.deny."""
        allow = file == "devices.allow"
        if data == "a":
            self.allow, self.exceptions = allow, {}
            return
        kind, numbers, letters = data.split(" ")
        major, minor = numbers.split(":")
        access = sum(_LETTERS[letter] for letter in letters)
        key = (kind, major, minor)
        if allow == self.allow:
            self.exceptions[key] = self.exceptions.get(key, 0) & ~access
        else:
            self.exceptions[key] = self.exceptions.get(key, 0) | access

    def is_allowed(self, asked: Asked) -> bool:
        met = [access for key, access in self.exceptions.items() if self._matches(key, asked)]
        if self.allow:
            return not any(access & asked.access for access in met)
        return any(not asked.access & ~access for access in met)

    def _matches(self, key: tuple[str, str, str], asked: Asked) -> bool:
        kind, major, minor = key
        return kind == asked.kind and major in ("*", str(asked.major)) and minor in ("*", str(asked.minor))
