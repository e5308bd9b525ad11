"""`holdfast-runtime pause`: a container's processes stop where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.commands.pause import pause
from holdfast.shim.cli.options import Command
from holdfast.shim.cli.runtime.context import PROGRAM

if TYPE_CHECKING:
    from holdfast.shim.cli.runtime.context import Context


class Pause(msgspec.Struct, kw_only=True):
    """What `pause` is asked for."""

    operands: list[str]


COMMAND = Command(
    name="pause",
    program=PROGRAM,
    summary="Freeze a container",
    operands="ID",
    kind=Pause,
    least=1,
    most=1,
    single_dash=True,
)


def run(options: Pause, context: Context) -> int:
    """Do it."""
    pause(context.root, options.operands[0])
    return 0
