"""What a person can ask of a new container's inside: the flags of `run` that end up in its config.json."""

from __future__ import annotations

import msgspec

NO_NETWORK = "none"
HOST = "host"
PRIVATE = "private"


class Wishes(msgspec.Struct, kw_only=True):
    """The flags, read but not yet understood; each field is named after its flag."""

    operands: list[str]
    """The command."""
    entrypoint: str = ""
    rootfs: str = ""
    bundle: str = ""
    tty: bool = False
    interactive: bool = False

    env: list[str] = []
    env_file: list[str] = []
    workdir: str = ""
    user: str = ""
    group_add: list[str] = []
    umask: int | None = None
    hostname: str = ""

    volume: list[str] = []
    mount: list[str] = []
    tmpfs: list[str] = []
    shm_size: int | None = None
    read_only: bool = False
    device: list[str] = []

    network: str = NO_NETWORK
    pid: str = PRIVATE
    ipc: str = PRIVATE
    uts: str = PRIVATE
    cgroupns: str = PRIVATE
    cgroup_parent: str = ""
    sysctl: list[str] = []

    cap_add: list[str] = []
    cap_drop: list[str] = []
    security_opt: list[str] = []

    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    cpus: int | None = None
    """Millionths of a processor."""
    cpu_shares: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int | None = None
    ulimit: list[str] = []
    oom_score_adj: int | None = None

    annotation: list[str] = []
