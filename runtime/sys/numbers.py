"""The numbers of the system calls, and constants that several take, for the architectures that we know.

Sources: the kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (arm64
uses the latter); calls newer than 5.0 have one number on all architectures.
"""

from __future__ import annotations

import os

_X86_64 = {
    "read": 0, "write": 1, "close": 3, "rt_sigaction": 13, "rt_sigprocmask": 14, "ioctl": 16,
    "getpid": 39, "sendfile": 40, "socket": 41, "connect": 42, "sendto": 44, "sendmsg": 46,
    "recvmsg": 47, "bind": 49, "listen": 50, "setsockopt": 54, "execve": 59, "wait4": 61, "kill": 62,
    "fcntl": 72, "fsync": 74, "ftruncate": 77, "getcwd": 79, "chdir": 80, "fchdir": 81, "fchmod": 91,
    "fchown": 93, "umask": 95, "setsid": 112, "getgroups": 115, "setgroups": 116, "setresuid": 117,
    "getresuid": 118, "setresgid": 119, "getresgid": 120, "capget": 125, "capset": 126,
    "personality": 135, "fstatfs": 138, "setpriority": 141, "pivot_root": 155, "prctl": 157,
    "chroot": 161, "mount": 165, "umount2": 166, "sethostname": 170, "setdomainname": 171,
    "sched_setaffinity": 203, "getdents64": 217, "exit_group": 231, "set_mempolicy": 238, "waitid": 247,
    "keyctl": 250, "ioprio_set": 251, "inotify_add_watch": 254, "openat": 257, "mkdirat": 258,
    "mknodat": 259, "fchownat": 260, "unlinkat": 263, "symlinkat": 266, "readlinkat": 267,
    "fchmodat": 268, "unshare": 272, "accept4": 288, "eventfd2": 290, "dup3": 292, "pipe2": 293,
    "inotify_init1": 294, "prlimit64": 302, "setns": 308, "sched_setattr": 314, "renameat2": 316,
    "seccomp": 317, "memfd_create": 319, "bpf": 321, "execveat": 322, "statx": 332, "faccessat2": 439,
}  # fmt: skip

_AARCH64 = {
    "getcwd": 17, "eventfd2": 19, "dup3": 24, "fcntl": 25, "inotify_init1": 26, "inotify_add_watch": 27,
    "ioctl": 29, "ioprio_set": 30, "mknodat": 33, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36,
    "umount2": 39, "mount": 40, "pivot_root": 41, "fstatfs": 44, "ftruncate": 46, "chdir": 49,
    "fchdir": 50, "chroot": 51, "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "openat": 56,
    "close": 57, "pipe2": 59, "getdents64": 61, "read": 63, "write": 64, "sendfile": 71,
    "readlinkat": 78, "fsync": 82, "capget": 90, "capset": 91, "personality": 92, "exit_group": 94,
    "waitid": 95, "unshare": 97, "sched_setaffinity": 122, "kill": 129, "rt_sigaction": 134,
    "rt_sigprocmask": 135, "setpriority": 140, "setresuid": 147, "getresuid": 148, "setresgid": 149,
    "getresgid": 150, "setsid": 157, "getgroups": 158, "setgroups": 159, "sethostname": 161,
    "setdomainname": 162, "umask": 166, "prctl": 167, "getpid": 172, "socket": 198, "bind": 200,
    "listen": 201, "connect": 203, "sendto": 206, "setsockopt": 208, "sendmsg": 211, "recvmsg": 212,
    "keyctl": 219, "execve": 221, "set_mempolicy": 237, "accept4": 242, "wait4": 260, "prlimit64": 261,
    "setns": 268, "sched_setattr": 274, "renameat2": 276, "seccomp": 277, "memfd_create": 279,
    "bpf": 280, "execveat": 281, "statx": 291, "faccessat2": 439,
}  # fmt: skip

_EVERYWHERE = {
    "pidfd_send_signal": 424, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431,
    "fsmount": 432, "fspick": 433, "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437,
    "pidfd_getfd": 438, "mount_setattr": 442,
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
