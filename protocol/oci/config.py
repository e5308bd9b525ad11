"""config.json as types: what the OCI runtime-spec 1.3 has for Linux, a class per object in the spec's order.

How the JSON maps to Python:

- An attribute is the spec's name in snake_case: noNewPrivileges is `no_new_privileges`, closID `clos_id`.
- An optional string, list or map that is absent is empty, an optional bool is False: in the spec absent and
  empty mean the same. An optional number is None, unless the spec names its default.
- An object of which all members are optional is never None either: absent and `{}` mean the same. Where the
  spec tells them apart, the type is `T | None`: capabilities, intelRdt, and the list seccomp.flags.
- `null` is an absent member, at any depth, since writers in Go produce it for empty lists.
- Types are strict: `"yes"` is no bool, `true` no number, `1.0` no integer. Numbers have the spec's widths.
- Members that the spec does not have are ignored, as it demands; `unknown_fields` lists them.

Values are frozen. What types cannot say (a uid that means "no change" to the kernel, a hostname without a
uts namespace, …) is in check.py. Each class stands after those that it is made of, so `Config` comes last.

Sources: runtime-spec 1.3.0, config.md, config-linux.md, and specs-go/config.go for the widths of numbers.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

from holdfast.protocol import strict_json

Uint16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
Uint32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Uint64 = Annotated[int, Meta(ge=0)]  # wider numbers are refused in every place: see strict_json
Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class _Object(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A JSON object of the spec."""


# config.md


class Root(_Object, frozen=True, kw_only=True):
    """The container's file tree. Source: config.md, "Root"."""

    path: str
    """Absolute, or relative to the bundle."""
    readonly: bool = False


class IDMapping(_Object, frozen=True, kw_only=True):
    """A range of ids. Source: config-linux.md, "User namespace mappings"; user_namespaces(7)."""

    container_id: Uint32 = field(name="containerID")
    host_id: Uint32 = field(name="hostID")
    size: Uint32


class Mount(_Object, frozen=True, kw_only=True):
    """Source: config.md, "Mounts", "POSIX-platform Mounts"."""

    destination: str
    source: str = ""
    options: tuple[str, ...] = ()
    type: str = ""
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()


class ConsoleSize(_Object, frozen=True, kw_only=True):
    """In characters."""

    height: Uint64
    width: Uint64


class Rlimit(_Object, frozen=True, kw_only=True):
    """A resource limit; 2**64 - 1 is no limit. Source: config.md, "POSIX process"; getrlimit(2)."""

    type: str
    soft: Uint64
    hard: Uint64


class Capabilities(_Object, frozen=True, kw_only=True):
    """The five sets, of names. Source: config.md, "Linux Process"; capabilities(7)."""

    effective: tuple[str, ...] = ()
    bounding: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Scheduler(_Object, frozen=True, kw_only=True):
    """Source: config.md, "Linux Process"; sched_setattr(2)."""

    policy: str
    nice: Int32 = 0
    priority: Int32 = 0
    flags: tuple[str, ...] = ()
    runtime: Uint64 = 0
    """Nanoseconds, as are the next two."""
    deadline: Uint64 = 0
    period: Uint64 = 0


class IOPriority(_Object, frozen=True, kw_only=True):
    """Source: config.md, "Linux Process"; ioprio_set(2)."""

    class_: str = field(name="class")
    priority: Int64


class CPUAffinity(_Object, frozen=True, kw_only=True):
    """Lists of CPUs as `0-3,7`, for a process that joins a container."""

    initial: str = ""
    """Before it enters the container's cgroup."""
    final: str = ""


class User(_Object, frozen=True, kw_only=True):
    """Numbers as they are in the container. Source: config.md, "POSIX-platform User"."""

    uid: Uint32
    gid: Uint32
    umask: Uint32 | None = None
    additional_gids: tuple[Uint32, ...] = ()


class Process(_Object, frozen=True, kw_only=True):
    """A process to run: init, or one that joins the container. Source: config.md, "Process"."""

    terminal: bool = False
    console_size: ConsoleSize | None = None
    cwd: str
    env: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    apparmor_profile: str = ""
    capabilities: Capabilities | None = None
    no_new_privileges: bool = False
    oom_score_adj: Int64 | None = None
    scheduler: Scheduler | None = None
    selinux_label: str = ""
    io_priority: IOPriority | None = None
    exec_cpu_affinity: CPUAffinity = field(name="execCPUAffinity", default=CPUAffinity())
    user: User = User(uid=0, gid=0)


