"""Runs system calls in a child under a seccomp filter, and tells what the kernel answered.

The child loads the filter by the raw call, with nothing but the program's bytes and the flags: as an init
does it. The answers come back through shared memory, since under a filter the child may be able to do little
else than end.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
from typing import TYPE_CHECKING, NamedTuple

from holdfast.runtime.sys import process
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.runtime.seccomp.profile import Filter

_NOT_REACHED = -(2**40)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.argtypes = [ctypes.c_long] * 7
_libc.syscall.restype = ctypes.c_long

_INT80 = bytes.fromhex(
    "53"  # push rbx, which C code expects to find again
    "89f8"  # mov eax, edi: the number
    "89f3"  # mov ebx, esi: the first argument
    "87d1"  # xchg ecx, edx: the second in ecx, the third in edx
    "cd80"  # int 0x80
    "5b"  # pop rbx
    "c3"  # ret
)


class Outcome(NamedTuple):
    """What came of the calls: results or minus errnos, up to the one that killed the child, if one did."""

    results: list[int]
    killed_by: int


def syscall(number: int, *args: int) -> int:
    """Make a call by the machine's usual instruction. Returns the result or minus the errno."""
    result: int = _libc.syscall(number, *args, *[0] * (6 - len(args)))
    return result if result >= 0 else -ctypes.get_errno()


def int80() -> Callable[..., int]:
    """Return a function like `syscall` that enters the kernel as a 32-bit program does; x86-64 only."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(_INT80)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    enter = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint] * 4)(address)

    def call(number: int, *args: int) -> int:
        # Named here, so that the page lives as long as the function.
        assert page
        return int(enter(number, *args, *[0] * (3 - len(args))))

    return call


def under(filter_: Filter | None, *calls: Callable[[], int]) -> Outcome:
    """Run calls, one after the other, in a child under a filter."""
    shared = mmap.mmap(-1, 8 * max(len(calls), 1))
    for i in range(len(calls)):
        struct.pack_into("=q", shared, 8 * i, _NOT_REACHED)
    pid = os.fork()
    if pid == 0:
        _in_child(shared, filter_, calls)
    _, status = os.waitpid(pid, 0)
    answers = struct.unpack(f"={len(calls)}q", shared[: 8 * len(calls)])
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    assert killed_by or os.WEXITSTATUS(status) == 0
    return Outcome([answer for answer in answers if answer != _NOT_REACHED], killed_by)


def load(filter_: Filter) -> int:
    """Put this process under a filter. Returns the listener's descriptor, or 0."""
    here.do(process.prctl(process.PR_SET_NO_NEW_PRIVS, 1))
    return here.do(process.seccomp_load(filter_.program, filter_.flags))


def _in_child(shared: mmap.mmap, filter_: Filter | None, calls: Sequence[Callable[[], int]]) -> None:
    signal.signal(signal.SIGSYS, signal.SIG_DFL)
    try:
        if filter_ is not None:
            load(filter_)
        for i, call in enumerate(calls):
            struct.pack_into("=q", shared, 8 * i, call())
    except BaseException:  # noqa: BLE001  # the child must not go on as a second test run
        os._exit(70)
    os._exit(0)
