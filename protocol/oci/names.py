"""The words of a config and the numbers that the kernel (or libseccomp) takes for them.

The numbers are the same on all architectures that Holdfast knows (x86-64, arm64), where the kernel uses its
generic headers. The tables are complete: what is not in them is not known to Linux, or not allowed by the
spec.

Sources: the man page or header that is named beside each table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.protocol.errors import HoldfastError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIGITS_MAX = 20


def parse_uint(text: str | bytes, maximum: int) -> int:
    """Read a number of decimal ASCII digits, 0 to maximum. Raises ValueError.

    For each number from a command line, a file or a fifo: int() also takes `1_000`, ` 12`, `+5` and digits
    of other scripts, and Python refuses more than 4300 digits with an error of its own.
    """
    # isdigit() of str takes superscripts and other scripts; that of bytes takes ASCII digits only.
    digits = text.encode("ascii", "replace") if isinstance(text, str) else text
    if digits.isdigit() and len(digits) <= _DIGITS_MAX and int(digits) <= maximum:
        return int(digits)
    raise ValueError(f"{quoted(text)} is not a number from 0 to {maximum}")


CPU_MAX = 8191
"""The greatest number of a CPU that a kernel can have; nodes are fewer. Source: its NR_CPUS."""


def parse_ranges(text: str) -> int:
    """Read a list of numbers and ranges, `0-3,7`: CPUs or memory nodes. Returns a mask: bit n is number n.

    Raises ValueError. Source: cpuset(7), "List format".
    """
    mask = 0
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin = parse_uint(first, CPU_MAX)
        end = parse_uint(last, CPU_MAX) if dash else begin
        if end < begin:
            raise ValueError(f"{quoted(part)} is not a range: it ends before it begins")
        mask |= (1 << end + 1) - (1 << begin)
    return mask


# process


def _numbered(prefix: str, words: str, start: int = 0) -> dict[str, int]:
    """Give numbers to words, in their order; each gets the prefix."""
    return {prefix + word: number for number, word in enumerate(words.split(), start)}


CAPABILITIES = _numbered(
    "CAP_",
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE",
)
"""Name → bit. Source: capabilities(7), linux/capability.h."""


def capability(name: str) -> int | None:
    """Return the number of a capability, in any case, with or without CAP_; None if it is unknown."""
    upper = name.upper()
    return CAPABILITIES.get(upper if upper.startswith("CAP_") else f"CAP_{upper}")


RLIMITS = _numbered(
    "RLIMIT_",
    "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME",
)
"""Name → number. Source: getrlimit(2), asm-generic/resource.h."""

RLIM_INFINITY = 2**64 - 1

SCHEDULER_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,  # the kernel has reserved the number and never built it
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
"""Source: sched(7), linux/sched.h."""

SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
"""Source: sched_setattr(2), linux/sched.h."""

IO_PRIORITY_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
"""Source: ioprio_set(2), linux/ioprio.h."""


# Signals

SIGNALS = _numbered(
    "",
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN "
    "TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS",
    start=1,
) | {"IOT": 6, "CLD": 17, "POLL": 29}
"""Name without SIG → number. Source: signal(7)."""

RTMIN, RTMAX = 34, 64
"""Real-time signals as the C library counts them: it keeps 32 and 33 for itself. Source: signal(7)."""

_REAL_TIME = {"RTMIN": RTMIN, "RTMAX": RTMAX}
_REAL_TIME_SIGNS = {"RTMIN": "+", "RTMAX": "-"}


def parse_signal(text: str) -> int:
    """Read a signal: a number (0 only tests), a name in any case with or without SIG, RTMIN+n, RTMAX-n.

    Raises HoldfastError.
    """
    name = text.upper().removeprefix("SIG")
    base, sign, offset = name[:5], name[5:6], name[6:]
    try:
        if name in SIGNALS:
            return SIGNALS[name]
        if name in _REAL_TIME:
            return _REAL_TIME[name]
        if base in _REAL_TIME and sign == _REAL_TIME_SIGNS[base]:
            return _REAL_TIME[base] + int(sign + str(parse_uint(offset, RTMAX - RTMIN)))
        return parse_uint(text, RTMAX)
    except ValueError:
        raise HoldfastError(f"unknown signal {quoted(text)}") from None


# mounts

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_SYNCHRONOUS = 0x10
MS_REMOUNT = 0x20
MS_MANDLOCK = 0x40
MS_DIRSYNC = 0x80
MS_NOSYMFOLLOW = 0x100
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SILENT = 0x8000
MS_UNBINDABLE = 0x20000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MS_RELATIME = 0x200000
MS_I_VERSION = 0x800000
MS_STRICTATIME = 0x1000000
MS_LAZYTIME = 0x2000000

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_ATIME = 0x70
"""The bits in which one of the next three numbers stands: whoever sets one has to clear these."""
MOUNT_ATTR_RELATIME = 0x00
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_NOSYMFOLLOW = 0x200000


class Flag(NamedTuple):
    """What an option does to a flag."""

    flag: int
    clear: bool = False


MOUNT_FLAGS = {
    "async": Flag(MS_SYNCHRONOUS, clear=True),
    "atime": Flag(MS_NOATIME, clear=True),
    "bind": Flag(MS_BIND),
    "defaults": Flag(0),
    "dev": Flag(MS_NODEV, clear=True),
    "diratime": Flag(MS_NODIRATIME, clear=True),
    "dirsync": Flag(MS_DIRSYNC),
    "exec": Flag(MS_NOEXEC, clear=True),
    "iversion": Flag(MS_I_VERSION),
    "lazytime": Flag(MS_LAZYTIME),
    "loud": Flag(MS_SILENT, clear=True),
    "mand": Flag(MS_MANDLOCK),
    "noatime": Flag(MS_NOATIME),
    "nodev": Flag(MS_NODEV),
    "nodiratime": Flag(MS_NODIRATIME),
    "noexec": Flag(MS_NOEXEC),
    "noiversion": Flag(MS_I_VERSION, clear=True),
    "nolazytime": Flag(MS_LAZYTIME, clear=True),
    "nomand": Flag(MS_MANDLOCK, clear=True),
    "norelatime": Flag(MS_RELATIME, clear=True),
    "nostrictatime": Flag(MS_STRICTATIME, clear=True),
    "nosuid": Flag(MS_NOSUID),
    "nosymfollow": Flag(MS_NOSYMFOLLOW),
    "rbind": Flag(MS_BIND | MS_REC),
    "relatime": Flag(MS_RELATIME),
    "remount": Flag(MS_REMOUNT),
    "ro": Flag(MS_RDONLY),
    "rw": Flag(MS_RDONLY, clear=True),
    "silent": Flag(MS_SILENT),
    "strictatime": Flag(MS_STRICTATIME),
    "suid": Flag(MS_NOSUID, clear=True),
    "symfollow": Flag(MS_NOSYMFOLLOW, clear=True),
    "sync": Flag(MS_SYNCHRONOUS),
}
"""Option → MS_ flag of mount(2). Source: config.md "Linux mount options", mount(8), linux/mount.h."""

RECURSIVE_MOUNT_FLAGS = {
    "ratime": Flag(MOUNT_ATTR_NOATIME, clear=True),
    "rdev": Flag(MOUNT_ATTR_NODEV, clear=True),
    "rdiratime": Flag(MOUNT_ATTR_NODIRATIME, clear=True),
    "rexec": Flag(MOUNT_ATTR_NOEXEC, clear=True),
    "rnoatime": Flag(MOUNT_ATTR_NOATIME),
    "rnodev": Flag(MOUNT_ATTR_NODEV),
    "rnodiratime": Flag(MOUNT_ATTR_NODIRATIME),
    "rnoexec": Flag(MOUNT_ATTR_NOEXEC),
    "rnorelatime": Flag(MOUNT_ATTR_RELATIME, clear=True),
    "rnostrictatime": Flag(MOUNT_ATTR_STRICTATIME, clear=True),
    "rnosuid": Flag(MOUNT_ATTR_NOSUID),
    "rnosymfollow": Flag(MOUNT_ATTR_NOSYMFOLLOW),
    "rrelatime": Flag(MOUNT_ATTR_RELATIME),
    "rro": Flag(MOUNT_ATTR_RDONLY),
    "rrw": Flag(MOUNT_ATTR_RDONLY, clear=True),
    "rstrictatime": Flag(MOUNT_ATTR_STRICTATIME),
    "rsuid": Flag(MOUNT_ATTR_NOSUID, clear=True),
    "rsymfollow": Flag(MOUNT_ATTR_NOSYMFOLLOW, clear=True),
}
"""Option → MOUNT_ATTR_ flag, for a mount and all below it. Source: mount_setattr(2), linux/mount.h."""

PROPAGATION = {
    "private": MS_PRIVATE,
    "rprivate": MS_PRIVATE | MS_REC,
    "rshared": MS_SHARED | MS_REC,
    "rslave": MS_SLAVE | MS_REC,
    "runbindable": MS_UNBINDABLE | MS_REC,
    "shared": MS_SHARED,
    "slave": MS_SLAVE,
    "unbindable": MS_UNBINDABLE,
}
"""Option, or rootfsPropagation → MS_ flags for a call of their own. Source: mount_namespaces(7)."""

MOUNT_EXTENSIONS = ("idmap", "ridmap", "tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow")
"""Options that the runtime carries out: three of the spec, and three of crun that Podman uses."""


def is_filesystem_option(option: str) -> bool:
    """Whether a mount option is none of the spec's, but data for the filesystem, as `size=64k`."""
    return bool(option) and not (
        option in MOUNT_FLAGS
        or option in RECURSIVE_MOUNT_FLAGS
        or option in PROPAGATION
        or option.partition("=")[0] in MOUNT_EXTENSIONS  # crun's idmap=uids=…;gids=… too
    )


