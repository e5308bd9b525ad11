"""Which containers a command is about: those that are named, or all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError
from holdfast.shim.store.status import status_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.shim.cli.options import Command
    from holdfast.shim.store.store import Store


def chosen(
    store: Store, command: Command, operands: Sequence[str], *, everything: bool, alive: bool = True
) -> list[str]:
    """Return the containers that are named, or the ids of all.

    alive: of all, those that run, or those that don't.

    Raises HoldfastError if nothing is said, or both.
    """
    if everything:
        if operands:
            raise HoldfastError(f"{command.name}: --all does not go with names of containers")
        return [entry.id for entry in store.entries() if status_of(entry, entry.record()).is_alive == alive]
    if not operands:
        raise HoldfastError(f'{command.name}: CONTAINER is missing; see "holdfast {command.name} --help"')
    return list(operands)
