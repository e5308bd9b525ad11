"""A little machine for classic BPF, to see what a seccomp program answers without loading it.

It knows what libseccomp and Holdfast write, checks what the kernel's loader checks (jumps stay inside, the
last instruction is a return, loads are aligned and inside struct seccomp_data), and can tell which calls the
kernel would allow without running the program.

Sources: seccomp(2); net/core/filter.c, bpf_check_classic; kernel/seccomp.c, seccomp_check_filter and
seccomp_is_const_allow.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

LOAD, AND, JUMP, EQUAL, GREATER, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x45, 0x06
ALLOW = 0x7FFF0000
DATA = struct.Struct("=IIQ6Q")


class Instruction(NamedTuple):
    code: int
    then: int
    otherwise: int
    constant: int


def decode(program: bytes) -> list[Instruction]:
    """Take a program apart, and refuse what the kernel would refuse."""
    code = [Instruction(*fields) for fields in struct.iter_unpack("=HBBI", program)]
    assert 0 < len(code) <= 4096
    for place, (operation, then, otherwise, constant) in enumerate(code):
        if operation == LOAD:
            assert constant % 4 == 0
            assert constant < DATA.size
        elif operation == JUMP:
            assert place + 1 + constant < len(code)
        elif operation in (EQUAL, GREATER, AT_LEAST, ANY_BIT):
            assert place + 1 + max(then, otherwise) < len(code)
        else:
            assert operation in (AND, RETURN)
    assert code[-1].code == RETURN
    return code


class Answer(NamedTuple):
    verdict: int
    steps: int
    looked_at_arguments: bool


def run(code: list[Instruction], architecture: int, number: int, arguments: tuple[int, ...] = ()) -> Answer:
    """Run a program on one call."""
    words = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = DATA.pack(number & 0xFFFFFFFF, architecture, 0, *words)
    place = accumulator = steps = 0
    looked = False
    while True:
        operation, then, otherwise, constant = code[place]
        steps += 1
        place += 1
        if operation == LOAD:
            accumulator = int.from_bytes(data[constant : constant + 4], "little")
            looked |= constant > 4
        elif operation == AND:
            accumulator &= constant
        elif operation == JUMP:
            place += constant
        elif operation == RETURN:
            return Answer(constant, steps, looked)
        else:
            holds = {
                EQUAL: accumulator == constant,
                GREATER: accumulator > constant,
                AT_LEAST: accumulator >= constant,
                ANY_BIT: bool(accumulator & constant),
            }[operation]
            place += then if holds else otherwise
