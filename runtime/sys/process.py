"""Processes: making them, their namespaces, identity, capabilities and limits, and the program they run.

Sources: clone(2), unshare(2), setns(2), credentials(7), capabilities(7), prctl(2), execve(2), prlimit(2),
pidfd_open(2), pidfd_send_signal(2), seccomp(2), keyctl(2).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from holdfast.runtime.sys.call import Arg, Call, Member, Out, Struct, cstring, shown
from holdfast.runtime.sys.numbers import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

CLONE_NEWTIME = 0x80
CLONE_PARENT = 0x8000
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

SIGCHLD = 17

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

KEYCTL_JOIN_SESSION_KEYRING = 1
ID_MAX = 2**32 - 2
"""The largest user or group id; 2**32 - 1 means "unchanged" to the kernel."""

_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_SECCOMP_SET_MODE_FILTER = 1


def clone3(flags: int, *, channel: int, exit_signal: int = SIGCHLD, cgroup: Arg = 0) -> Call:
    """Make a process that shares no memory; it reads its own batches from `channel`.

    flags: CLONE_ bits. exit_signal: 0 with CLONE_PARENT. cgroup: directory of the cgroup that the process is
    born in, for CLONE_INTO_CGROUP.
    Source: clone(2), struct clone_args.
    """
    fixed = struct.pack("=11Q", flags, 0, 0, 0, exit_signal, 0, 0, 0, 0, 0, 0)
    args = Struct(fixed, (Member(80, 8, cgroup),))
    return Call(NUMBERS["clone3"], "clone3", (args, len(fixed)), f"flags {flags:#x}", forks_to=channel)


def unshare(flags: int) -> Call:
    """Leave namespaces for new ones. Source: unshare(2)."""
    return Call(NUMBERS["unshare"], "unshare", (flags,), f"flags {flags:#x}")


def setns(fd: Arg, flags: int) -> Call:
    """Join the namespace that fd is open on, or those of the process that a pidfd stands for.

    Source: setns(2).
    """
    return Call(NUMBERS["setns"], "setns", (fd, flags), f"flags {flags:#x}")


def getpid() -> Call:
    """Return the process's id in its own pid namespace. Source: getpid(2)."""
    return Call(NUMBERS["getpid"], "getpid", ())


def setsid() -> Call:
    """Begin a session. Source: setsid(2)."""
    return Call(NUMBERS["setsid"], "setsid", ())


def prctl(option: int, *args: int) -> Call:
    """Change an attribute of the process. Source: prctl(2)."""
    return Call(
        NUMBERS["prctl"], "prctl", (option, *args, *[0] * (4 - len(args))), f"option {option} {args}"
    )


def _checked_id(what: str, number: int) -> int:
    if not 0 <= number <= ID_MAX:
        raise ValueError(f"{what} {number} is out of range; allowed: 0 to {ID_MAX}")
    return number


UNCHANGED = -1
"""For setresuid and setresgid: leave this one as it is."""


def setresuid(real: int, effective: int, saved: int) -> Call:
    """Set the user ids; UNCHANGED leaves one alone. Source: setresuid(2)."""
    ids = tuple(i if i == UNCHANGED else _checked_id("uid", i) for i in (real, effective, saved))
    return Call(NUMBERS["setresuid"], "setresuid", ids, str(ids))


def setresgid(real: int, effective: int, saved: int) -> Call:
    """Set the group ids; UNCHANGED leaves one alone. Source: setresuid(2)."""
    ids = tuple(i if i == UNCHANGED else _checked_id("gid", i) for i in (real, effective, saved))
    return Call(NUMBERS["setresgid"], "setresgid", ids, str(ids))


def setgroups(groups: Sequence[int]) -> Call:
    """Set the supplementary groups. Source: setgroups(2)."""
    packed = struct.pack(f"={len(groups)}I", *[_checked_id("gid", group) for group in groups])
    return Call(NUMBERS["setgroups"], "setgroups", (len(groups), packed), str(list(groups)))


