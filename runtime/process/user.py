"""Becoming the user that the container's process runs as.

Sources: credentials(7), setresuid(2), setgroups(2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.process import capabilities
from holdfast.runtime.sys import process

if TYPE_CHECKING:
    from holdfast.runtime.process.capabilities import CapabilityPlan
    from holdfast.runtime.sys.call import Executor


class Identity(msgspec.Struct, frozen=True):
    """Who the process is, in ids of its user namespace."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: int
    capabilities: CapabilityPlan


def borrow(x: Executor, identity: Identity, held: int) -> None:
    """Take the user's rights for a while.

    Effective ids and capabilities only, so that `give_back` can undo it.

    held: the mask of capabilities that the process has until it becomes the user for good.
    """
    x.do(process.setgroups(identity.groups))
    x.do(process.setresgid(process.UNCHANGED, identity.gid, process.UNCHANGED))
    x.do(process.setresuid(process.UNCHANGED, identity.uid, process.UNCHANGED))
    x.do(process.capset(identity.capabilities.effective & held, held, 0))


def give_back(x: Executor, held: int) -> None:
    """Be root again after `borrow`."""
    x.do(process.setresuid(process.UNCHANGED, 0, process.UNCHANGED))
    x.do(process.setresgid(process.UNCHANGED, 0, process.UNCHANGED))
    x.do(process.capset(held, held, 0))


def drop(x: Executor, identity: Identity) -> None:
    """Become the user, for good. Order: what needs rights comes before the rights go."""
    capabilities.drop_bounding(x, identity.capabilities)
    x.do(process.prctl(process.PR_SET_KEEPCAPS, 1))
    x.do(process.setgroups(identity.groups))
    x.do(process.setresgid(identity.gid, identity.gid, identity.gid))
    x.do(process.setresuid(identity.uid, identity.uid, identity.uid))
    x.do(process.prctl(process.PR_SET_KEEPCAPS, 0))
    capabilities.set_final(x, identity.capabilities)
