"""`holdfast system prune`: what commands and shims that were killed, or a power cut, have left behind.

Only what belongs to no container any more goes: names without a container, directories without a
record, sockets and runtime state without a shim. Containers that have ended stay; `rm` is for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.shim.cli.options import Command
from holdfast.shim.cli.terms import say
from holdfast.shim.store.store import Store
from holdfast.shim.store.sweep import sweep

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places


class Prune(msgspec.Struct, kw_only=True):
    """What `system prune` is asked for."""

    operands: list[str]


COMMAND = Command(
    name="system prune",
    summary="Remove what commands that were killed have left behind",
    operands="",
    kind=Prune,
    most=0,
    notes="Containers stay, also those that have ended: see holdfast rm.",
)


def run(_options: Prune, places: Places) -> int:
    """Sweep, and say what was removed."""
    with Store(places) as store:
        for what in sweep(store):
            say(f"removed {what}\n")
    return 0
