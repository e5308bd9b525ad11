"""`holdfast attach`: take part in what goes on in a container that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol import control
from holdfast.protocol.errors import HoldfastError
from holdfast.shim import link as links
from holdfast.shim.cli import signalling
from holdfast.shim.cli.holding import resize
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.session import Ended, Session, Ways
from holdfast.shim.cli.terminal import parse_detach_keys
from holdfast.shim.store.refusals import UnknownContainer
from holdfast.shim.store.status import exit_record, status_of
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from holdfast.shim.link import ShimLink
    from holdfast.shim.store.places import Places
    from holdfast.shim.store.record import Record

_SIGNALLED = 128


class Attach(msgspec.Struct, kw_only=True):
    """What `attach` is asked for."""

    operands: list[str]
    detach_keys: str | None = None
    no_stdin: bool = False
    sig_proxy: bool = True


COMMAND = Command(
    name="attach",
    summary="Take part in a running container's input and output",
    operands="CONTAINER",
    kind=Attach,
    options=(
        Option(("--detach-keys",), "keys that leave it (as it was made: ctrl-p,ctrl-q)", value="KEYS"),
        Option(("--no-stdin",), "only watch"),
        Option(("--sig-proxy",), "pass signals on to the container, unless it has our terminal (true)"),
    ),
    least=1,
    most=1,
    notes="""
    What was written before is not shown; see "holdfast logs". The exit code is the container's, or
    0 if you left it. """,
)


def run(options: Attach, places: Places) -> int:
    """Attach until the container ends or the caller leaves."""
    with Store(places) as store, store.open(options.operands[0]) as entry:
        record = entry.record()
        if not status_of(entry, record).is_alive:
            raise HoldfastError(f'container "{record.name}": is not running; see "holdfast start -a"')
    if options.detach_keys is not None:
        try:
            parse_detach_keys(options.detach_keys)
        except ValueError as error:
            raise HoldfastError(f"attach: --detach-keys: {error}") from None
        record = msgspec.structs.replace(record, detach_keys=options.detach_keys)
    link = links.open_link(places.run_dir(record.id))
    if link is None:
        raise HoldfastError(f'container "{record.name}": its shim is gone, and its input and output with it')
    with link:
        try:
            return _attach(options, places, record, link)
        except Ended as ended:
            return _SIGNALLED + int(ended.args[0])


def _attach(options: Attach, places: Places, record: Record, link: ShimLink) -> int:
    run_dir = places.run_dir(record.id)
    ways = Ways(
        stdin=record.stdin and not options.no_stdin,
        terminal=record.terminal,
        detach_keys=record.detach_keys,
        signals=(lambda number: signalling.send(places, record.id, number)) if options.sig_proxy else None,
        resize=lambda rows, columns: resize(run_dir, rows, columns),
    )
    session = Session(ways)
    client = links.attach(run_dir)
    if client is None:
        raise HoldfastError(f'container "{record.name}": has just ended')
    with client, session.taken():
        link.send(control.Wait())
        session.started()
        news = _News(link)
        if not session.hold(client, link.connection.fileno(), news.take, _leave):
            return 0
    link.has_left()
    exited = news.exited or _recorded(places, record)
    if exited is None:
        raise HoldfastError(f'container "{record.name}": its shim died, and the exit code with it')
    return exited.exit_code


def _recorded(places: Places, record: Record) -> control.Exited | None:
    """Return what was recorded of the container's end, if it is still there."""
    try:
        with Store(places) as store, store.open(record.id) as entry:
            return exit_record(entry)
    except UnknownContainer:
        return None


class _News:
    """What the control connection says: how the container has ended."""

    def __init__(self, link: ShimLink) -> None:
        self._link = link
        self.exited: control.Exited | None = None

    def take(self, piece: bytes) -> bool:
        for event in self._link.understand(piece):
            if isinstance(event, control.Exited):
                self.exited = event
        return bool(piece) and self.exited is None


def _leave() -> None:
    """Nobody reads our output any more: we go, the container stays."""
    raise BrokenPipeError
