"""The user namespace: its maps are written from outside, then init becomes root in it.

Source: user_namespaces(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.sys import process

if TYPE_CHECKING:
    from holdfast.runtime.namespaces.plan import NamespacesPlan
    from holdfast.runtime.procfs import Procfs
    from holdfast.runtime.sys.call import Executor
    from holdfast.runtime.sys.executor import Here


def write_maps(x: Here, proc: Procfs, pid: int, plan: NamespacesPlan) -> None:
    """Give the user namespace of process `pid` its maps. The caller has the right to map any id."""
    x.subject = "linux.uidMappings: write the uid map"
    proc.write(b"%d/uid_map" % pid, plan.uid_map)
    x.subject = "linux.gidMappings: write the gid map"
    proc.write(b"%d/gid_map" % pid, plan.gid_map)
    x.subject = ""


def with_maps(proc: Procfs, pid: int, plan: NamespacesPlan) -> NamespacesPlan:
    """Return the plan with the maps of the user namespace that process `pid` has joined.

    Who gave it its maps may have written them in any way; they are read in the terms of our own namespace.
    """
    if not any(join.type == "user" for join in plan.joins):
        return plan
    uid_map, gid_map = (proc.read(b"%d/%s" % (pid, name)) for name in (b"uid_map", b"gid_map"))
    return msgspec.structs.replace(plan, uid_map=uid_map, gid_map=gid_map)


def become_root(x: Executor) -> None:
    """Become uid and gid 0 of the user namespace.

    Until now init has had an id that the namespace may not know.
    """
    x.do(process.setresgid(0, 0, 0))
    x.do(process.setgroups(()))
    x.do(process.setresuid(0, 0, 0))
