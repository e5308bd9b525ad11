"""`holdfast pause`: a container's processes stop where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.commands.pause import pause
from holdfast.shim.cli.freezing import change_each
from holdfast.shim.cli.options import Command
from holdfast.shim.store.status import RUNNING

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places


class Pause(msgspec.Struct, kw_only=True):
    """What `pause` is asked for."""

    operands: list[str]


COMMAND = Command(
    name="pause",
    summary="Freeze containers",
    operands="CONTAINER...",
    kind=Pause,
    least=1,
    notes="Nothing is lost: their processes stop where they are, until unpause.",
)


def run(options: Pause, places: Places) -> int:
    """Freeze each of them."""
    return change_each(options.operands, places, state=RUNNING, change=pause)
