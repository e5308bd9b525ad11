"""The flags of `create` and `run`, which are the same but for a few."""

from __future__ import annotations

from holdfast.shim.cli.options import Option
from holdfast.shim.cli.sizes import INT64_MAX, parse_count, parse_processors, parse_signed, parse_size

ID_MAX = 2**32 - 2
_SCORE = 1000
_UMASK_MAX = 0o777
_SHARES_MIN, _SHARES_MAX = 2, 262144


def _read_pids(text: str) -> int:
    return parse_signed(text, -1, 1 << 22)


def _read_swap(text: str) -> int:
    return -1 if text == "-1" else parse_size(text)


def _read_shares(text: str) -> int:
    return parse_count(text, _SHARES_MAX, _SHARES_MIN)


def _read_score(text: str) -> int:
    return parse_signed(text, -_SCORE, _SCORE)


def _read_timeout(text: str) -> int:
    return parse_signed(text, -1, INT64_MAX)


def _read_umask(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 4 and not set(text) & {"8", "9"}:  # noqa: PLR2004  # 0777
        mask = int(text, 8)
        if mask <= _UMASK_MAX:
            return mask
    raise ValueError(f'"{text}" is not a mask; allowed: 0 to 777, octal')


COMMON = (
    # what is run, and on which files
    Option(("--bundle",),
           "run the OCI bundle in DIR: its config.json decides all but the command", value="DIR"),
    Option(("--rootfs",),
           "use DIR as the root; else it is the host's system, read-only, below a throwaway layer", "DIR"),
    Option(("--entrypoint",), "the program, in front of COMMAND", value="PROGRAM"),
    Option(("--name",), "a name; else two words at random", value="NAME"),
    Option(("--rm",), "remove the container when it has ended"),
    # its streams
    Option(("-i", "--interactive"), "our stdin is the container's"),
    Option(("-t", "--tty"), "give the container a terminal"),
    Option(("--detach-keys",), "keys that leave the container running (ctrl-p,ctrl-q)", value="KEYS"),
    Option(("--log-driver",),
           "what to do with the output: k8s-file (kept for `logs`), none", value="DRIVER"),
    Option(("--log-opt",), "max-size=SIZE: begin the log anew at this size", value="KEY=VALUE", many=True),
    # its process
    Option(("-e", "--env"), "set a variable; NAME alone: as it is here", value="NAME[=VALUE]", many=True),
    Option(("--env-file",), "set the variables in a file, one a line", value="FILE", many=True),
    Option(("-w", "--workdir"), "working directory (/)", value="DIR"),
    Option(("-u", "--user"),
           "user, and maybe group: names in the container's /etc/passwd, or numbers", value="USER[:GROUP]"),
    Option(("--group-add",), "one more group", value="GROUP", many=True),
    Option(("--umask",),
           "mask of permissions that new files don't get (0022)", value="MASK", read=_read_umask),
    Option(("--ulimit",), "a resource limit, as nofile=1024:2048", value="NAME=SOFT[:HARD]", many=True),
    Option(("--oom-score-adj",),
           "how gladly the OOM killer takes it, -1000 to 1000", value="N", read=_read_score),
    Option(("--stop-signal",), "the signal by which `stop` asks it to end (TERM)", value="SIGNAL"),
    Option(("--stop-timeout",),
           "seconds it gets then before it is killed (10)", value="SECONDS", read=_read_timeout),
    # its files
    Option(("-v", "--volume"),
           "mount a path of the host; options: ro, rw, exec, noexec, suid, dev, rshared, …",
           value="SRC:DST[:OPTIONS]", many=True),
    Option(("--mount",),
           "the same in words: type=bind|tmpfs,src=…,dst=…,readonly", value="KEY=VALUE,...", many=True),
    Option(("--tmpfs",), "mount an empty filesystem in memory", value="DST[:OPTIONS]", many=True),
    Option(("--read-only",), "make the root read-only"),
    Option(("--shm-size",), "size of /dev/shm (64m)", value="SIZE", read=parse_size),
    Option(("--device",),
           "a device of the host, and what may be done with it", value="HOST[:DST][:rwm]", many=True),
    # its surroundings
    Option(("-h", "--hostname"), "host name; else the beginning of the id", value="NAME"),
    Option(("--network",), "none (only a loopback of its own), host, or ns:PATH", value="NETWORK"),
    Option(("--pid",), "processes: private, or host to see all of them", value="NAMESPACE"),
    Option(("--ipc",), "System V IPC and message queues: private, host", value="NAMESPACE"),
    Option(("--uts",), "host name: private, host", value="NAMESPACE"),
    Option(("--cgroupns",), "view of the cgroups: private, host", value="NAMESPACE"),
    Option(("--cgroup-parent",), "make its cgroup below this one", value="PATH"),
    Option(("--sysctl",), "a kernel parameter of its own namespaces", value="NAME=VALUE", many=True),
    # its rights
    Option(("--cap-add",), "give a capability, or ALL", value="CAPABILITY", many=True),
    Option(("--cap-drop",), "take a capability, or ALL", value="CAPABILITY", many=True),
    Option(("--security-opt",), "no-new-privileges, seccomp=unconfined|FILE, mask=PATH, unmask=ALL|PATH",
           value="OPTION", many=True),
    # its limits
    Option(("-m", "--memory"), "memory, as 64m or 1.5g", value="SIZE", read=parse_size),
    Option(("--memory-swap",), "memory and swap together; -1: no limit", value="SIZE", read=_read_swap),
    Option(("--memory-reservation",),
           "memory that it keeps when there is little", value="SIZE", read=parse_size),
    Option(("--cpus",), "processors, as 0.5", value="N", read=parse_processors),
    Option(("--cpu-shares",),
           "share of the processors when they are busy (1024)", value="N", read=_read_shares),
    Option(("--cpuset-cpus",), "which processors, as 0-3,7", value="LIST"),
    Option(("--cpuset-mems",), "which NUMA nodes", value="LIST"),
    Option(("--pids-limit",), "count of processes and threads; -1: no limit", value="N", read=_read_pids),
    # what is told about it
    Option(("--label",), "a note, kept with the container", value="KEY[=VALUE]", many=True),
    Option(("--annotation",), "a note in config.json, for the runtime", value="KEY=VALUE", many=True),
    Option(("--cidfile",), "write the id to a new file", value="FILE"),
    Option(("--pidfile",), "write the pid of the container's first process to a file", value="FILE"),
)  # fmt: skip
