"""`holdfast stop`: the signal that a program was told to expect, time, and SIGKILL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.oci.names import parse_signal
from holdfast.runtime.commands.pause import resume
from holdfast.shim.cli import signalling
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.selecting import chosen
from holdfast.shim.cli.sizes import parse_signed
from holdfast.shim.cli.terms import for_each, say
from holdfast.shim.store.status import PAUSED, status_of
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places

_TIMEOUT_MAX_S = 1 << 31


class Stop(msgspec.Struct, kw_only=True):
    """What `stop` is asked for."""

    operands: list[str]
    timeout: int | None = None
    signal: str = ""
    all: bool = False


def read_timeout(text: str) -> int:
    """Read seconds; -1 for as long as it takes. Raises ValueError."""
    return parse_signed(text, signalling.FOR_EVER, _TIMEOUT_MAX_S)


COMMAND = Command(
    name="stop",
    summary="End containers, with time to end by themselves",
    operands="CONTAINER...",
    kind=Stop,
    options=(
        Option(
            ("-t", "--time", "--timeout"),
            "seconds before it is killed; -1: never (10, or as --stop-timeout of run)",
            value="SECONDS",
            read=read_timeout,
        ),
        Option(
            ("-s", "--signal"), "what it is asked with (TERM, or as --stop-signal of run)", value="SIGNAL"
        ),
        Option(("-a", "--all"), "all that run"),
    ),
    notes="A container that has ended already is no error.",
)


def run(options: Stop, places: Places) -> int:
    """Stop each of them."""
    number = parse_signal(options.signal) if options.signal else None
    with Store(places) as store:

        def stop(reference: str) -> None:
            stop_container(store, reference, number=number, timeout_s=options.timeout)
            say(reference + "\n")

        return for_each(chosen(store, COMMAND, options.operands, everything=options.all), stop)


def stop_container(store: Store, reference: str, *, number: int | None, timeout_s: int | None) -> None:
    """Stop a container, if it runs; None stands for what it was made with. Raises HoldfastError."""
    with store.open(reference) as entry:
        record = entry.record()
        status = status_of(entry, record)
        if status.state == PAUSED:
            resume(store.places.runtime, entry.id)  # or it could not even take the signal
        if status.is_alive:
            signalling.end(
                store.places,
                record,
                number=record.stop_signal if number is None else number,
                timeout_s=record.stop_timeout_s if timeout_s is None else timeout_s,
            )
