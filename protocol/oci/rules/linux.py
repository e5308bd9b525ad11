"""Rules for `linux`, and for what of the rest depends on its namespaces.

Sources: runtime-spec, config-linux.md; the man page beside each rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import Problem, joined, quoted
from holdfast.protocol.oci import names
from holdfast.protocol.oci.rules import resources, seccomp, sysctl
from holdfast.protocol.oci.rules.common import (
    ID_MAX,
    are_among,
    are_mappings,
    is_absolute,
    is_between,
    is_one_line,
    is_one_of,
)
from holdfast.protocol.oci.rules.process import is_range_list

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.protocol.oci.config import Config, Device, IntelRdt, Linux, MemoryPolicy

_HOST_NAME_MAX = 64
"""Source: sethostname(2), __NEW_UTS_LEN."""
_INTERFACE_NAME_MAX = 15
"""Source: netdevice(7), IFNAMSIZ without the NUL."""
_MAJOR_MAX, _MINOR_MAX = 2**12 - 1, 2**20 - 1
"""Source: the kernel's linux/kdev_t.h."""
_NANOSECS_MAX = 10**9 - 1

_WITHOUT_NODES = ("MPOL_DEFAULT", "MPOL_LOCAL")
_WITH_NODES = ("MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE")


def problems(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the Linux part of a configuration."""
    linux = config.linux
    types = {namespace.type for namespace in linux.namespaces}
    yield from _namespaces(linux)
    yield from _host_names(config, types)
    yield from _id_mappings(linux)
    yield from _time_offsets(linux)
    for i, device in enumerate(linux.devices):
        yield from _device(f"linux.devices[{i}]", device)
    yield from _net_devices(linux, types)
    yield from is_one_line("linux.cgroupsPath", linux.cgroups_path)
    yield from resources.problems(linux.resources)
    if linux.intel_rdt:
        yield from _intel_rdt("linux.intelRdt", linux.intel_rdt)
    if linux.memory_policy:
        yield from _memory_policy("linux.memoryPolicy", linux.memory_policy)
    yield from sysctl.problems(linux.sysctl, types)
    if linux.seccomp:
        yield from seccomp.problems(linux.seccomp)
    if linux.rootfs_propagation:
        propagation = linux.rootfs_propagation
        why = "is not a propagation"
        yield from is_one_of("linux.rootfsPropagation", propagation, names.PROPAGATION, why)
    yield from _hidden_paths(linux, types)
    yield from is_one_line("linux.mountLabel", linux.mount_label)
    if linux.personality:
        domain = linux.personality.domain
        yield from is_one_of("linux.personality.domain", domain, names.PERSONALITIES, "is not a domain")


def _namespaces(linux: Linux) -> Iterator[Problem]:
    seen = set()
    for i, namespace in enumerate(linux.namespaces):
        field = f"linux.namespaces[{i}]"
        yield from is_one_of(f"{field}.type", namespace.type, names.NAMESPACES, "is not a namespace")
        if namespace.type in seen:
            yield Problem(f"{field}.type", namespace.type, "each type once", "is there twice")
        seen.add(namespace.type)
        if namespace.path:
            yield from is_absolute(f"{field}.path", namespace.path)


def _makes(linux: Linux, namespace_type: str) -> bool:
    """Whether the container gets a new namespace of a type."""
    return any(namespace.type == namespace_type and not namespace.path for namespace in linux.namespaces)


def _host_names(config: Config, types: set[str]) -> Iterator[Problem]:
    """Tell of names that would become the host's. Source: uts_namespaces(7)."""
    for field, name in (("hostname", config.hostname), ("domainname", config.domainname)):
        if name and "uts" not in types:
            yield Problem(field, name, 'with "uts" in linux.namespaces', "needs a uts namespace")
        if len(name.encode()) > _HOST_NAME_MAX:
            yield Problem(field, name, f"up to {_HOST_NAME_MAX} bytes", "is too long")


def _id_mappings(linux: Linux) -> Iterator[Problem]:
    has_userns = any(namespace.type == "user" for namespace in linux.namespaces)
    for name, mappings in (("uidMappings", linux.uid_mappings), ("gidMappings", linux.gid_mappings)):
        field = f"linux.{name}"
        yield from are_mappings(field, mappings)
        if mappings and not has_userns:
            yield Problem(field, None, '"user" in linux.namespaces', "needs a user namespace")
        if not mappings and _makes(linux, "user"):
            yield Problem(field, None, "at least one mapping, for the new user namespace")


def _time_offsets(linux: Linux) -> Iterator[Problem]:
    field = "linux.timeOffsets"
    if linux.time_offsets and not _makes(linux, "time"):
        needed = '"time" in linux.namespaces, without a path'
        yield Problem(field, None, needed, "needs a new time namespace")
    for clock, offset in linux.time_offsets.items():
        yield from is_one_of(field, clock, names.TIME_OFFSETS, "is not a clock with an offset")
        yield from is_between(f"{joined(field, clock)}.nanosecs", offset.nanosecs, 0, _NANOSECS_MAX)


def _device(field: str, device: Device) -> Iterator[Problem]:
    yield from is_one_of(f"{field}.type", device.type, names.DEVICE_TYPES, "is not a type of device")
    yield from is_absolute(f"{field}.path", device.path)
    for name, number, most in (("major", device.major, _MAJOR_MAX), ("minor", device.minor, _MINOR_MAX)):
        if device.type == "p":
            continue  # a fifo has none
        if number is None:
            yield Problem(f"{field}.{name}", None, f"0 to {most}")
        yield from is_between(f"{field}.{name}", number, 0, most)
    yield from is_between(f"{field}.uid", device.uid, 0, ID_MAX)
    yield from is_between(f"{field}.gid", device.gid, 0, ID_MAX)


def _net_devices(linux: Linux, types: set[str]) -> Iterator[Problem]:
    field = "linux.netDevices"
    if linux.net_devices and "network" not in types:
        yield Problem(field, None, '"network" in linux.namespaces', "needs a network namespace")
    taken = set()
    for name, device in linux.net_devices.items():
        here = joined(field, name)
        inside = device.name or name
        for what, value in ((here, name), (f"{here}.name", inside)):
            if not _is_interface_name(value):
                allowed = f"1 to {_INTERFACE_NAME_MAX} bytes without space, / and :"
                yield Problem(what, value, allowed, "is not a name of an interface")
        if inside in taken and not inside.endswith("%d"):  # the kernel puts a free number there
            yield Problem(f"{here}.name", inside, "each name once", "is given to another interface too")
        taken.add(inside)


def _is_interface_name(name: str) -> bool:
    """Whether the kernel takes it: dev_valid_name() in its net/core/dev.c."""
    is_short = 0 < len(name.encode()) <= _INTERFACE_NAME_MAX
    return is_short and name not in {".", ".."} and not any(char in "/:" or char.isspace() for char in name)


def _intel_rdt(field: str, rdt: IntelRdt) -> Iterator[Problem]:
    """Source: the kernel's filesystems/resctrl.rst."""
    if rdt.clos_id in {".", ".."} or (len(rdt.clos_id) > 1 and "/" in rdt.clos_id):
        yield Problem(f"{field}.closID", rdt.clos_id, "/, or a name without a slash", "is not a name")
    yield from is_one_line(f"{field}.closID", rdt.clos_id)
    yield from is_one_line(f"{field}.l3CacheSchema", rdt.l3_cache_schema)
    yield from is_one_line(f"{field}.memBwSchema", rdt.mem_bw_schema)
    for i, line in enumerate(rdt.schemata):
        yield from is_one_line(f"{field}.schemata[{i}]", line)


def _memory_policy(field: str, policy: MemoryPolicy) -> Iterator[Problem]:
    """Source: set_mempolicy(2)."""
    yield from is_one_of(f"{field}.mode", policy.mode, names.MEMORY_POLICY_MODES, "is not a mode")
    yield from are_among(f"{field}.flags", policy.flags, names.MEMORY_POLICY_FLAGS, "is not a flag")
    yield from is_range_list(f"{field}.nodes", policy.nodes)
    if policy.nodes and policy.mode in _WITHOUT_NODES:
        yield Problem(f"{field}.nodes", policy.nodes, f"none with {policy.mode}", "means nothing")
    elif not policy.nodes and policy.mode in _WITH_NODES:
        yield Problem(f"{field}.nodes", None, f"at least one with {policy.mode}")


def _hidden_paths(linux: Linux, types: set[str]) -> Iterator[Problem]:
    """Tell of paths to mount over when that would happen to the host."""
    for name, paths in (("maskedPaths", linux.masked_paths), ("readonlyPaths", linux.readonly_paths)):
        field = f"linux.{name}"
        if paths and "mount" not in types:
            yield Problem(field, None, '"mount" in linux.namespaces', "needs a mount namespace")
        for i, path in enumerate(paths):
            yield from is_absolute(f"{field}[{i}]", path)


def warnings(config: Config) -> Iterator[str]:
    """Yield what will not be done, and is no error."""
    personality = config.linux.personality
    for i, flag in enumerate(personality.flags if personality else ()):
        yield f"linux.personality.flags[{i}]: {quoted(flag)} is ignored: the spec has no flags"
