"""libseccomp, the library that turns rules with names of system calls into a BPF program, by ctypes.

What it is needed for is knowledge: which number a call has on which architecture, and which calls an
architecture bundles into one (socketcall, ipc).  It runs in the parent only, and only builds: the finished
program is exported as bytes, and who loads it needs nothing but seccomp(2).  So the library's own attributes
for loading (no_new_privs, TSYNC, LOG, …) are not here.

What is built on it is shaped by these facts:

- Functions answer with minus an errno; they do not set errno.
- A call that an architecture lacks has a *pseudo number* there, below zero.  A rule may be made of one: it
  has no effect where the call does not exist.  A name that the library has never heard of is -1.
- A rule without conditions beats all rules of the same call that have some, whatever their order and
  actions.
- One rule may have one condition per argument, all of which must hold; several rules of a call are
  alternatives.
- On an architecture of 32 bits, and it counts x32 among these, it drops the upper half of both sides of a
  comparison.

Sources: seccomp_init(3), seccomp_arch_add(3), seccomp_attr_set(3), seccomp_rule_add(3),
seccomp_export_bpf(3), seccomp_syscall_resolve_name(3), seccomp_api_get(3).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from holdfast.protocol.errors import HoldfastError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SONAME = "libseccomp.so.2"
OLDEST = (2, 5, 0)
"""The first version that knows SCMP_ACT_NOTIFY and the binary search of rules."""

ARCH_X86_64 = 0xC000003E
ARCH_X32 = 0x4000003E
ARCH_ARM = 0x40000028

ATTRIBUTE_BAD_ARCH_ACTION = 2
ATTRIBUTE_OPTIMIZE = 8
ATTRIBUTE_RAW_ERRNO = 9
OPTIMIZE_BINARY_TREE = 2

_PROGRAM_SIZE = 64 << 10
"""In bytes; twice what the kernel takes, so that one that is too long can be told by its length."""

UNKNOWN = -1
"""What `Library.number` gives for a name that the library has never heard of."""


class _Version(ctypes.Structure):
    _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))


class _ArgCmp(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class Condition(Struct, frozen=True, array_like=True):
    """What an argument of a call must be; for MASKED_EQ `first` is the mask, `second` what it must leave."""

    argument: int
    operator: int
    first: int
    second: int = 0


_SIGNATURES = {
    "seccomp_version": (ctypes.POINTER(_Version), ()),
    "seccomp_api_get": (ctypes.c_uint, ()),
    "seccomp_arch_native": (ctypes.c_uint32, ()),
    "seccomp_arch_resolve_name": (ctypes.c_uint32, (ctypes.c_char_p,)),
    "seccomp_init": (ctypes.c_void_p, (ctypes.c_uint32,)),
    "seccomp_release": (None, (ctypes.c_void_p,)),
    "seccomp_arch_add": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint32)),
    "seccomp_attr_set": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)),
    "seccomp_rule_add_array": (
        ctypes.c_int,
        (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_ArgCmp)),
    ),
    "seccomp_export_bpf": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_int)),
    "seccomp_syscall_resolve_name": (ctypes.c_int, (ctypes.c_char_p,)),
    # The name is allocated for the caller, who needs the address to free it: c_char_p would lose that.
    "seccomp_syscall_resolve_num_arch": (ctypes.c_void_p, (ctypes.c_uint32, ctypes.c_int)),
}
"""C function → its result and its arguments; without them ctypes would cut pointers to 32 bits."""


class Library:
    """The loaded library."""

    def __init__(self) -> None:
        """Load it. Raises HoldfastError when it is missing or too old."""
        try:
            self._c = ctypes.CDLL(SONAME)
        except OSError as error:
            raise HoldfastError(
                f"load {SONAME}: {error}; a seccomp profile needs libseccomp "
                f"(Debian and Ubuntu: libseccomp2; Fedora, Alpine and Arch: libseccomp)"
            ) from error
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._c, name)
            function.restype, function.argtypes = result, arguments
        self._free = ctypes.CDLL(None).free
        self._free.restype, self._free.argtypes = None, (ctypes.c_void_p,)
        found = self._c.seccomp_version().contents
        self.version: tuple[int, int, int] = (found.major, found.minor, found.micro)
        self.version_text = ".".join(map(str, self.version))
        if self.version < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise HoldfastError(
                f"load {SONAME}: version {self.version_text} is too old; needed: {oldest} or later"
            )

    def api_level(self) -> int:
        """Return what library and kernel can do together, as a level. Source: seccomp_api_get(3)."""
        return int(self._c.seccomp_api_get())

    def native(self) -> int:
        """Return the token of this machine's architecture."""
        return int(self._c.seccomp_arch_native())

    def architecture(self, name: str) -> int:
        """Return the token of an architecture, by the library's name for it (x86_64), or 0."""
        return int(self._c.seccomp_arch_resolve_name(name.encode()))

    def number(self, name: str) -> int:
        """Return the native number of a call, a pseudo number if there is none, or UNKNOWN."""
        # The library would read a name with a NUL up to there, and take it for another.
        return UNKNOWN if "\0" in name else int(self._c.seccomp_syscall_resolve_name(name.encode()))

    def name(self, architecture: int, number: int) -> str | None:
        """Return the name of the call with this number, None if the architecture has none."""
        address = self._c.seccomp_syscall_resolve_num_arch(architecture, number)
        if not address:
            return None
        try:
            return ctypes.string_at(address).decode()
        finally:
            self._free(address)

    @contextmanager
    def rules(self, default_action: int) -> Iterator[Rules]:
        """Give an empty set of rules for the native architecture; afterwards it is freed.

        Raises OSError if the action is not supported here.
        """
        context = self._c.seccomp_init(default_action)
        if not context:
            reason = f"default action {default_action:#x} is not supported here"
            raise OSError(errno.EINVAL, f"seccomp_init: {reason}")
        try:
            rules = Rules(self._c, context)
            # Else each failure of a system call is told as ECANCELED.
            rules.set_attribute(ATTRIBUTE_RAW_ERRNO, 1)
            yield rules
        finally:
            self._c.seccomp_release(context)


