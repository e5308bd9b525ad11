"""`holdfast-runtime list`: the containers below the root, as a table or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import quoted
from holdfast.protocol.oci.state import encode_list
from holdfast.protocol.printable import printable
from holdfast.runtime.commands.state import list_states
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.runtime.context import PROGRAM
from holdfast.shim.cli.terms import say

if TYPE_CHECKING:
    from holdfast.shim.cli.runtime.context import Context

_HEAD = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")
_WIDTH_MIN, _GAP = 12, 3


def read_format(text: str) -> str:
    """Read the name of a format. Raises ValueError."""
    if text not in ("table", "json"):
        raise ValueError(f"{quoted(text)} is not a format; allowed: table, json")
    return text


class List(msgspec.Struct, kw_only=True):
    """What `list` is asked for."""

    operands: list[str]
    format: str = "table"
    quiet: bool = False


COMMAND = Command(
    name="list",
    program=PROGRAM,
    summary="List containers",
    operands="",
    kind=List,
    options=(
        Option(("-f", "--format"), "table or json", value="FORMAT", read=read_format),
        Option(("-q", "--quiet"), "ids only"),
    ),
    most=0,
    single_dash=True,
    notes="A container whose record cannot be read is told on stderr, and left out.",
)


def run(options: List, context: Context) -> int:
    """Print them."""
    states = list(list_states(context.root, context.tell))
    if options.quiet:
        say("".join(f"{one.id}\n" for one in states))
    elif options.format == "json":
        say(encode_list(states).decode())
    else:
        rows = [(one.id, str(one.pid), one.status, one.bundle, one.created, one.owner) for one in states]
        say(_table([_HEAD, *rows]))
    return 0


def _table(rows: list[tuple[str, ...]]) -> str:
    """Return the rows in columns as runc's: at least 12 wide, three spaces between them."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(_WIDTH_MIN, *(len(row[i]) + _GAP for row in shown)) for i in range(len(_HEAD))]
    lines = ("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in shown)
    return "".join(line.rstrip() + "\n" for line in lines)
