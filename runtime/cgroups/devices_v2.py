"""Device rules for cgroup v2: a program that the kernel asks, put together here and attached to the cgroup.

The program is given what is asked for (the type of the device and the kinds of access in one number, then
the device's major and minor number) and answers 1 for yes. It goes through the rules from the last to the
first. In a register it keeps the kinds of access that no rule has decided yet: a rule that allows some takes
them out, and when none are left the answer is yes; a rule that denies one of them ends it with no. Nothing
decided: no.

    for each rule, the last one first:
        skip it unless type, major and minor are the rule's
        if it allows:  left &= ~access;  if left == 0: return 1
        if it denies:  if left & access: return 0
    return 0

The programs of the cgroups above are asked as well and all must say yes, so a container in a container
cannot allow itself more.

Sources: bpf(2); the kernel's bpf/standardization/instruction-set.rst; include/uapi/linux/bpf.h, struct
bpf_cgroup_dev_ctx.
"""

from __future__ import annotations

import errno
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from holdfast.runtime.cgroups import devices
from holdfast.runtime.sys import bpf, files, process
from holdfast.runtime.sys.call import CallFailed, Out

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from holdfast.runtime.cgroups.devices import Rule
    from holdfast.runtime.sys.executor import Here

# Registers: the answer, the pointer to what is asked for, and what is taken from there.
_ANSWER, _CONTEXT, _TYPE, _LEFT, _MAJOR, _MINOR = range(6)

_TYPES = {devices.BLOCK: 1, devices.CHAR: 2}
_TYPE_MASK, _ACCESS_SHIFT = 0xFFFF, 16

# Operations on 32-bit registers and constants; a jump's offset counts from the instruction that follows it.
_LOAD = 0x61
_AND, _SHIFT_RIGHT, _SET, _COPY = 0x54, 0x74, 0xB4, 0xBC
_JUMP, _JUMP_IF_NOT, _JUMP_IF_ANY_BIT = 0x05, 0x56, 0x46
_EXIT = 0x95

_LICENSE = b"Apache-2.0"
_PROGRAMS_MAX = 64
_RLIMIT_MEMLOCK = 8
_UNLIMITED = 2**64 - 1


class Instruction(NamedTuple):
    """One instruction of a BPF program. Source: include/uapi/linux/bpf.h, struct bpf_insn."""

    code: int
    target: int = 0
    source: int = 0
    offset: int = 0
    constant: int = 0

    def encode(self) -> bytes:
        """Return the eight bytes."""
        constant = self.constant & 0xFFFFFFFF
        return struct.pack("=BBhI", self.code, self.source << 4 | self.target, self.offset, constant)


def assemble(rules: Iterable[Rule]) -> bytes:
    """Return the program for a list of rules, of which the last one that matches decides."""
    code = [
        Instruction(_LOAD, _TYPE, _CONTEXT, 0),
        Instruction(_COPY, _LEFT, _TYPE),
        Instruction(_AND, _TYPE, constant=_TYPE_MASK),
        Instruction(_SHIFT_RIGHT, _LEFT, constant=_ACCESS_SHIFT),
        Instruction(_LOAD, _MAJOR, _CONTEXT, 4),
        Instruction(_LOAD, _MINOR, _CONTEXT, 8),
    ]
    for rule in reversed(list(rules)):
        if rule.is_everything:
            # Whatever comes before it is never reached, and the kernel takes no program with dead parts.
            return _encode([*code, *_answer(rule.allow)])
        code += _skip_unless_matched(rule, _decide(rule))
    return _encode([*code, *_answer(False)])  # noqa: FBT003


def _answer(allow: bool) -> list[Instruction]:  # noqa: FBT001  # the answer itself
    return [Instruction(_SET, _ANSWER, constant=int(allow)), Instruction(_EXIT)]


def _decide(rule: Rule) -> list[Instruction]:
    """Return what a rule does for a device that it covers."""
    answer = _answer(rule.allow)
    if rule.access == devices.ANY_ACCESS:
        return answer
    if rule.allow:
        return [
            Instruction(_AND, _LEFT, constant=~rule.access),
            Instruction(_JUMP_IF_NOT, _LEFT, offset=len(answer), constant=0),
            *answer,
        ]
    return [
        Instruction(_JUMP_IF_ANY_BIT, _LEFT, offset=1, constant=rule.access),
        Instruction(_JUMP, offset=len(answer)),
        *answer,
    ]


def _skip_unless_matched(rule: Rule, body: list[Instruction]) -> list[Instruction]:
    """Return a rule's instructions with the tests before them."""
    wanted = [(_TYPE, _TYPES.get(rule.kinds)), (_MAJOR, rule.major), (_MINOR, rule.minor)]
    tests = [(register, number) for register, number in wanted if number is not None]
    code = list(body)
    for register, number in reversed(tests):
        code.insert(0, Instruction(_JUMP_IF_NOT, register, offset=len(code), constant=number))
    return code


def _encode(code: list[Instruction]) -> bytes:
    return b"".join(instruction.encode() for instruction in code)


def attach(x: Here, cgroup: int, program: bytes) -> None:
    """Attach the program to an open cgroup, in place of those attached before, without a gap between.

    Raises CallFailed: EPERM without the right to (in a user namespace, for instance), EINVAL from a kernel
    without.
    """
    new = _load(x, program)
    old: list[int] = []
    try:
        x.do(bpf.prog_query(cgroup, ids := Out(4 * _PROGRAMS_MAX)))
        old = [x.do(bpf.prog_get_fd_by_id(number)) for number in bpf.ids_in(ids)]
        if len(old) == 1:
            x.do(bpf.prog_attach(cgroup, new, bpf.F_ALLOW_MULTI | bpf.F_REPLACE, replaced=old[0]))
            return
        x.do(bpf.prog_attach(cgroup, new, bpf.F_ALLOW_MULTI))
        for program_fd in old:
            x.do(bpf.prog_detach(cgroup, program_fd))
    finally:
        for fd in (new, *old):
            x.do(files.close(fd))


def _load(x: Here, program: bytes) -> int:
    try:
        return x.do(bpf.prog_load(program, _LICENSE))
    except CallFailed as error:
        if error.errno != errno.EPERM:
            raise
    # Kernels before 5.11 count programs as locked memory of the user, against a limit that is soon reached.
    with _unlimited_locked_memory(x):
        return x.do(bpf.prog_load(program, _LICENSE))


@contextmanager
def _unlimited_locked_memory(x: Here) -> Iterator[None]:
    x.do(process.get_prlimit(0, _RLIMIT_MEMLOCK, before := Out(16)))
    x.do(process.prlimit(0, _RLIMIT_MEMLOCK, _UNLIMITED, _UNLIMITED))
    try:
        yield
    finally:
        x.do(process.prlimit(0, _RLIMIT_MEMLOCK, *struct.unpack("=QQ", before.data)))
