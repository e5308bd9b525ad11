"""Holdfast's own seccomp profile, for containers that bring none: which system calls, and why.

A container shares the kernel with the host, so each system call is a door into the host's kernel, and most
programs never use the rare ones, where most of the holes have been.  The profile is a list of what is let
in: everything else gets EPERM.  In effect it is close to what Docker lets in, so that an image which runs
there runs here.

Three things decide where a call stands:

- Does the kernel confine it to the container, by namespaces, cgroups and permissions?  Then it is in
  `ALWAYS`.
- Does it do what a capability is for?  Then it comes with the capability, in `WITH_CAPABILITY`.  The kernel
  checks the capability as well, but only against the user namespace, and after code that an attacker would
  like to reach.
- Does it act on what containers share (the running kernel, keys, other people's processes), or has it been a
  way into the kernel more than once?  Then it is in `REFUSED`, whatever the capabilities.

`REFUSED` is part of the profile although the default action says the same: a call that is named is told
apart from one that is too new to have been judged, and which gets ENOSYS (see enosys.py).

Some calls are let in by what their arguments are.  A filter sees registers of 64 bits, where the kernel
reads an `int` from their lower half: a comparison of the whole register is passed by setting an upper bit
(CVE-2019-7303, CVE-2019-10063).  So every comparison here masks the lower 32 bits.  A filter cannot
see what a pointer points to, hence two limits: clone3 is refused as a whole (with ENOSYS, so that the C
library takes clone), and i386's socketcall opens any family of sockets, unless the profile's architectures
are cut down to the native one.

Sources: syscalls(2) and the page of each call; capabilities(7); the kernel's syscall tables; seccomp(2).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci import config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

ALWAYS = {
    "open and close files, make them without a name":
        "open openat openat2 creat close close_range memfd_create memfd_secret name_to_handle_at",
    "move bytes between files and memory, or between two files":
        "read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek _llseek "
        "copy_file_range sendfile sendfile64 splice tee vmsplice",
    "size, content and write-back of an open file":
        "truncate truncate64 ftruncate ftruncate64 fallocate fadvise64 fadvise64_64 arm_fadvise64_64 "
        "readahead cachestat fsync fdatasync sync syncfs sync_file_range sync_file_range2 "
        "arm_sync_file_range",
    "the table of open files, and locks on them": "dup dup2 dup3 fcntl fcntl64 flock pipe pipe2",
    "wait for several files at once":
        "select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_create epoll_create1 "
        "epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2",
    "what a file is: it tells what path permissions let one see":
        "stat stat64 fstat fstat64 lstat lstat64 newfstatat fstatat64 statx statfs statfs64 fstatfs "
        "fstatfs64 access faccessat faccessat2 readlink readlinkat getdents getdents64",
    "names in the file tree; device nodes are the device cgroup's business":
        "mkdir mkdirat rmdir link linkat symlink symlinkat unlink unlinkat rename renameat renameat2 mknod "
        "mknodat chdir fchdir getcwd umask",
    "owner, mode and times of files":
        "chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 lchown lchown32 fchownat utime "
        "utimes utimensat utimensat_time64 futimesat",
    "extended attributes; the kernel guards the trusted and security ones":
        "getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr "
        "llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat "
        "file_getattr file_setattr",
    "be told of changes to files; the descriptors of fanotify come by fanotify_init, which is not here":
        "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark",
    "the mounts of the own namespace, to read": "listmount statmount",
    "asynchronous input and output, the older kind":
        "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64",
    "the own address space":
        "brk mmap mmap2 munmap mremap mprotect madvise msync mincore mlock mlock2 mlockall munlock "
        "munlockall remap_file_pages membarrier mseal map_shadow_stack pkey_alloc pkey_free pkey_mprotect",
    "make processes and run programs; clone is judged by its flags, below":
        "fork vfork execve execveat exit exit_group",
    "wait for processes, and hold on to them": "wait4 waitid waitpid pidfd_open process_mrelease",
    "send signals, which stay within the pid namespace":
        "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal",
    "receive signals":
        "rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 "
        "rt_sigreturn sigaltstack signalfd signalfd4 pause restart_syscall",
    "signals on 32 bits, before there were more than 32 of them":
        "sigaction sigprocmask sigpending sigsuspend sigreturn signal",
    "wake and wait: mutexes and what is built of them":
        "futex futex_time64 futex_waitv futex_wake futex_wait futex_requeue set_robust_list "
        "get_robust_list rseq",
    "threads": "set_tid_address gettid get_thread_area set_thread_area",
    "who one is":
        "getpid getppid getpgid getpgrp getsid getuid getuid32 geteuid geteuid32 getgid getgid32 getegid "
        "getegid32 getresuid getresuid32 getresgid getresgid32 getgroups getgroups32 capget",
    "become somebody else, as far as the capabilities go":
        "setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid setresuid32 "
        "setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 capset "
        "setpgid setsid prctl",
    "shut oneself in further":
        "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self",
    "limits and use of resources":
        "getrlimit setrlimit ugetrlimit prlimit64 getrusage times sysinfo",
    "share of the processor and the disk":
        "sched_yield sched_getscheduler sched_setscheduler sched_getparam sched_setparam sched_getattr "
        "sched_setattr sched_getaffinity sched_setaffinity sched_get_priority_max sched_get_priority_min "
        "sched_rr_get_interval sched_rr_get_interval_time64 getpriority setpriority nice ioprio_get "
        "ioprio_set getcpu",
    "read clocks; adjtimex also sets them, which the kernel allows with CAP_SYS_TIME only":
        "time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 adjtimex "
        "clock_adjtime clock_adjtime64",
    "sleep, and be woken":
        "nanosleep clock_nanosleep clock_nanosleep_time64 alarm getitimer setitimer timer_create "
        "timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 "
        "timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64",
    "sockets, once there is one; socket itself is judged by its family, below":
        "socketpair bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt "
        "shutdown send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64 socketcall",
    "System V's shared memory, semaphores and queues, which stay within the ipc namespace":
        "ipc shmget shmat shmctl shmdt semget semop semctl semtimedop semtimedop_time64 msgget msgsnd "
        "msgrcv msgctl",
    "POSIX message queues, likewise":
        "mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend mq_timedsend_time64 mq_timedreceive "
        "mq_timedreceive_time64",
    "look into processes of the same pid namespace, as debuggers do; Yama and the dumpable flag still rule":
        "ptrace process_vm_readv process_vm_writev",
    "entropy, and the name of the machine": "getrandom uname",
    "called by the kernel's own trampolines, never by programs; EPERM would kill who is being traced":
        "uretprobe uprobe",
}  # fmt: skip
"""What is let in without conditions: what it is for → the calls."""

OF_MACHINE = {
    "x86_64": {
        "thread-local storage": "arch_prctl",
        "segments of 16 and 32 bits; Wine lives on them": "modify_ldt",
    },
    "aarch64": {
        "for 32-bit programs: caches and thread-local storage": "breakpoint cacheflush set_tls get_tls",
    },
}  # fmt: skip
"""The same for the calls of one machine and of the 32-bit programs that it runs."""

WITH_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": {
        "open a file by its number: goes past every directory, also those outside the root":
            "open_by_handle_at",
    },
    "CAP_SYS_ADMIN": {
        "mounts":
            "mount umount umount2 pivot_root fsopen fsconfig fsmount fspick move_mount open_tree "
            "open_tree_attr mount_setattr",
        "namespaces": "unshare setns",
        "names of the uts namespace": "sethostname setdomainname",
        "programs inside the kernel, and what it measures": "bpf perf_event_open lookup_dcookie",
        "disk quotas": "quotactl quotactl_fd",
        "watch whole file systems": "fanotify_init",
        "the kernel's log": "syslog",
        "security modules": "lsm_get_self_attr lsm_set_self_attr lsm_list_modules",
    },
    "CAP_BPF": {
        "programs inside the kernel": "bpf",
    },
    "CAP_PERFMON": {
        "what the kernel measures": "perf_event_open",
    },
    "CAP_SYSLOG": {
        "the kernel's log": "syslog",
    },
    "CAP_SYS_BOOT": {
        "restart the machine, or the pid namespace": "reboot",
    },
    "CAP_SYS_CHROOT": {
        "another root, which is no wall against root": "chroot",
    },
    "CAP_SYS_MODULE": {
        "code for the kernel": "init_module finit_module delete_module",
    },
    "CAP_SYS_NICE": {
        "on which memory node pages lie": "get_mempolicy set_mempolicy set_mempolicy_home_node mbind",
    },
    "CAP_SYS_PACCT": {
        "a record of every process that ends": "acct",
    },
    "CAP_SYS_PTRACE": {
        "take descriptors from other processes, compare and advise them": "pidfd_getfd kcmp process_madvise",
    },
    "CAP_SYS_RAWIO": {
        "the ports of the machine": "ioperm iopl",
    },
    "CAP_SYS_TIME": {
        "set the clock, which all containers share": "settimeofday stime clock_settime clock_settime64",
    },
    "CAP_SYS_TTY_CONFIG": {
        "hang up a terminal": "vhangup",
    },
}  # fmt: skip
"""What comes with a capability: its name → what the calls are for → the calls."""

REFUSED = {
    "another kernel in the place of this one": "kexec_load kexec_file_load",
    "swap space is the host's": "swapon swapoff",
    "keyrings belong to a user id, not to a container": "add_key request_key keyctl",
    "a second road for nearly all calls, which no filter sees; many holes since 2019":
        "io_uring_setup io_uring_enter io_uring_register",
    "stops the kernel in the middle of reading user memory, which makes its races easy to win":
        "userfaultfd",
    "moves the pages of others between memory nodes": "migrate_pages move_pages",
    "8086 mode": "vm86 vm86old",
    "what file systems the kernel has, of old": "sysfs ustat uselib bdflush",
    "the PCI bus of old ARM machines, and their 26-bit mode":
        "pciconfig_iobase pciconfig_read pciconfig_write usr26 usr32",
    "taken out of the kernel":
        "_sysctl create_module get_kernel_syms query_module nfsservctl",
    "never came to be, or not since 1995":
        "afs_syscall break epoll_ctl_old epoll_wait_old ftime getpmsg gtty idle lock mpx prof profil "
        "putpmsg security stty tuxcall ulimit vserver",
    "forms that no C library of this century calls":
        "oldstat oldfstat oldlstat oldolduname olduname readdir sgetmask ssetmask",
}  # fmt: skip
"""What nobody gets: why → the calls."""

_LOW_HALF = 0xFFFFFFFF

CLONE_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET; clone has none for time."""

