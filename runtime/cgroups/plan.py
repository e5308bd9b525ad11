"""From a configuration and the machine's hierarchies to what is made and what is written where.

The mode of the machine decides little here. Each hierarchy gets the container's cgroup; each limit goes to
the hierarchy that has its controller, in the words of that hierarchy's version. So a hybrid machine whose
unified hierarchy has a controller or two is no special case, only `linux.resources.unified` is: it names
files of v2, and is refused unless all controllers are there.

Source: runtime-spec, config-linux.md "Control groups".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import ConfigError
from holdfast.runtime.cgroups import devices, devices_v1, devices_v2, v1, v2
from holdfast.runtime.cgroups.detect import UNIFIED, V2
from holdfast.runtime.cgroups.limits import Limits, Write
from holdfast.runtime.cgroups.path import cgroup_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.protocol.oci.config import Config, IDMapping, Resources
    from holdfast.runtime.cgroups.detect import Host

_NAME_IN_V2 = {"blkio": "io"}
"""Controllers that have another name there."""


class DeviceProgram(msgspec.Struct, frozen=True):
    """A program that decides over devices."""

    code: bytes
    is_optional: bool
    """Whether the container goes on without, where it cannot be attached."""


class PlannedPlace(msgspec.Struct, frozen=True, kw_only=True):
    """The container's cgroup in one hierarchy."""

    mount: str
    version: int
    path: str
    """Below the mount, without a slash at its beginning."""
    controllers: tuple[str, ...]
    """Of v1: which the hierarchy has. Of v2: which have to be enabled for the limits."""
    enables_all: bool = False
    """Of v2: whether all controllers that there are get enabled, for what the container may do later."""
    limits: tuple[tuple[Write, ...], ...] = ()
    devices: DeviceProgram | None = None

    @property
    def passes_on(self) -> bool:
        """Whether the cgroups above have to pass controllers on to it."""
        return self.version == V2 and (self.enables_all or bool(self.controllers))

    @property
    def is_needed(self) -> bool:
        """Whether the container cannot be what was asked for without this cgroup."""
        return bool(self.limits) or (self.devices is not None and not self.devices.is_optional)


class CgroupPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All that is decided of a container's cgroup."""

    places: tuple[PlannedPlace, ...] = ()
    is_rootless: bool = False
    may_go_without: bool = False
    """Whether the container goes on without a cgroup where there is no permission to make one."""
    owner: int | None = None
    """A user of the host who gets the cgroup for himself, to make cgroups below it."""
    warnings: tuple[str, ...] = ()
    """What of the configuration is left out: a sentence each."""


def plan_cgroup(config: Config, container_id: str, host: Host) -> CgroupPlan:
    """Decide where the container's cgroup is and what is written there. Raises ConfigError."""
    linux = config.linux
    wanted: dict[str, Limits] = {one.mount: Limits() for one in host.hierarchies}
    problems = Limits()
    needs = _plan_controllers(linux.resources, host, wanted, problems)
    program = _plan_devices(linux.resources, host, wanted, problems)
    gathered = [*wanted.values(), problems]
    if found := [problem for limits in gathered for problem in limits.problems]:
        raise ConfigError(found)
    is_unified = host.mode == UNIFIED
    places = tuple(
        PlannedPlace(
            mount=one.mount,
            version=one.version,
            path=cgroup_path(linux.cgroups_path, container_id, one, unified=is_unified),
            controllers=needs[one.mount] if one.version == V2 else one.controllers,
            enables_all=is_unified,
            limits=tuple(wanted[one.mount].groups),
            devices=program if one.version == V2 else None,
        )
        for one in host.hierarchies
    )
    return CgroupPlan(
        places=places,
        is_rootless=host.is_rootless,
        may_go_without=host.is_rootless and not linux.cgroups_path,
        owner=owner_of(config) if is_unified else None,
        warnings=tuple(warning for limits in gathered for warning in limits.warnings),
    )


