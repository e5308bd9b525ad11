"""`holdfast-runtime resume`: a paused container goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.commands.pause import resume
from holdfast.shim.cli.options import Command
from holdfast.shim.cli.runtime.context import PROGRAM

if TYPE_CHECKING:
    from holdfast.shim.cli.runtime.context import Context


class Resume(msgspec.Struct, kw_only=True):
    """What `resume` is asked for."""

    operands: list[str]


COMMAND = Command(
    name="resume",
    program=PROGRAM,
    summary="Let a frozen container go on",
    operands="ID",
    kind=Resume,
    least=1,
    most=1,
    single_dash=True,
)


def run(options: Resume, context: Context) -> int:
    """Do it."""
    resume(context.root, options.operands[0])
    return 0