PERSONALITIES = {
    0x0: "PER_LINUX",
    0x8: "PER_LINUX32: uname tells a 32-bit machine",
    0x20000: "UNAME26: uname tells a 2.6 kernel",
    0x20008: "both",
    0xFFFFFFFF: "only asks for the present one",
}
"""The rest switch off address randomisation, or map page zero."""

FAMILIES_REFUSED = {
    38: "AF_ALG: the kernel's ciphers, loaded on demand; programs have their own",
    40: "AF_VSOCK: talks to the hypervisor, past the network namespace",
}
"""For `socket`, which lets in all others."""

IOCTLS_REFUSED = {
    0x5412: "TIOCSTI: types into a terminal, and the shell outside reads it",
    0x541C: "TIOCLINUX: pastes into a console, to the same end",
}
"""For `ioctl`, which lets in all others: what they do is up to the device (CVE-2017-5226, CVE-2023-1523)."""

_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}
"""Machine → what can be called on it; what is not listed here kills the caller."""


def default_seccomp(capabilities: AbstractSet[str], machine: str) -> config.Seccomp:
    """Return the profile for a container with this bounding set.

    capabilities: names as in the spec, CAP_SYS_ADMIN. machine: as uname(2) tells it.
    Raises HoldfastError for a machine that there is no profile for.
    """
    if machine not in _ARCHITECTURES:
        allowed = ", ".join(_ARCHITECTURES)
        raise HoldfastError(f'default seccomp profile: none for machine "{machine}"; allowed: {allowed}')
    tables = [ALWAYS, OF_MACHINE[machine]]
    tables += (table for capability, table in WITH_CAPABILITY.items() if capability in capabilities)
    rules = [_rule("SCMP_ACT_ALLOW", names) for table in tables for names in table.values()]
    rules += _clone_rules(may_make_namespaces="CAP_SYS_ADMIN" in capabilities)
    rules += (_rule("SCMP_ACT_ALLOW", "personality", 0, _LOW_HALF, value) for value in PERSONALITIES)
    rules += (_rule("SCMP_ACT_ALLOW", "socket", 0, *rest) for rest in all_but(FAMILIES_REFUSED))
    rules += (_rule("SCMP_ACT_ALLOW", "ioctl", 1, *rest) for rest in all_but(IOCTLS_REFUSED))
    rules += (_rule("SCMP_ACT_ERRNO", names) for names in REFUSED.values())
    return config.Seccomp(
        default_action="SCMP_ACT_ERRNO",
        default_errno_ret=errno.EPERM,
        architectures=_ARCHITECTURES[machine],
        syscalls=tuple(rules),
    )