class Hook(_Object, frozen=True, kw_only=True):
    """A program to run; args holds its argv[0] as well."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: Int64 | None = None
    """Seconds."""


class Hooks(_Object, frozen=True, kw_only=True):
    """Programs to run at points of the container's life. Source: config.md, "POSIX-platform Hooks"."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


# config-linux.md


class Namespace(_Object, frozen=True, kw_only=True):
    """A namespace to make, or with a path one to join; a type that is not listed is the runtime's own."""

    type: str
    path: str = ""


class TimeOffset(_Object, frozen=True, kw_only=True):
    """Source: config-linux.md, "Offset for Time Namespace"; time_namespaces(7)."""

    secs: Int64 = 0
    nanosecs: Uint32 = 0


class Device(_Object, frozen=True, kw_only=True):
    """A device node to make. Source: config-linux.md, "Devices"; mknod(2)."""

    type: str
    path: str
    major: Int64 | None = None
    minor: Int64 | None = None
    file_mode: Uint32 | None = None
    uid: Uint32 | None = None
    gid: Uint32 | None = None


class NetDevice(_Object, frozen=True, kw_only=True):
    """A network interface that moves into the container. Source: config-linux.md, "Network Devices"."""

    name: str = ""
    """In the container; empty: as on the host."""


class DeviceRule(_Object, frozen=True, kw_only=True):
    """What may be done to which device; of several rules that match the last one decides."""

    allow: bool
    type: str = ""
    major: Int64 | None = None
    minor: Int64 | None = None
    access: str = ""


class Memory(_Object, frozen=True, kw_only=True):
    """Bytes; -1 is no limit. Source: config-linux.md, "Memory"."""

    limit: Int64 | None = None
    reservation: Int64 | None = None
    swap: Int64 | None = None
    """Memory and swap together."""
    kernel: Int64 | None = None
    kernel_tcp: Int64 | None = field(name="kernelTCP", default=None)
    swappiness: Uint64 | None = None
    disable_oom_killer: bool = field(name="disableOOMKiller", default=False)
    use_hierarchy: bool = False
    check_before_update: bool = False


class CPU(_Object, frozen=True, kw_only=True):
    """Times in microseconds. Source: config-linux.md, "CPU"."""

    shares: Uint64 | None = None
    quota: Int64 | None = None
    burst: Uint64 | None = None
    period: Uint64 | None = None
    realtime_runtime: Int64 | None = None
    realtime_period: Uint64 | None = None
    cpus: str = ""
    mems: str = ""
    idle: Int64 | None = None


class WeightDevice(_Object, frozen=True, kw_only=True):
    """The container's share of one block device."""

    major: Int64
    minor: Int64
    weight: Uint16 | None = None
    leaf_weight: Uint16 | None = None


class ThrottleDevice(_Object, frozen=True, kw_only=True):
    """A limit on one block device: bytes, or operations, per second."""

    major: Int64
    minor: Int64
    rate: Uint64


class BlockIO(_Object, frozen=True, kw_only=True):
    """Source: config-linux.md, "Block IO"."""

    weight: Uint16 | None = None
    leaf_weight: Uint16 | None = None
    weight_device: tuple[WeightDevice, ...] = ()
    throttle_read_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_read_iops_device: tuple[ThrottleDevice, ...] = field(name="throttleReadIOPSDevice", default=())
    throttle_write_iops_device: tuple[ThrottleDevice, ...] = field(
        name="throttleWriteIOPSDevice", default=()
    )


class HugepageLimit(_Object, frozen=True, kw_only=True):
    """Source: config-linux.md, "Huge page limits"."""

    page_size: str
    limit: Uint64


class InterfacePriority(_Object, frozen=True, kw_only=True):
    """The priority of packets that leave by one interface."""

    name: str
    priority: Uint32


class Network(_Object, frozen=True, kw_only=True):
    """Marks on packets; cgroup v1 only. Source: config-linux.md, "Network"."""

    class_id: Uint32 | None = field(name="classID", default=None)
    priorities: tuple[InterfacePriority, ...] = ()


class Pids(_Object, frozen=True, kw_only=True):
    """-1 is no limit, 0 is no process. Source: config-linux.md, "PIDs"."""

    limit: Int64 | None = None


class Rdma(_Object, frozen=True, kw_only=True):
    """Limits on one RDMA device. Source: config-linux.md, "RDMA"."""

    hca_handles: Uint32 | None = None
    hca_objects: Uint32 | None = None


