"""`holdfast-runtime ps`: the processes of a container, by the numbers that the host has for them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.commands.ps import processes
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.runtime.context import PROGRAM
from holdfast.shim.cli.runtime.list_command import read_format
from holdfast.shim.cli.terms import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast.shim.cli.runtime.context import Context


class Ps(msgspec.Struct, kw_only=True):
    """What `ps` is asked for."""

    operands: list[str]
    format: str = "table"


COMMAND = Command(
    name="ps",
    program=PROGRAM,
    summary="List a container's processes",
    operands="ID [PS-OPTION...]",
    kind=Ps,
    options=(Option(("-f", "--format"), "table or json", value="FORMAT", read=read_format),),
    least=1,
    trailing=True,
    single_dash=True,
    notes="The table is what ps(1) prints (with -ef, or the options that are given) of these processes.",
)


def run(options: Ps, context: Context) -> int:
    """Print them."""
    container_id, *words = options.operands
    pids = processes(context.root, container_id)
    if options.format == "json":
        say(msgspec.json.encode(pids).decode() + "\n")
    else:
        say("".join(_chosen(_ps(words or ["-ef"]), set(pids))))
    return 0


def _chosen(table: str, pids: set[int]) -> Iterator[str]:
    """Yield the head and the lines of a table whose column PID has one of the ids. Raises HoldfastError."""
    head, *lines = table.splitlines(keepends=True)
    names = head.split()
    if "PID" not in names:
        raise HoldfastError("ps: its output has no column PID; needed: options with which it has")
    column = names.index("PID")
    yield head
    for line in lines:
        cells = line.split()
        if len(cells) > column and cells[column].isdigit() and int(cells[column]) in pids:
            yield line


def _ps(words: Sequence[str]) -> str:
    """Run ps(1) and return what it prints. Raises HoldfastError."""
    reading, writing = os.pipe()
    try:
        pid = os.posix_spawnp(
            "ps", ["ps", *words], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)]
        )
    except OSError as error:
        os.close(reading)
        raise HoldfastError(f"run ps: {error.strerror}") from None
    finally:
        os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="surrogateescape") as output:
        table = output.read()
    _, status = os.waitpid(pid, 0)
    if status or not table:
        raise HoldfastError("ps: has failed")
    return table
