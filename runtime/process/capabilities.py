"""The five capability sets of the container's process, as masks of bits.

Sources: capabilities(7), "Transformation of capabilities during execve()" and "Effect of user ID changes".
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.oci.names import CAPABILITIES, capability
from holdfast.runtime.sys import process

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.protocol.oci import config
    from holdfast.runtime.sys.call import Executor

ALL = 2**64 - 1
CAP_MKNOD = 27


class CapabilityPlan(msgspec.Struct, frozen=True):
    """Five masks: bit n is the capability with number n."""

    bounding: int = 0
    effective: int = 0
    permitted: int = 0
    inheritable: int = 0
    ambient: int = 0


def plan_capabilities(asked: config.Capabilities | None, grantable: int) -> CapabilityPlan:
    """Decide the sets. What cannot be granted is left out, as the spec wants: the caller has warned of it.

    asked: None stands for none at all. grantable: what the runtime itself holds, or everything in a user
    namespace.
    """
    if asked is None:
        return CapabilityPlan()
    bounding, permitted = _mask(asked.bounding) & grantable, _mask(asked.permitted) & grantable
    inheritable = _mask(asked.inheritable) & grantable
    return CapabilityPlan(
        bounding=bounding,
        effective=_mask(asked.effective) & permitted,
        permitted=permitted,
        inheritable=inheritable,
        ambient=_mask(asked.ambient) & permitted & inheritable,
    )


def _mask(names: Iterable[str]) -> int:
    numbers = {capability(name) for name in names}
    return sum(1 << number for number in numbers if number is not None)


def drop_bounding(x: Executor, plan: CapabilityPlan) -> None:
    """Take from the bounding set what the container must never gain.

    Needs CAP_SETPCAP, so before the user changes.
    """
    for number in range(
        64
    ):  # all that a kernel could ever have, also those that were invented after this was written
        if not plan.bounding >> number & 1:
            # EINVAL: this kernel has no capability with that number.
            x.do(process.prctl(process.PR_CAPBSET_DROP, number).accepting(errno.EINVAL))


def set_final(x: Executor, plan: CapabilityPlan) -> None:
    """Set the other four, after the user has changed with PR_SET_KEEPCAPS.

    Ambient last, since it needs two others.
    """
    x.do(process.capset(plan.effective, plan.permitted, plan.inheritable))
    x.do(process.prctl(process.PR_CAP_AMBIENT, process.PR_CAP_AMBIENT_CLEAR_ALL))
    for number in range(len(CAPABILITIES)):
        if plan.ambient >> number & 1:
            x.do(process.prctl(process.PR_CAP_AMBIENT, process.PR_CAP_AMBIENT_RAISE, number))
