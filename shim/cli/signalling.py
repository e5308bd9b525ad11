"""Sending signals to containers, and ending them: a signal that asks, time, and SIGKILL."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from holdfast.protocol import control
from holdfast.protocol.errors import DoesNotExist, HoldfastError
from holdfast.runtime.commands.kill import kill
from holdfast.runtime.container import open_container
from holdfast.shim.link import open_link

if TYPE_CHECKING:
    from holdfast.shim.link import ShimLink
    from holdfast.shim.store.places import Places
    from holdfast.shim.store.record import Record

FOR_EVER = -1
_KILL_TIMEOUT_S = 10
_SHIM_TIMEOUT_S = 10
_FAREWELL_S = 2


def send(places: Places, container_id: str, number: int) -> None:
    """Send a signal to init, if it still runs."""
    with suppress(HoldfastError):
        kill(places.runtime, container_id, number)


def end(places: Places, record: Record, *, number: int, timeout_s: int) -> None:
    """End a container and wait until it has ended. Returns at once if it has already.

    number: the signal to ask it with. timeout_s: how long it gets before SIGKILL; FOR_EVER: as long
    as it takes. Raises HoldfastError if not even that helps.
    """
    send(places, record.id, number)
    if has_ended(places, record.id, None if timeout_s == FOR_EVER else timeout_s):
        return
    send(places, record.id, signal.SIGKILL)
    if not has_ended(places, record.id, _KILL_TIMEOUT_S):
        raise HoldfastError(f'container "{record.name}": kill: still there after {_KILL_TIMEOUT_S} s')


def has_ended(places: Places, container_id: str, timeout_s: float | None) -> bool:
    """Wait until init has ended and its shim has recorded that. Returns whether it is so.

    timeout_s: for init, None: as long as it takes; the shim gets some seconds.
    """
    link = open_link(places.run_dir(container_id))
    try:
        with open_container(places.runtime, container_id) as container:
            pidfd = container.pidfd()
    except DoesNotExist:
        pidfd = None
    try:
        if pidfd is not None and not _is_readable(pidfd, timeout_s):
            return False
        return link is None or _is_recorded(link)
    finally:
        if pidfd is not None:
            os.close(pidfd)
        if link is not None:
            link.close()


def _is_recorded(link: ShimLink) -> bool:
    """Wait for the record, and a moment for the shim to leave: it may have to stay for a slow reader."""
    link.send(control.Wait())
    is_recorded = isinstance(link.receive(_SHIM_TIMEOUT_S), control.Exited)
    return link.has_left(_FAREWELL_S) or is_recorded


def _is_readable(fd: int, timeout_s: float | None) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))
