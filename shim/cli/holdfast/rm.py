"""`holdfast rm`: containers go, with their log and what they have written."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.commands.delete import delete
from holdfast.shim.cli import signalling
from holdfast.shim.cli.holdfast.stop import read_timeout, stop_container
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.selecting import chosen
from holdfast.shim.cli.terms import for_each, say
from holdfast.shim.store.refusals import Refused, UnknownContainer
from holdfast.shim.store.status import status_of
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places

_TRIES = 3


class Rm(msgspec.Struct, kw_only=True):
    """What `rm` is asked for."""

    operands: list[str]
    force: bool = False
    timeout: int | None = None
    all: bool = False
    ignore: bool = False


COMMAND = Command(
    name="rm",
    summary="Remove containers, with their log and what they have written",
    operands="CONTAINER...",
    kind=Rm,
    options=(
        Option(("-f", "--force"), "end those that run first; one that is not there is no error"),
        Option(
            ("-t", "--time", "--timeout"),
            "with -f: seconds to end by itself, before it is killed (0)",
            value="SECONDS",
            read=read_timeout,
        ),
        Option(("-a", "--all"), "all that don't run; with -f all"),
        Option(("-i", "--ignore"), "one that is not there is no error"),
    ),
)


def run(options: Rm, places: Places) -> int:
    """Remove each of them."""
    with Store(places) as store:

        def remove(reference: str) -> None:
            try:
                _remove(store, reference, options)
            except UnknownContainer:
                if not (options.force or options.ignore):
                    raise
            say(reference + "\n")

        names = chosen(store, COMMAND, options.operands, everything=options.all, alive=False)
        if options.all and options.force:
            names += chosen(store, COMMAND, [], everything=True)
        return for_each(names, remove)


def _remove(store: Store, reference: str, options: Rm) -> None:
    container_id = store.find(reference)
    for _ in range(_TRIES):  # somebody may start it again between its end and the lock
        if options.force:
            _end(store, container_id, options.timeout)
        with store.open(container_id).lock() as entry:
            record = entry.record()
            if not status_of(entry, record).is_alive:
                delete(store.places.runtime, container_id, force=True)
                store.remove(entry)
                return
        if not options.force:
            raise Refused(f'container "{record.name}": is running; stop it first, or use -f')
    raise Refused(f'container "{record.name}": is started again each time that it is ended')


def _end(store: Store, container_id: str, timeout_s: int | None) -> None:
    if timeout_s:
        stop_container(store, container_id, number=None, timeout_s=timeout_s)
    else:
        stop_container(store, container_id, number=signal.SIGKILL, timeout_s=signalling.FOR_EVER)