def all_but(values: Iterable[int], bit: int = 31) -> Iterator[tuple[int, int]]:
    """Say "the lower half is none of these values" in masked comparisons, one of which then holds.

    bit: the highest bit not yet looked at, all above being equal in `values`; for the recursion.
    Yields pairs of mask and what the argument is under the mask. Each value that is let in fits one pair.
    """
    values = list(values)
    mask = _LOW_HALF >> bit << bit
    above = values[0] & mask & ~(1 << bit)
    for half in (0, 1 << bit):
        inside = [value for value in values if value & (1 << bit) == half]
        if not inside:
            yield mask, above | half
        elif bit > 0:
            yield from all_but(inside, bit - 1)


def _clone_rules(*, may_make_namespaces: bool) -> Iterator[config.Syscall]:
    if may_make_namespaces:
        yield _rule("SCMP_ACT_ALLOW", "clone clone3")
    else:
        yield _rule("SCMP_ACT_ALLOW", "clone", 0, CLONE_NAMESPACES, 0)
        yield config.Syscall(names=("clone3",), action="SCMP_ACT_ERRNO", errno_ret=errno.ENOSYS)


def _rule(action: str, names: str, index: int = 0, mask: int = 0, value: int = 0) -> config.Syscall:
    """Make a rule; with a mask, for calls whose argument has the value under it."""
    condition = config.SyscallArg(index=index, value=mask, value_two=value, op="SCMP_CMP_MASKED_EQ")
    return config.Syscall(names=tuple(names.split()), action=action, args=(condition,) if mask else ())
