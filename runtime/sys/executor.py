"""The executor that carries system calls out in this process, through syscall(2) of the C library.

ctypes narrows a Python integer to the C type without a word: 2**32 as a uid would become 0.  So every number
is checked to fit a register before it goes out; the range that a call itself allows is the wrapper's
business.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from holdfast.runtime.sys.call import (
    ACCEPT_ANY,
    Arg,
    Call,
    CallFailed,
    Loaded,
    Out,
    Passed,
    Result,
    Struct,
    operation_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from ctypes import Array, c_char

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.argtypes = [ctypes.c_long] * 7
_syscall.restype = ctypes.c_long

_REGISTER_MIN, _REGISTER_MAX = -(2**63), 2**64 - 1


class Here:
    """Carries each call out at once, in this process."""

    pending = 0
    """No call ever waits here."""

    def __init__(self) -> None:
        self.subject = ""
        self.observe: Callable[[Call, int | None], None] | None = None
        """If set, is given each call with its result (minus the errno for one that failed)."""

    def do(self, call: Call) -> int:
        """Carry the call out and return what it gave.

        Returns the result, or minus the errno where the call accepts that. Raises CallFailed.
        Source: syscall(2).
        """
        if call.forks_to:
            raise ValueError(f"{call.name} would fork this process; a puppet does that")
        memory: list[Array[c_char]] = []
        outputs: list[tuple[Out, Array[c_char]]] = []
        words = [self._word(arg, memory, outputs) for arg in call.args]
        result = self._enter(call.number, words)
        for out, buffer in outputs:
            out.data = buffer.raw
        if self.observe is not None:
            self.observe(call, result)
        if result < 0 and call.accept not in (-result, ACCEPT_ANY):
            raise CallFailed(-result, operation_of(call, self.subject), call)
        return result

    def flush(self) -> None:
        """Do nothing: each call has been carried out already."""

    def _enter(self, number: int, words: list[int]) -> int:
        """Make the call. Returns its result, or minus the errno."""
        result: int = _syscall(number, *words, *[0] * (6 - len(words)))
        return result if result >= 0 else -ctypes.get_errno()

    def _word(self, arg: Arg, memory: list[Array[c_char]], outputs: list[tuple[Out, Array[c_char]]]) -> int:
        """Turn an argument into what goes into a register; `memory` keeps alive what it points to."""
        match arg:
            case int():
                if not _REGISTER_MIN <= arg <= _REGISTER_MAX:
                    raise OverflowError(f"{arg} does not fit a register")
                return arg if arg < 2**63 else arg - 2**64
            case Result():
                return arg.value
            case Passed(fd):
                return fd
            case Loaded(out, place):
                return int.from_bytes(out.data[place : place + 4], "little", signed=True)
            case Out():
                buffer = ctypes.create_string_buffer(arg.size)
                outputs.append((arg, buffer))
            case Struct(raw, members):
                content = bytearray(raw)
                for place, size, value in members:
                    word = self._word(value, memory, outputs)
                    content[place : place + size] = (word & (2 ** (8 * size) - 1)).to_bytes(size, "little")
                buffer = ctypes.create_string_buffer(bytes(content), len(content))
            case _:
                buffer = ctypes.create_string_buffer(arg, len(arg))
        memory.append(buffer)
        return ctypes.addressof(buffer)


here = Here()
"""For work that no step of a setup does: reading state, sending a signal."""


def close_quietly(*fds: int) -> None:
    """Close descriptors in a tidy-up, where nobody could act on an error."""
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            continue
