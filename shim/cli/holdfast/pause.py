"""`holdfast pause`: a container's processes stop where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.commands.pause import pause
from holdfast.shim.cli.options import Command
from holdfast.shim.cli.terms import for_each, say
from holdfast.shim.store.refusals import Refused
from holdfast.shim.store.status import RUNNING, status_of
from holdfast.shim.store.store import Store

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
    with Store(places) as store:

        def freeze(reference: str) -> None:
            with store.open(reference) as entry:
                record = entry.record()
                status = status_of(entry, record)
                if status.state != RUNNING:
                    raise Refused(f'container "{record.name}": is not running, but {status.state}')
                pause(places.runtime, entry.id)
            say(reference + "\n")

        return for_each(options.operands, freeze)
