"""`holdfast-runtime start`: a created container becomes its program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.commands.start import start
from holdfast.shim.cli.options import Command
from holdfast.shim.cli.runtime.context import PROGRAM

if TYPE_CHECKING:
    from holdfast.shim.cli.runtime.context import Context


class Start(msgspec.Struct, kw_only=True):
    """What `start` is asked for."""

    operands: list[str]


COMMAND = Command(
    name="start",
    program=PROGRAM,
    summary="Let a created container run its program",
    operands="ID",
    kind=Start,
    least=1,
    most=1,
    single_dash=True,
)


def run(options: Start, context: Context) -> int:
    """Do it."""
    start(context.root, options.operands[0])
    return 0
