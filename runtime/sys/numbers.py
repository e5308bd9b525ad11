"""The numbers of the system calls, and the constants that they take, for the architectures that Holdfast knows.

Sources: the kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (arm64 uses the
latter); calls newer than 5.0 have one number on all architectures.
"""

from __future__ import annotations

import os

_X86_64 = {
    "read": 0, "write": 1, "close": 3, "fcntl": 72, "ioctl": 16, "dup3": 292, "pipe2": 293, "sendto": 44,
    "sendmsg": 46, "recvmsg": 47, "accept4": 288, "socket": 41, "bind": 49, "listen": 50, "connect": 42,
    "openat": 257, "mkdirat": 258, "mknodat": 259, "fchownat": 260, "unlinkat": 263, "renameat2": 316,
    "symlinkat": 266, "readlinkat": 267, "fchmodat": 268, "faccessat2": 439, "fchdir": 81, "chdir": 80,
    "getcwd": 79, "fchown": 93, "fchmod": 91, "statx": 332, "fstatfs": 138, "umask": 95, "fsync": 74,
    "ftruncate": 77, "getdents64": 217, "sendfile": 40,
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
    "sethostname": 170, "setdomainname": 171, "unshare": 272, "setns": 308,
    "prctl": 157, "capset": 126, "capget": 125, "setresuid": 117, "getresuid": 118, "setresgid": 119,
    "getresgid": 120, "setgroups": 116, "getgroups": 115, "prlimit64": 302, "setsid": 112, "setpriority": 141,
    "sched_setattr": 314, "sched_setaffinity": 203, "ioprio_set": 251, "personality": 135, "seccomp": 317,
    "set_mempolicy": 238, "keyctl": 250, "execve": 59, "execveat": 322, "exit_group": 231, "wait4": 61,
    "waitid": 247, "kill": 62, "getpid": 39, "memfd_create": 319, "bpf": 321, "rt_sigprocmask": 14, "rt_sigaction": 13,
    "setsockopt": 54, "eventfd2": 290, "inotify_init1": 294, "inotify_add_watch": 254,
}  # fmt: skip

_AARCH64 = {
    "read": 63, "write": 64, "close": 57, "fcntl": 25, "ioctl": 29, "dup3": 24, "pipe2": 59, "sendto": 206,
    "sendmsg": 211, "recvmsg": 212, "accept4": 242, "socket": 198, "bind": 200, "listen": 201, "connect": 203,
    "openat": 56, "mkdirat": 34, "mknodat": 33, "fchownat": 54, "unlinkat": 35, "renameat2": 276,
    "symlinkat": 36, "readlinkat": 78, "fchmodat": 53, "faccessat2": 439, "fchdir": 50, "chdir": 49,
    "getcwd": 17, "fchown": 55, "fchmod": 52, "statx": 291, "fstatfs": 44, "umask": 166, "fsync": 82,
    "ftruncate": 46, "getdents64": 61, "sendfile": 71,
    "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51,
    "sethostname": 161, "setdomainname": 162, "unshare": 97, "setns": 268,
    "prctl": 167, "capset": 91, "capget": 90, "setresuid": 147, "getresuid": 148, "setresgid": 149,
    "getresgid": 150, "setgroups": 159, "getgroups": 158, "prlimit64": 261, "setsid": 157, "setpriority": 140,
    "sched_setattr": 274, "sched_setaffinity": 122, "ioprio_set": 30, "personality": 92, "seccomp": 277,
    "set_mempolicy": 237, "keyctl": 219, "execve": 221, "execveat": 281, "exit_group": 94, "wait4": 260,
    "waitid": 95, "kill": 129, "getpid": 172, "memfd_create": 279, "bpf": 280, "rt_sigprocmask": 135, "rt_sigaction": 134,
    "setsockopt": 208, "eventfd2": 19, "inotify_init1": 26, "inotify_add_watch": 27,
}  # fmt: skip

_EVERYWHERE = {
    "pidfd_send_signal": 424, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "fspick": 433,     "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "pidfd_getfd": 438, "mount_setattr": 442,
}  # fmt: skip


def _numbers() -> dict[str, int]:
    machine = os.uname().machine
    if machine == "x86_64":
        return _X86_64 | _EVERYWHERE
    if machine == "aarch64":
        return _AARCH64 | _EVERYWHERE
    raise ImportError(f'machine "{machine}": no system call numbers are known; allowed: x86_64, aarch64')


NUMBERS = _numbers()
"""System call name → number on this machine."""

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_NOFOLLOW = 0x100
AT_RECURSIVE = 0x8000
AT_EACCESS = 0x200
AT_REMOVEDIR = 0x200
