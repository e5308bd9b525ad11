"""`holdfast wait`: until containers have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol import control
from holdfast.protocol.errors import HoldfastError
from holdfast.shim.cli import signalling
from holdfast.shim.cli.options import Command
from holdfast.shim.cli.terms import FAILED, for_each, say
from holdfast.shim.link import open_link
from holdfast.shim.store.refusals import Refused
from holdfast.shim.store.status import CREATED, status_of
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places


_FAREWELL_S = 2
"""For the shim to leave; it stays as long as somebody who reads slowly needs for the last output."""


class Wait(msgspec.Struct, kw_only=True):
    """What `wait` is asked for."""

    operands: list[str]


COMMAND = Command(
    name="wait",
    summary="Wait until containers have ended, and print their exit codes",
    operands="CONTAINER...",
    kind=Wait,
    least=1,
    notes="Of one that has ended already the exit code is printed at once.",
)


def run(options: Wait, places: Places) -> int:
    """Wait for each, one after the other. Returns 0, or 125 if one of them cannot be waited for."""
    with Store(places) as store:
        code = for_each(options.operands, lambda reference: say(f"{_wait(store, reference)}\n"))
    return FAILED if code else 0


def _wait(store: Store, reference: str) -> int:
    """Return the exit code. Raises HoldfastError if it is not known to anybody."""
    with store.open(reference) as entry:
        record = entry.record()
        link = open_link(store.places.run_dir(entry.id))
        if link is not None:
            with link:
                event = link.ask(control.Wait())
                if isinstance(event, control.Exited):
                    link.has_left(_FAREWELL_S)
                    return event.exit_code
        signalling.has_ended(store.places, entry.id, None)
        status = status_of(entry, record)
    if status.exited is not None:
        return status.exited.exit_code
    if status.state == CREATED:
        raise Refused(f'container "{record.name}": was never started')
    raise HoldfastError(f'container "{record.name}": has ended, but nobody has seen how')