def _plan_controllers(
    resources: Resources, host: Host, wanted: dict[str, Limits], problems: Limits
) -> dict[str, tuple[str, ...]]:
    """Gather the limits of each hierarchy. Returns the controllers of v2 that they need, by mount point."""
    needs: dict[str, tuple[str, ...]] = {one.mount: () for one in host.hierarchies}
    for name, limits_of in v1.CONTROLLERS.items():
        later = _NAME_IN_V2.get(name, name)
        if old := host.holder(name, 1):
            limits_of(resources, wanted[old.mount])
        elif (new := host.holder(later, V2)) and later in v2.CONTROLLERS:
            needs[new.mount] += _plan_in_v2(v2.CONTROLLERS[later], resources, wanted[new.mount], later)
        else:
            _refuse(limits_of, resources, name, problems)
    unified = next((one for one in host.hierarchies if host.mode == UNIFIED), None)
    if unified:
        v2.unified(resources, wanted[unified.mount], unified.controllers)
        needs[unified.mount] += tuple(
            controller for file in resources.unified if (controller := file.partition(".")[0]) != "cgroup"
        )
    elif resources.unified:
        allowed = "a machine with the unified hierarchy alone"
        problems.refuse(f"{v1.FIELD}.unified", None, allowed, "names files of cgroup v2")
    return needs


def _plan_in_v2(
    limits_of: Callable[[Resources, Limits], None], resources: Resources, out: Limits, controller: str
) -> tuple[str, ...]:
    """Gather the limits of one controller. Returns its name if there are any."""
    before = len(out.groups)
    limits_of(resources, out)
    return (controller,) if len(out.groups) > before else ()


def _refuse(
    limits_of: Callable[[Resources, Limits], None], resources: Resources, controller: str, problems: Limits
) -> None:
    """Refuse the limits of a controller that no hierarchy has."""
    asked = Limits()
    limits_of(resources, asked)
    for group in asked.groups:
        v2.not_available(problems, group[0].field, controller)


def _plan_devices(
    resources: Resources, host: Host, wanted: dict[str, Limits], problems: Limits
) -> DeviceProgram | None:
    """Gather the rules for devices. Returns a program where the unified hierarchy is the one to decide."""
    rules = devices.rules_of(resources.devices)
    if old := host.holder("devices", 1):
        # In a user namespace the kernel takes no rules, whoever asks.
        if not host.is_rootless:
            devices_v1.plan(rules, wanted[old.mount])
        return None
    is_optional = host.is_rootless or devices.allow_everything(resources.devices)
    if resources.devices and not is_optional and not any(one.version == V2 for one in host.hierarchies):
        v2.not_available(problems, devices.FIELD, "devices")
    return DeviceProgram(devices_v2.assemble(rules), is_optional)


def owner_of(config: Config) -> int | None:
    """Return the user of the host to whom the cgroup is handed over; None: it stays root's.

    That is the container's user, if the container has a cgroup namespace of its own and a cgroup filesystem
    that can be written to: then it is meant to manage its own cgroups, as systemd in a container does.
    Source: runtime-spec, config-linux.md "Cgroup ownership".
    """
    linux = config.linux
    has_namespace = any(one.type == "cgroup" and not one.path for one in linux.namespaces)
    mounted = any(
        one.source == "cgroup"
        and one.destination.rstrip("/") == "/sys/fs/cgroup"
        and "ro" not in one.options
        for one in config.mounts
    )
    if not (has_namespace and mounted and config.process):
        return None
    uid = config.process.user.uid
    if any(one.type == "user" for one in linux.namespaces):
        return _on_host(uid, linux.uid_mappings)
    return uid


def _on_host(uid: int, mappings: tuple[IDMapping, ...]) -> int | None:
    for one in mappings:
        if 0 <= uid - one.container_id < one.size:
            return one.host_id + uid - one.container_id
    return None
