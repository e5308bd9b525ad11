"""`holdfast-runtime kill`: a signal for a container's init, or for all of its processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.oci.names import parse_signal
from holdfast.runtime.commands.kill import kill
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.runtime.context import PROGRAM

if TYPE_CHECKING:
    from holdfast.shim.cli.runtime.context import Context


class Kill(msgspec.Struct, kw_only=True):
    """What `kill` is asked for."""

    operands: list[str]
    all: bool = False


COMMAND = Command(
    name="kill",
    program=PROGRAM,
    summary="Send a signal to a container",
    operands="ID [SIGNAL]",
    kind=Kill,
    options=(Option(("-a", "--all"), "to all of its processes"),),
    least=1,
    most=2,
    single_dash=True,
    notes="SIGNAL is a name, with or without SIG, or a number; else TERM.",
)


def run(options: Kill, context: Context) -> int:
    """Send it."""
    container_id, signal = [*options.operands, "TERM"][:2]
    kill(context.root, container_id, parse_signal(signal), every=options.all)
    return 0
