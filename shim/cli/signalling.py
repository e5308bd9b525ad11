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
from holdfast.shim.store.refusals import UnknownContainer

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places
    from holdfast.shim.store.record import Record
    from holdfast.shim.store.store import Store

FOR_EVER = -1
_KILL_TIMEOUT_S = 10


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
    """Wait until a container has ended and its shim has left. Returns whether they have, in time."""
    link = open_link(places.run_dir(container_id))
    if link is not None:
        with link:
            link.send(control.Wait())
            if link.receive(timeout_s) is None and not link.has_left(0):
                return False
            return link.has_left(_KILL_TIMEOUT_S)
    try:
        with open_container(places.runtime, container_id) as container:
            pidfd = container.pidfd()
    except DoesNotExist:
        return True
    if pidfd is None:
        return True
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    try:
        return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))
    finally:
        os.close(pidfd)


def still_there(store: Store, container_id: str) -> bool:
    """Whether the container has not been removed meanwhile."""
    try:
        with store.open(container_id):
            return True
    except UnknownContainer:
        return False
