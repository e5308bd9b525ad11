"""`holdfast restart`: stop, and start again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.shim.cli.holdfast.stop import read_timeout, stop_container
from holdfast.shim.cli.launching import start_container
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.terms import for_each, say
from holdfast.shim.store.refusals import Refused
from holdfast.shim.store.status import status_of
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places


class Restart(msgspec.Struct, kw_only=True):
    """What `restart` is asked for."""

    operands: list[str]
    timeout: int | None = None


COMMAND = Command(
    name="restart",
    summary="Stop containers and start them again",
    operands="CONTAINER...",
    kind=Restart,
    options=(
        Option(
            ("-t", "--time", "--timeout"),
            "seconds before it is killed; -1: never",
            value="SECONDS",
            read=read_timeout,
        ),
    ),
    least=1,
)


def run(options: Restart, places: Places) -> int:
    """Restart each of them."""
    with Store(places) as store:

        def restart(reference: str) -> None:
            container_id = store.find(reference)
            stop_container(store, container_id, number=None, timeout_s=options.timeout)
            with store.open(container_id).lock() as entry:
                record = entry.record()
                if status_of(entry, record).is_alive:
                    raise Refused(f'container "{record.name}": somebody else has started it meanwhile')
                with start_container(entry, record, in_foreground=False) as shim:
                    shim.wait_started()
            say(reference + "\n")

        return for_each(options.operands, restart)
