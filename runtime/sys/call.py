"""A system call as a value: what it is called with, what it is for, and what it gave.

The runtime never calls the kernel directly.  It makes a `Call` (one function per system call, in the files
beside this one, each named after its man page) and gives it to an *executor*, which carries it out: in this
process (executor.py) or, through the puppet, inside the container (runtime/puppet/puppet.py).  So one
function, `mkdirat` say, serves both sides; the list of all that a container's setup does can be printed
while it happens; and a test can make any one call fail.

An executor that works in batches does not have a call's result at once.  It hands out a `Result`, which may
be an argument of later calls as it stands, and which has its `value` once the batch has been carried out.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

from holdfast.protocol.errors import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCEPT_ANY = 0xFFFF
"""For `Call.accept`: the call may fail in any way."""


class Result:
    """What a call has given, or is going to give."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value: int | None = None

    @property
    def value(self) -> int:
        """The number; minus an errno where the call was allowed to fail with it.

        Raises RuntimeError when the batch of the call has not been carried out yet.
        """
        if self._value is None:
            raise RuntimeError("the result of a call is read before its batch was carried out")
        return self._value

    @property
    def known(self) -> bool:
        """Whether the call has been carried out."""
        return self._value is not None

    def settle(self, value: int) -> None:
        """For executors: note what the call gave."""
        self._value = value


class Out:
    """A buffer that the kernel fills; `data` holds the bytes once the call has been carried out."""

    __slots__ = ("data", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = b""

    def number(self, place: int) -> Loaded:
        """Return the 32-bit number that a call will have put at `place` (bytes), for a later call."""
        return Loaded(self, place)


class Loaded(NamedTuple):
    """An argument: the 32-bit number at a place in an output buffer that an earlier call has filled."""

    out: Out
    place: int


class Passed(NamedTuple):
    """An argument: a descriptor of this process, handed to whoever carries out the call, for one batch."""

    fd: int


class Struct(NamedTuple):
    """An argument: the address of a structure, some of whose members are pointers or earlier results."""

    raw: bytes
    members: Sequence[Member]


class Member(NamedTuple):
    """A member of a `Struct`: where it is, its size (4 or 8 bytes), what belongs there."""

    place: int
    size: int
    value: Arg


Value = int | Result
"""A number that a call gave, for instance a descriptor: known already, or not yet."""

Arg = int | Result | Loaded | Passed | bytes | Out | Struct


class Call(NamedTuple):
    """One system call. `about` says for people what it is done to.

    `accept` is an errno that is no failure.
    """

    number: int
    name: str
    args: tuple[Arg, ...]
    about: str = ""
    accept: int = 0
    forks_to: int = 0
    """Where the child of a call that forks reads its batches from: a descriptor.

    0 if the call does not fork.
    """
    becomes_channel: bool = False
    """Whether answers are sent to the descriptor that this call returns, from now on."""

    def accepting(self, error: int) -> Call:
        """Return the same call, for which failing with this errno is a result like any other."""
        return self._replace(accept=error)


class Executor(Protocol):
    """Whoever carries calls out.

    `subject` is put in front of an error, for a person: `mount "proc" on "/proc"`. Empty: the call tells it
    itself.
    """

    subject: str

    @property
    def pending(self) -> int:
        """How many calls wait for the next flush: a batch has room for a thousand."""

    def do(self, call: Call) -> Value:
        """Carry the call out, now or with the next flush.

        Raises CallFailed (flush does, for a later one).
        """

    def flush(self) -> None:
        """Return when all calls so far have been carried out.

        Raises CallFailed for the first that failed.
        """


class CallFailed(OSError):  # noqa: N818  # reads as what it tells
    """A system call failed: the operation and its object, with the kernel's reason."""

    def __init__(self, error: int, operation: str, call: Call) -> None:
        super().__init__(error, f"{operation}: {os.strerror(error)}")
        self.operation = operation
        self.call = call

    def __str__(self) -> str:
        return str(self.strerror)


def operation_of(call: Call, subject: str) -> str:
    """Name what failed, for a sentence: the subject that the step gave, else the call and its object."""
    return subject or f"{call.name} {call.about}".rstrip()


def number_of(value: Value) -> int:
    """Return the number of a value that is known."""
    return value if isinstance(value, int) else value.value


def cstring(text: bytes) -> bytes:
    """Return the bytes with the NUL that ends them for the kernel.

    Raises ValueError if there is one inside.
    """
    if b"\0" in text:
        raise ValueError("a NUL byte in a path or an argument")
    return text + b"\0"


def shown(text: bytes) -> str:
    """Show bytes of a path or a name in a sentence: in double quotes, what is not plain text escaped."""
    return quoted(text)
