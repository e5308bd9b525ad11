"""What `pause` and `unpause` share: each named container, if it is in the state that can be left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.shim.cli.terms import for_each, say
from holdfast.shim.store.refusals import Refused
from holdfast.shim.store.status import status_of
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.shim.store.places import Places


def change_each(
    references: Sequence[str], places: Places, *, state: str, change: Callable[[bytes, str], None]
) -> int:
    """Call `change` with the runtime's root and the id of each container; it has to be in this state.

    Returns the command's exit code.
    """
    with Store(places) as store:

        def change_one(reference: str) -> None:
            with store.open(reference) as entry:
                record = entry.record()
                status = status_of(entry, record)
                if status.state != state:
                    raise Refused(f'container "{record.name}": is not {state}, but {status.state}')
                change(places.runtime, entry.id)
            say(reference + "\n")

        return for_each(references, change_one)
