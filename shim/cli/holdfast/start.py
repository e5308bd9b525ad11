"""`holdfast start`: containers that were created, or that have ended, run (again)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import HoldfastError
from holdfast.shim.cli.holding import hold_launched
from holdfast.shim.cli.launching import StartFailed, start_container
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.terms import FAILED, for_each, say, tell
from holdfast.shim.store.status import status_of
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places


class Start(msgspec.Struct, kw_only=True):
    """What `start` is asked for."""

    operands: list[str]
    attach: bool = False
    interactive: bool = False
    sig_proxy: bool = True
    explain: bool = False


COMMAND = Command(
    name="start",
    summary="Start containers, again if they have ended",
    operands="CONTAINER...",
    kind=Start,
    options=(
        Option(("-a", "--attach"), "show the output, and end with the container's exit code"),
        Option(("-i", "--interactive"), "our stdin is the container's, if it was made with -i"),
        Option(("--sig-proxy",), "with -a: pass signals on, unless the container has our terminal (true)"),
        Option(("--explain",), "tell each step of the container's making on stderr"),
    ),
    least=1,
    notes="A container that runs already is left alone, which is no error.",
)


def run(options: Start, places: Places) -> int:
    """Start each of them."""
    with Store(places) as store:
        if options.attach or options.interactive:
            return _in_foreground(store, options)
        return for_each(
            options.operands, lambda reference: _start(store, reference, explain=options.explain)
        )


def _start(store: Store, reference: str, *, explain: bool) -> None:
    with store.open(reference).lock() as entry:
        record = entry.record()
        if not status_of(entry, record).is_alive:
            with start_container(entry, record, in_foreground=False, explain=explain) as shim:
                shim.wait_started()
    say(reference + "\n")


def _in_foreground(store: Store, options: Start) -> int:
    if len(options.operands) != 1:
        raise HoldfastError(
            "start: several containers cannot be in the foreground; name one, or leave -a out"
        )
    try:
        return _hold(store, options)
    except StartFailed as error:
        tell(error)
        return error.exit_code
    except (HoldfastError, OSError) as error:
        tell(error)
        return FAILED


def _hold(store: Store, options: Start) -> int:
    entry = store.open(options.operands[0])
    record = entry.record()
    if status_of(entry, record).is_alive:
        raise HoldfastError(f'container "{record.name}": runs already; see "holdfast attach"')
    return hold_launched(
        entry,
        record,
        stdin=options.interactive and record.stdin,
        sig_proxy=options.sig_proxy,
        explain=options.explain,
    )
