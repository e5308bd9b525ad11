"""`holdfast unpause`: frozen processes go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.commands.pause import resume
from holdfast.shim.cli.options import Command
from holdfast.shim.cli.terms import for_each, say
from holdfast.shim.store.refusals import Refused
from holdfast.shim.store.status import PAUSED, status_of
from holdfast.shim.store.store import Store

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
    with Store(places) as store:

        def thaw(reference: str) -> None:
            with store.open(reference) as entry:
                record = entry.record()
                status = status_of(entry, record)
                if status.state != PAUSED:
                    raise Refused(f'container "{record.name}": is not paused, but {status.state}')
                resume(places.runtime, entry.id)
            say(reference + "\n")

        return for_each(options.operands, thaw)
