"""What has become of a container: from its record, its exit record, the kernel, and whether a shim is there.

    created   made, never started
    running   its init runs
    paused    its init runs, frozen
    exited    ended, and how is known
    stopped   ended, and how is not known: the power went, or the shim was killed

An exit record belongs to the last run: whoever starts a container removes the one of the run before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol import control
from holdfast.protocol.errors import DoesNotExist
from holdfast.runtime.commands.state import state
from holdfast.runtime.container import boot_id
from holdfast.shim.exit import EXIT_FILE
from holdfast.shim.link import open_link

if TYPE_CHECKING:
    from holdfast.shim.store.record import Record
    from holdfast.shim.store.store import Entry

CREATED = "created"
RUNNING = "running"
PAUSED = "paused"
EXITED = "exited"
STOPPED = "stopped"

_EXIT_MAX = 1 << 16


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What a container is, at one moment."""

    state: str
    pid: int = 0
    exited: control.Exited | None = None
    """How it ended, if that is known."""

    @property
    def is_alive(self) -> bool:
        """Whether its init runs, maybe frozen."""
        return self.state in (RUNNING, PAUSED)


def status_of(entry: Entry, record: Record) -> Status:
    """Find out what has become of a container. Raises HoldfastError if what is on disk cannot be trusted."""
    exited = exit_record(entry)
    if exited is not None:
        return Status(state=EXITED, exited=exited)
    if not record.boot_id:
        return Status(state=CREATED)
    if record.boot_id != boot_id():
        return Status(state=STOPPED)
    try:
        live = state(entry.store.places.runtime, entry.id)
    except DoesNotExist:
        live = None
    if live is not None and live.status != "stopped":
        return Status(state=PAUSED if live.status == "paused" else RUNNING, pid=live.pid)
    # Between the end of init and its record there is a moment in which only the shim knows.
    link = open_link(entry.store.places.run_dir(entry.id))
    if link is not None:
        with link:
            return Status(state=RUNNING)
    exited = exit_record(entry)
    return Status(state=STOPPED) if exited is None else Status(state=EXITED, exited=exited)


def exit_record(entry: Entry) -> control.Exited | None:
    """Read how the last run ended; None if it has not, or nobody could record it. Raises HoldfastError."""
    try:
        content = entry.read(EXIT_FILE.encode(), _EXIT_MAX)
    except FileNotFoundError:
        return None
    try:
        event = control.decode_event(content)
    except ValueError:
        return None
    return event if isinstance(event, control.Exited) else None