def is_bind(options: Iterable[str]) -> bool:
    """Whether a mount with these options is a bind mount; its type then means nothing."""
    return any(option in {"bind", "rbind"} for option in options)


# linux

NAMESPACES = {
    "pid": 0x20000000,
    "network": 0x40000000,
    "mount": 0x00020000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "user": 0x10000000,
    "cgroup": 0x02000000,
    "time": 0x00000080,
}
"""Type → CLONE_NEW… flag. Source: namespaces(7), linux/sched.h."""

TIME_OFFSETS = ("monotonic", "boottime")
"""The clocks that have an offset. Source: time_namespaces(7)."""

DEVICE_TYPES = ("c", "u", "b", "p")
"""Character, the same unbuffered, block, fifo. Source: mknod(1)."""

PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}
"""Domain → PER_… Source: personality(2), linux/personality.h."""

MEMORY_POLICY_MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
"""Source: set_mempolicy(2), linux/mempolicy.h."""

MEMORY_POLICY_FLAGS = {
    "MPOL_F_NUMA_BALANCING": 1 << 13,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}
"""Source: set_mempolicy(2), linux/mempolicy.h."""

SECCOMP_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,  # the old name of the next one
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
}
"""Action → what the filter returns; the number that ERRNO and TRACE carry is added. Source: seccomp(2)."""

SECCOMP_RETURN_MAX = {"SCMP_ACT_ERRNO": 4095, "SCMP_ACT_TRACE": 65535}
"""Actions that carry a number → its greatest; the kernel cuts an errno there. Source: seccomp(2)."""

SECCOMP_OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
"""Operator → libseccomp's enum scmp_compare. Source: seccomp_rule_add(3)."""

SECCOMP_ARCHITECTURES = tuple(
    _numbered(
        "SCMP_ARCH_",
        "X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE "
        "S390 S390X PARISC PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB",
    )
)
"""What a config may name; libseccomp has the numbers, by the same names in lower case without prefix."""

SECCOMP_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0x01,
    "SECCOMP_FILTER_FLAG_LOG": 0x02,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 0x04,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 0x20,
}
"""Source: seccomp(2), linux/seccomp.h."""
