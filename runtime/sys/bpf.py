"""bpf(2): programs that the kernel runs on behalf of a cgroup.

One system call, whose first argument says what is wanted and whose second is a structure that differs with
it. A program is loaded first, when the kernel's verifier proves that it ends and touches nothing that it may
not; then it is attached to a cgroup by the descriptors of both. It stays attached until it is detached or
the cgroup is removed, whoever closes the descriptors.

Source: bpf(2); the kernel's include/uapi/linux/bpf.h, union bpf_attr.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from holdfast.runtime.sys.call import Call, Member, Out, Struct
from holdfast.runtime.sys.numbers import NUMBERS

if TYPE_CHECKING:
    from holdfast.runtime.sys.call import Arg

PROG_TYPE_CGROUP_DEVICE = 15
ATTACH_CGROUP_DEVICE = 6

F_ALLOW_MULTI = 2
"""Other programs may be attached beside this one; all of them are asked."""
F_REPLACE = 4

INSTRUCTION_SIZE = 8

_PROG_LOAD = 5
_PROG_ATTACH = 8
_PROG_DETACH = 9
_PROG_GET_FD_BY_ID = 13
_PROG_QUERY = 16


def prog_load(program: bytes, license_name: bytes) -> Call:
    """Have a device program verified; the result is a descriptor of it. Source: bpf(2), BPF_PROG_LOAD."""
    count = len(program) // INSTRUCTION_SIZE
    # Type, count, two addresses that are filled in; no log, no name; what it will be attached as.
    fixed = struct.pack("=II60xI", PROG_TYPE_CGROUP_DEVICE, count, ATTACH_CGROUP_DEVICE)
    attributes = Struct(fixed, (Member(8, 8, program), Member(16, 8, license_name + b"\0")))
    args = (_PROG_LOAD, attributes, len(fixed))
    return Call(NUMBERS["bpf"], "bpf", args, f"load a device program of {count} instructions")


def prog_attach(cgroup: Arg, program: Arg, flags: int, *, replaced: Arg = 0) -> Call:
    """Attach a device program to a cgroup, with F_REPLACE instead of one. Source: bpf(2)."""
    fixed = struct.pack("=5I", 0, 0, ATTACH_CGROUP_DEVICE, flags, 0)
    attributes = Struct(fixed, (Member(0, 4, cgroup), Member(4, 4, program), Member(16, 4, replaced)))
    return Call(NUMBERS["bpf"], "bpf", (_PROG_ATTACH, attributes, len(fixed)), "attach a device program")


def prog_detach(cgroup: Arg, program: Arg) -> Call:
    """Detach a device program from a cgroup. Source: bpf(2), BPF_PROG_DETACH."""
    fixed = struct.pack("=4I", 0, 0, ATTACH_CGROUP_DEVICE, 0)
    attributes = Struct(fixed, (Member(0, 4, cgroup), Member(4, 4, program)))
    return Call(NUMBERS["bpf"], "bpf", (_PROG_DETACH, attributes, len(fixed)), "detach a device program")


def prog_query(cgroup: Arg, ids: Out) -> Call:
    """Ask which device programs are attached to a cgroup itself; decode `ids` with `ids_in`.

    Fails with ENOSPC if there are more than `ids` has room for.
    Source: bpf(2), BPF_PROG_QUERY.
    """
    fixed = struct.pack("=IIIIQII", 0, ATTACH_CGROUP_DEVICE, 0, 0, 0, ids.size // 4, 0)
    attributes = Struct(fixed, (Member(0, 4, cgroup), Member(16, 8, ids)))
    return Call(NUMBERS["bpf"], "bpf", (_PROG_QUERY, attributes, len(fixed)), "list device programs")


def ids_in(ids: Out) -> list[int]:
    """Return the programs that prog_query found; an id is never 0."""
    return [number for (number,) in struct.iter_unpack("=I", ids.data) if number]


def prog_get_fd_by_id(number: int) -> Call:
    """Open a program by its id. Source: bpf(2), BPF_PROG_GET_FD_BY_ID."""
    attributes = struct.pack("=III", number, 0, 0)
    about = f"open the program {number}"
    return Call(NUMBERS["bpf"], "bpf", (_PROG_GET_FD_BY_ID, attributes, len(attributes)), about)