class Resources(_Object, frozen=True, kw_only=True):
    """Limits of the container's cgroup. Source: config-linux.md, "Control groups"; cgroups(7)."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory = Memory()
    cpu: CPU = CPU()
    block_io: BlockIO = field(name="blockIO", default=BlockIO())
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    network: Network = Network()
    pids: Pids = Pids()
    rdma: dict[str, Rdma] = {}
    """By the device's name."""
    unified: dict[str, str] = {}
    """File of cgroup v2 → what to write."""


class IntelRdt(_Object, frozen=True, kw_only=True):
    """Shares of cache and memory bandwidth. Source: config-linux.md, "IntelRdt"."""

    clos_id: str = field(name="closID", default="")
    schemata: tuple[str, ...] = ()
    l3_cache_schema: str = field(name="l3CacheSchema", default="")
    mem_bw_schema: str = ""
    enable_monitoring: bool = False


class MemoryPolicy(_Object, frozen=True, kw_only=True):
    """On which NUMA nodes memory is taken. Source: config-linux.md, "Memory policy"; set_mempolicy(2)."""

    mode: str
    nodes: str = ""
    flags: tuple[str, ...] = ()


class SyscallArg(_Object, frozen=True, kw_only=True):
    """A condition on an argument. With SCMP_CMP_MASKED_EQ value is the mask, value_two what must remain."""

    index: Uint32
    value: Uint64
    value_two: Uint64 = 0
    op: str


class Syscall(_Object, frozen=True, kw_only=True):
    """What happens to some system calls, if all conditions hold."""

    names: tuple[str, ...]
    action: str
    errno_ret: Uint32 | None = None
    args: tuple[SyscallArg, ...] = ()


class Seccomp(_Object, frozen=True, kw_only=True):
    """A filter on system calls. Source: config-linux.md, "Seccomp"; seccomp(2)."""

    default_action: str
    default_errno_ret: Uint32 | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] | None = None
    """None: what the runtime thinks best; empty: none."""
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[Syscall, ...] = ()


class Personality(_Object, frozen=True, kw_only=True):
    """Source: config-linux.md, "Personality"; personality(2)."""

    domain: str
    flags: tuple[str, ...] = ()


class Linux(_Object, frozen=True, kw_only=True):
    """Source: config-linux.md."""

    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()
    time_offsets: dict[str, TimeOffset] = {}
    """By the clock's name."""
    devices: tuple[Device, ...] = ()
    net_devices: dict[str, NetDevice] = {}
    """By the interface's name on the host."""
    cgroups_path: str = ""
    resources: Resources = Resources()
    intel_rdt: IntelRdt | None = None
    memory_policy: MemoryPolicy | None = None
    sysctl: dict[str, str] = {}
    seccomp: Seccomp | None = None
    rootfs_propagation: str = ""
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""
    personality: Personality | None = None


class Config(_Object, frozen=True, kw_only=True):
    """The whole file. Source: config.md."""

    oci_version: str
    root: Root
    mounts: tuple[Mount, ...] = ()
    process: Process | None = None
    """None: there is nothing to run, and `start` will be an error."""
    hostname: str = ""
    domainname: str = ""
    linux: Linux = Linux()
    hooks: Hooks = Hooks()
    annotations: dict[str, str] = {}


SIZE_MAX = 16 << 20
"""Bytes of a config.json."""


def parse_config(data: bytes) -> Config:
    """Read a config.json. Raises ConfigError: no JSON, wrong types or ranges, a field missing."""
    return strict_json.decode(data, Config, size_max=SIZE_MAX, what="config.json")


def parse_process(data: bytes) -> Process:
    """Read a process by itself, as `exec --process` takes it. Raises ConfigError, as parse_config does."""
    return strict_json.decode(data, Process, size_max=SIZE_MAX, what="process", root="process")


def parse_resources(data: bytes) -> Resources:
    """Read limits by themselves, as `update --resources` does. Raises ConfigError, as parse_config does."""
    return strict_json.decode(data, Resources, size_max=SIZE_MAX, what="resources", root="linux.resources")


def unknown_fields(data: bytes) -> list[str]:
    """Return the paths of the members of a config.json that the spec lacks for Linux: mistyped ones, say.

    Raises ConfigError if it cannot be read.
    """
    tree = strict_json.decode_any(data, size_max=SIZE_MAX, what="config.json")
    return list(strict_json.unknown_members(tree, Config))
