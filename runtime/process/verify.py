"""Asking the kernel who a process has become, and comparing that with what was planned.

An id that was cut to 32 bits on its way, a capability that came back with a change of user, a filter that
was not
loaded: each of these has been a vulnerability of some runtime. The process cannot vouch for itself, so its
status is read from outside, before it runs anything of the user's.

Source: proc_pid_status(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.runtime.namespaces.plan import NamespacesPlan
    from holdfast.runtime.plan import ProcessPlan
    from holdfast.runtime.process.user import Identity

_FILTERED = "2"


def differences(status: bytes, plan: ProcessPlan, namespaces: NamespacesPlan) -> list[str]:
    """Return a sentence for each line of /proc/PID/status that is not what the plan wants."""
    expected = _expected(plan, namespaces)
    actual = _lines(status)
    return [
        f"{name} is {actual.get(name)!r}, and should be {value!r}"
        for name, value in expected.items()
        if actual.get(name) != value
    ]


def _lines(status: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in status.decode("ascii", "replace").split("\n"))
    return {name: " ".join(value.split()) for name, _, value in lines}


def _expected(plan: ProcessPlan, namespaces: NamespacesPlan) -> dict[str, str]:
    identity = plan.identity
    caps = identity.capabilities
    uid = outside(identity.uid, namespaces.uid_map)
    gid = outside(identity.gid, namespaces.gid_map)
    groups = sorted(outside(group, namespaces.gid_map) for group in identity.groups)
    expected = {
        "Uid": " ".join([str(uid)] * 4),
        "Gid": " ".join([str(gid)] * 4),
        "Groups": " ".join(map(str, groups)),
        "CapInh": f"{caps.inheritable:016x}",
        "CapPrm": f"{caps.permitted:016x}",
        "CapEff": f"{caps.effective:016x}",
        "CapBnd": f"{caps.bounding:016x}",
        "CapAmb": f"{caps.ambient:016x}",
        "NoNewPrivs": str(int(plan.no_new_privileges)),
    }
    if plan.filter is not None and not plan.no_new_privileges:
        expected["Seccomp"] = _FILTERED
    return expected


def check_mapped(identity: Identity, namespaces: NamespacesPlan) -> None:
    """Raise HoldfastError unless the user namespace has all ids of the user."""
    ids = [("uid", identity.uid, namespaces.uid_map), ("gid", identity.gid, namespaces.gid_map)]
    ids += [(f"additionalGids[{i}]", gid, namespaces.gid_map) for i, gid in enumerate(identity.groups)]
    for field, number, id_map in ids:
        try:
            outside(number, id_map)
        except HoldfastError as error:
            raise HoldfastError(f"process.user.{field}: {error}") from None


def outside(inside: int, id_map: bytes) -> int:
    """Return the id that the runtime's user namespace has for an id of the container's.

    Source: user_namespaces(7).
    """
    if not id_map:
        return inside
    for line in id_map.decode().splitlines():
        first, outside, count = map(int, line.split())
        if first <= inside < first + count:
            return outside + inside - first
    raise HoldfastError(f"id {inside} has no mapping in the container's user namespace")