def capset(effective: int, permitted: int, inheritable: int) -> Call:
    """Set the three capability sets of the thread, each a mask of bits. Source: capset(2)."""
    low = (effective & 0xFFFFFFFF, permitted & 0xFFFFFFFF, inheritable & 0xFFFFFFFF)
    high = (effective >> 32, permitted >> 32, inheritable >> 32)
    header = struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    about = f"effective {effective:#x} permitted {permitted:#x} inheritable {inheritable:#x}"
    return Call(NUMBERS["capset"], "capset", (header, struct.pack("=6I", *low, *high)), about)


def capget(out: Out) -> Call:
    """Ask for the capability sets of the calling thread: 24 bytes.

    Source: capget(2), struct __user_cap_data_struct.
    """
    header = struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    return Call(NUMBERS["capget"], "capget", (header, out))


def prlimit(pid: int, resource: int, soft: int, hard: int) -> Call:
    """Set a resource limit of a process. Source: prlimit(2)."""
    limits = struct.pack("=QQ", soft, hard)
    return Call(
        NUMBERS["prlimit64"], "prlimit", (pid, resource, limits, 0), f"resource {resource}: {soft} {hard}"
    )


def get_prlimit(pid: int, resource: int, out: Out) -> Call:
    """Ask for a resource limit of a process: two 64-bit numbers, soft and hard. Source: prlimit(2)."""
    return Call(NUMBERS["prlimit64"], "prlimit", (pid, resource, 0, out), f"resource {resource}")


def join_session_keyring(name: bytes) -> Call:
    """Begin a session keyring of this name. Source: keyctl(2), KEYCTL_JOIN_SESSION_KEYRING."""
    return Call(NUMBERS["keyctl"], "keyctl", (KEYCTL_JOIN_SESSION_KEYRING, cstring(name)), shown(name))


def seccomp_load(program: bytes, flags: int) -> Call:
    """Put the process under a filter: an array of struct sock_filter, 8 bytes each. Source: seccomp(2)."""
    count = struct.pack("=H14x", len(program) // 8)
    sock_fprog = Struct(count, (Member(8, 8, program),))
    about = f"{len(program) // 8} instructions"
    return Call(NUMBERS["seccomp"], "seccomp", (_SECCOMP_SET_MODE_FILTER, flags, sock_fprog), about)


def execve(path: bytes, argv: Sequence[bytes], environment: Sequence[bytes]) -> Call:
    """Run a program in place of this one. Source: execve(2)."""
    args = (cstring(path), _pointers(argv), _pointers(environment))
    return Call(NUMBERS["execve"], "execve", args, shown(path))


def _pointers(strings: Sequence[bytes]) -> Struct:
    members = tuple(Member(8 * i, 8, cstring(text)) for i, text in enumerate(strings))
    return Struct(bytes(8 * (len(strings) + 1)), members)


def default_action(signal: int) -> Call:
    """Give a signal its default action. Source: sigaction(2), struct sigaction of the kernel."""
    action = bytes(32)
    return Call(NUMBERS["rt_sigaction"], "rt_sigaction", (signal, action, 0, 8), f"signal {signal}")


def pidfd_open(pid: int) -> Call:
    """Open a descriptor that stands for the process. Source: pidfd_open(2)."""
    return Call(NUMBERS["pidfd_open"], "pidfd_open", (pid, 0), f"pid {pid}")


def pidfd_send_signal(pidfd: Arg, signal: int) -> Call:
    """Send a signal to the process that the descriptor stands for. Source: pidfd_send_signal(2)."""
    return Call(NUMBERS["pidfd_send_signal"], "pidfd_send_signal", (pidfd, signal, 0, 0), f"signal {signal}")


def sethostname(name: bytes) -> Call:
    """Set the host name of the uts namespace. Source: sethostname(2)."""
    return Call(NUMBERS["sethostname"], "sethostname", (name, len(name)), shown(name))


def setdomainname(name: bytes) -> Call:
    """Set the NIS domain name of the uts namespace. Source: setdomainname(2)."""
    return Call(NUMBERS["setdomainname"], "setdomainname", (name, len(name)), shown(name))
