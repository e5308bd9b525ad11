"""Lays system calls out as the bytes of a batch, and reads the puppet's answer.

The layout is told at the head of puppet.c. Every place is known while calls are added: buffers that calls
read start right after the control message, buffers that calls fill start at the arena's second half.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from holdfast.runtime.sys.call import Arg, Call, Loaded, Out, Passed, Result, Struct

CALLS_MAX = 1000
"""Calls in one batch, less those that a last call may add for its structures."""
PASSED_MAX = 64

_HEADER = struct.Struct("=IIII")
_CALL = struct.Struct("=iHHII6Q")
ANSWER = struct.Struct("=II")

_CONTROL_SIZE = 272
_FIRST_PASSED = 16
_BACK = 8 << 20
_STORE = -1
_NUMBER, _RESULT, _ADDRESS, _LOADED = range(4)
_FORKS, _BECOMES_CHANNEL = 1, 2
_WORD = 2**64 - 1


class Entry(NamedTuple):
    """A call of a batch: with the result that was promised for it and the subject of an error."""

    call: Call
    result: Result
    subject: str


class Batch:
    """Calls on their way to a puppet."""

    def __init__(self) -> None:
        self.passed: list[int] = []
        """Descriptors of this process that go along."""
        self.entries: list[Entry | None] = []
        """The calls in their order; None for a store that a call's structure needs."""
        self._words: list[bytes] = []
        self._index: dict[Result, int] = {}
        self._data = bytearray()
        self._outs: dict[Out, int] = {}
        self._back_size = 0

    def __len__(self) -> int:
        return len(self._words)

    def add(self, entry: Entry) -> None:
        """Append a call."""
        call = entry.call
        words = [self._word(arg) for arg in call.args]
        self._index[entry.result] = len(self._words)
        self._append(call.number, words, call)
        self.entries.append(entry)

    def encode(self) -> bytes:
        """Return the bytes to send."""
        self._pad()
        size = len(self._data) + _CALL.size * len(self._words)
        if size > _BACK - _CONTROL_SIZE or self._back_size > _BACK:
            raise OverflowError(f"a batch of {size} bytes is too large for the puppet")
        header = _HEADER.pack(size, len(self._words), self._back_size, 0)
        return b"".join((header, self._data, *self._words))

    def answer_size(self, done: int) -> int:
        """Return how many bytes of an answer follow its head."""
        return 8 * done + self._back_size

    def settle(self, done: int, answer: bytes) -> None:
        """Give the calls that were carried out their results and their output buffers the bytes."""
        results = struct.unpack_from(f"={done}q", answer)
        for entry, value in zip(self.entries, results, strict=False):
            if entry is not None:
                entry.result.settle(value)
        for out, place in self._outs.items():
            start = 8 * done + place
            out.data = answer[start : start + out.size]

    def _append(self, number: int, words: list[tuple[int, int]], call: Call | None) -> None:
        kinds = sum(kind << 4 * i for i, (kind, _) in enumerate(words))
        values = [word & _WORD for _, word in words] + [0] * (6 - len(words))
        flags, accept, channel = 0, 0, 0
        if call is not None:
            flags = (_FORKS if call.forks_to else 0) | (_BECOMES_CHANNEL if call.becomes_channel else 0)
            accept, channel = call.accept, call.forks_to
        self._words.append(_CALL.pack(number, flags, accept, kinds, channel, *values))

    def _word(self, arg: Arg) -> tuple[int, int]:  # noqa: PLR0911  # one for each kind of argument
        """Turn an argument into its kind and its word."""
        match arg:
            case int():
                return _NUMBER, arg
            case Result():
                return (_NUMBER, arg.value) if arg.known else (_RESULT, self._index[arg])
            case Loaded(out, place):
                return _LOADED, self._out(out) + place
            case Passed(fd):
                return _LOADED, _FIRST_PASSED + 4 * self._pass(fd)
            case Out():
                return _ADDRESS, self._out(arg)
            case Struct(raw, members):
                place = self._buffer(raw)
                for member in members:
                    words = [
                        (_NUMBER, place + member.place),
                        self._word(member.value),
                        (_NUMBER, member.size),
                    ]
                    self._append(_STORE, words, None)
                    self.entries.append(None)
                return _ADDRESS, place
            case _:
                return _ADDRESS, self._buffer(arg)

    def _buffer(self, content: bytes) -> int:
        self._pad()
        place = _CONTROL_SIZE + len(self._data)
        self._data += content
        return place

    def _pad(self) -> None:
        self._data += bytes(-len(self._data) % 8)

    def _out(self, out: Out) -> int:
        """Return the place of an output buffer."""
        if out not in self._outs:
            self._outs[out] = self._back_size
            self._back_size += out.size + -out.size % 8
        return _BACK + self._outs[out]

    def _pass(self, fd: int) -> int:
        if fd not in self.passed:
            self.passed.append(fd)
        return self.passed.index(fd)
