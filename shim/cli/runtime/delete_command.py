"""`holdfast-runtime delete`: all that create has made goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.runtime.commands.delete import delete
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.runtime.context import PROGRAM

if TYPE_CHECKING:
    from holdfast.shim.cli.runtime.context import Context


class Delete(msgspec.Struct, kw_only=True):
    """What `delete` is asked for."""

    operands: list[str]
    force: bool = False


COMMAND = Command(
    name="delete",
    program=PROGRAM,
    summary="Remove a container",
    operands="ID",
    kind=Delete,
    options=(Option(("-f", "--force"), "kill it first if it runs; an unknown one is fine"),),
    least=1,
    most=1,
    single_dash=True,
    notes="A created container is killed in any case.",
)


def run(options: Delete, context: Context) -> int:
    """Delete it."""
    delete(context.root, options.operands[0], force=options.force)
    return 0
