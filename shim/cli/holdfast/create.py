"""`holdfast create`: a container, all but started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.shim.cli.creating import NewContainer, make_container
from holdfast.shim.cli.flags import COMMON
from holdfast.shim.cli.options import Command
from holdfast.shim.cli.terms import say
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places

COMMAND = Command(
    name="create",
    summary="Make a container without starting it, and print its id",
    operands="[--] COMMAND [ARG...]",
    kind=NewContainer,
    options=COMMON,
    trailing=True,
)


def run(options: NewContainer, places: Places) -> int:
    """Make the container."""
    with Store(places) as store:
        say(make_container(store, options, os.environ).id + "\n")
    return 0
