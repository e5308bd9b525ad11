"""`holdfast kill`: a signal for a container's first process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.oci.names import parse_signal
from holdfast.runtime.commands.kill import kill
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.selecting import chosen
from holdfast.shim.cli.terms import for_each, say
from holdfast.shim.store.refusals import Refused
from holdfast.shim.store.status import status_of
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places


class Kill(msgspec.Struct, kw_only=True):
    """What `kill` is asked for."""

    operands: list[str]
    signal: str = "KILL"
    all: bool = False


COMMAND = Command(
    name="kill",
    summary="Send a signal to containers",
    operands="CONTAINER...",
    kind=Kill,
    options=(
        Option(("-s", "--signal"), "name or number (KILL)", value="SIGNAL"),
        Option(("-a", "--all"), "all that run"),
    ),
    notes="""
    A container's first process ignores every signal that it has no handler for, but KILL and STOP:
    the kernel treats it as it treats the host's init. """,
)


def run(options: Kill, places: Places) -> int:
    """Signal each of them."""
    number = parse_signal(options.signal)
    with Store(places) as store:

        def signal_it(reference: str) -> None:
            with store.open(reference) as entry:
                record = entry.record()
                state = status_of(entry, record)
                if not state.is_alive:
                    raise Refused(f'container "{record.name}": is not running, but {state.state}')
                kill(places.runtime, entry.id, number)
            say(reference + "\n")

        return for_each(chosen(store, COMMAND, options.operands, everything=options.all), signal_it)
