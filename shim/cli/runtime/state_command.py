"""`holdfast-runtime state`: what the kernel and the record say of a container, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.oci.state import encode
from holdfast.runtime.commands.state import state
from holdfast.shim.cli.options import Command
from holdfast.shim.cli.runtime.context import PROGRAM
from holdfast.shim.cli.terms import say

if TYPE_CHECKING:
    from holdfast.shim.cli.runtime.context import Context


class State(msgspec.Struct, kw_only=True):
    """What `state` is asked for."""

    operands: list[str]


COMMAND = Command(
    name="state",
    program=PROGRAM,
    summary="Print a container's state",
    operands="ID",
    kind=State,
    least=1,
    most=1,
    single_dash=True,
)


def run(options: State, context: Context) -> int:
    """Print it."""
    say(encode(state(context.root, options.operands[0])).decode())
    return 0
