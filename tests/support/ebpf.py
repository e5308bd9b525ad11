"""Runs BPF programs as the kernel would, as far as device programs go.

Source: the kernel's bpf/standardization/instruction-set.rst.
"""

from __future__ import annotations

import struct

_MASK32 = 2**32 - 1
_STEPS_MAX = 100_000


def run(program: bytes, context: bytes) -> int:
    """Return what a program answers (its register 0) if register 1 points to this context.

    Raises ValueError for an instruction that does not exist, IndexError for a jump or a load to nowhere.
    """
    registers: list[int | None] = [None] * 11
    place = 0
    for _ in range(_STEPS_MAX):
        code, numbers, offset, constant = struct.unpack_from("=BBhi", program, 8 * place)
        target, source = numbers & 0xF, numbers >> 4
        place += 1
        if code == 0x95:
            return _known(registers[0])
        if code == 0x61:
            if source != 1:
                raise ValueError(f"a load from register {source}, which is no pointer")
            if not 0 <= offset <= len(context) - 4:
                raise IndexError("a load beyond the context")
            registers[target] = int.from_bytes(context[offset : offset + 4], "little")
        elif code == 0x05:
            place += offset
        elif code in (0x46, 0x56):
            left, right = _known(registers[target]), constant & _MASK32
            if (left & right) if code == 0x46 else (left != right):
                place += offset
        else:
            registers[target] = _computed(code, registers[target], registers[source], constant) & _MASK32
    raise ValueError("the program does not end")


def reachable(program: bytes) -> set[int]:
    """Return the places of the instructions that can be reached; the kernel takes no program with others."""
    reached: set[int] = set()
    waiting = [0]
    while waiting:
        place = waiting.pop()
        if place in reached:
            continue
        reached.add(place)
        code, _, offset, _ = struct.unpack_from("=BBhi", program, 8 * place)
        if code == 0x95:
            continue
        if code in (0x05, 0x46, 0x56):
            waiting.append(place + 1 + offset)
        if code != 0x05:
            waiting.append(place + 1)
    return reached


def _computed(code: int, target: int | None, source: int | None, constant: int) -> int:
    match code:
        case 0xB4:
            return constant
        case 0xBC:
            return _known(source)
        case 0x54:
            return _known(target) & constant
        case 0x74:
            return _known(target) >> constant
    raise ValueError(f"no instruction {code:#x} in a device program")


def _known(value: int | None) -> int:
    if value is None:
        raise ValueError("a register is read before it is written")
    return value
