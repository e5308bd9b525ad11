"""`holdfast unpause`: frozen processes go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.commands.pause import resume
from holdfast.shim.cli.freezing import change_each
from holdfast.shim.cli.options import Command
from holdfast.shim.store.status import PAUSED

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places


class Unpause(msgspec.Struct, kw_only=True):
    """What `unpause` is asked for."""

    operands: list[str]


COMMAND = Command(
    name="unpause", summary="Let frozen containers go on", operands="CONTAINER...", kind=Unpause, least=1
)


def run(options: Unpause, places: Places) -> int:
    """Thaw each of them."""
    return change_each(options.operands, places, state=PAUSED, change=resume)
