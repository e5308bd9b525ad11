"""Being in front of a program that we start: of a container (`run`, `start -a`), or beside it (`exec`)."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from holdfast.protocol import control
from holdfast.shim.cli import signalling
from holdfast.shim.cli.launching import start_container
from holdfast.shim.cli.session import Ended, Session, Ways
from holdfast.shim.link import open_link

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.shim.cli.launching import Launched
    from holdfast.shim.store.record import Record
    from holdfast.shim.store.store import Entry

_SIGNALLED = 128


def hold_launched(
    entry: Entry, record: Record, *, stdin: bool, sig_proxy: bool, explain: bool = False
) -> int:
    """Start a container and be its input and output until it ends, or the caller leaves.

    Returns the exit code.

    Takes over the entry. Raises StartFailed, HoldfastError, OSError.
    """
    places = entry.store.places
    run_dir = places.run_dir(record.id)
    ways = Ways(
        stdin=stdin,
        terminal=record.terminal,
        detach_keys=record.detach_keys,
        signals=(lambda number: signalling.send(places, record.id, number)) if sig_proxy else None,
        resize=lambda rows, columns: resize(run_dir, rows, columns),
    )

    def start() -> Launched:
        return start_container(entry.lock(), record, in_foreground=True, explain=explain)

    def kill() -> None:
        # SIGPIPE would have ended a program in a pipe; but a container's first process ignores that.
        signalling.send(places, record.id, signal.SIGKILL)

    with entry:
        return hold(ways, start, on_started=entry.close, on_output_gone=kill)


def hold(
    ways: Ways,
    start: Callable[[], Launched],
    *,
    on_started: Callable[[], None],
    on_output_gone: Callable[[], None],
) -> int:
    """Have a shim launched and be in front of it. Returns the exit code, 0 if the caller has left.

    on_started: called when the program runs. on_output_gone: when nobody reads our output any more.
    Raises StartFailed, HoldfastError, OSError.
    """
    session = Session(ways)
    try:
        with session.taken(), start() as launched:

            def running() -> None:
                on_started()
                session.started()

            launched.on_started = running
            if not session.hold(
                launched.attached(), launched.report.fileno(), launched.take, on_output_gone
            ):
                return 0
            launched.wait_left()
            return launched.exit_code()
    except Ended as ended:
        return _SIGNALLED + int(ended.args[0])


def resize(run_dir: bytes, rows: int, columns: int) -> None:
    """Give a container's terminal a size; nothing happens if its shim has left."""
    link = open_link(run_dir)
    if link is not None:
        with link:
            link.ask(control.Resize(height=rows, width=columns))
