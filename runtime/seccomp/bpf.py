"""Classic BPF as seccomp uses it: the few instructions that Holdfast writes by itself.

A program is an array of `struct sock_filter`, eight bytes each: an operation, where to go on if its test
holds or fails (a count of instructions to leave out, so a jump only leads forward and every program ends),
and a constant. There is one register, the accumulator.  A filter reads nothing but `struct seccomp_data`:
the number of the call, the architecture it was made in, the instruction pointer, six arguments; and it ends
in a verdict.

The kernel (5.11 and later) runs a program once per call number at load, and leaves it out for the calls that
it allows without looking at an argument.  It can do so as long as nothing but the operations below stands on
the way.

Sources: the kernel's Documentation/userspace-api/seccomp_filter.rst,
include/uapi/linux/{filter,bpf_common,seccomp}.h, seccomp_is_const_allow in kernel/seccomp.c.
"""

from __future__ import annotations

import struct

INSTRUCTION = struct.Struct("=HBBI")
INSTRUCTIONS_MAX = 4096
"""BPF_MAXINSNS: the kernel takes no longer program."""

NUMBER = 0
"""Offset in struct seccomp_data: the number of the call."""
ARCHITECTURE = 4
"""Offset in struct seccomp_data: the AUDIT_ARCH_ value of the call."""

RETURN_ERRNO = 0x00050000

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K, unsigned
_JUMP = 0x05  # BPF_JMP | BPF_JA
_RETURN = 0x06  # BPF_RET | BPF_K


def load(offset: int) -> bytes:
    """Put the word at this offset of struct seccomp_data into the accumulator."""
    return INSTRUCTION.pack(_LOAD_WORD, 0, 0, offset)


def jump_equal(constant: int, then: int, otherwise: int) -> bytes:
    """Leave out `then` instructions if the accumulator is the constant, else `otherwise`: at most 255."""
    return INSTRUCTION.pack(_JUMP_EQUAL, then, otherwise, constant)


def jump_at_least(constant: int, then: int, otherwise: int) -> bytes:
    """Leave out `then` instructions if the accumulator is not below the constant, else `otherwise`."""
    return INSTRUCTION.pack(_JUMP_AT_LEAST, then, otherwise, constant)


def jump(count: int) -> bytes:
    """Leave out instructions, as many as one likes."""
    return INSTRUCTION.pack(_JUMP, 0, 0, count)


def verdict(value: int) -> bytes:
    """End with this verdict."""
    return INSTRUCTION.pack(_RETURN, 0, 0, value)