class Rules:
    """A set of rules on its way to a program. All methods raise OSError with the library's errno."""

    def __init__(self, c: ctypes.CDLL, context: int) -> None:
        """Take the library's functions and its handle of the set, which stays the caller's to free."""
        self._c = c
        self._context = context

    def add_architecture(self, token: int) -> None:
        """Let the rules hold for calls of this architecture too: those made so far and those to come."""
        _check("seccomp_arch_add", self._c.seccomp_arch_add(self._context, token))

    def set_attribute(self, attribute: int, value: int) -> None:
        """Set one of the ATTRIBUTE_ constants. Source: seccomp_attr_set(3)."""
        _check("seccomp_attr_set", self._c.seccomp_attr_set(self._context, attribute, value))

    def add(self, action: int, number: int, conditions: Sequence[Condition] = ()) -> None:
        """Add a rule for a call: its native number, or a pseudo number, on every architecture of the set.

        It is the library's rule_add, not rule_add_exact: the exact form refuses several architectures.
        """
        array = (_ArgCmp * len(conditions))(
            *[_ArgCmp(c.argument, c.operator, c.first, c.second) for c in conditions]
        )
        result = self._c.seccomp_rule_add_array(self._context, action, number, len(conditions), array)
        _check("seccomp_rule_add", result)

    def export(self) -> bytes:
        """Return the program: an array of struct sock_filter. EMSGSIZE: it is far too long to be loaded."""
        # A packet arrives whole or not at all. A file would be cut at RLIMIT_FSIZE, a pipe at its size, and
        # the library does not notice: half a program would be loaded.
        theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, ours:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PROGRAM_SIZE)
            _check("seccomp_export_bpf", self._c.seccomp_export_bpf(self._context, theirs.fileno()))
            # The kernel doubles what SO_SNDBUF is given, for its own use.
            return ours.recv(2 * _PROGRAM_SIZE)


def _check(operation: str, result: int) -> None:
    if result < 0:
        raise OSError(-result, f"{operation}: {os.strerror(-result)}")


_loaded: list[Library] = []


def library() -> Library:
    """Return the library, loaded at the first call. Raises HoldfastError when it is missing or too old."""
    # Not at import: most commands never see a profile.
    if not _loaded:
        _loaded.append(Library())
    return _loaded[0]
