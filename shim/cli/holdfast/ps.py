"""`holdfast ps`: which containers there are, and what has become of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.protocol.printable import printable
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.sizes import parse_count
from holdfast.shim.cli.table import shortened, table
from holdfast.shim.cli.template import Template
from holdfast.shim.cli.terms import say, say_json, tell
from holdfast.shim.cli.times import parse_rfc3339, shown_duration
from holdfast.shim.store.status import CREATED, EXITED, PAUSED, RUNNING, STOPPED, Status, status_of
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.shim.store.places import Places
    from holdfast.shim.store.record import Record

_SHORT_ID = 12
_COMMAND_WIDTH = 24


class Ps(msgspec.Struct, kw_only=True):
    """What `ps` is asked for."""

    operands: list[str]
    all: bool = False
    quiet: bool = False
    no_trunc: bool = False
    latest: bool = False
    last: int | None = None
    format: str = "table"
    filter: list[str] = []


COMMAND = Command(
    name="ps",
    summary="List containers",
    operands="",
    kind=Ps,
    options=(
        Option(("-a", "--all"), "also those that don't run"),
        Option(("-q", "--quiet"), "ids only"),
        Option(("--no-trunc",), "whole ids and commands"),
        Option(("-l", "--latest"), "only the newest one, whatever its state"),
        Option(
            ("-n", "--last"), "only the N newest ones, whatever their state", value="N", read=parse_count
        ),
        Option(("--format",), "table, json, or a template as {{.ID}} {{.Names}}", value="FORMAT"),
        Option(
            ("-f", "--filter"),
            "only those with name=TEXT, id=TEXT, label=KEY[=VALUE], status=STATE, exited=CODE",
            value="KEY=VALUE",
            many=True,
        ),
    ),
    most=0,
    notes="""
    States: created, running, paused, exited (the exit code is known), stopped (it is not: the power
    went, or the shim was killed). Names for templates: .ID .Names .Image .Command .CreatedAt .State
    .Status .Pid .ExitCode .Labels. """,
)


class _Row(NamedTuple):
    record: Record
    status: Status
    created_ns: int


def run(options: Ps, places: Places) -> int:
    """List them, the newest first."""
    filters = [_filter(text) for text in options.filter]
    count = 1 if options.latest else options.last
    everything = (
        options.all
        or count is not None
        or any(text.startswith(("status=", "exited=")) for text in options.filter)
    )
    with Store(places) as store:
        rows = [row for row in _rows(store) if everything or row.status.is_alive]
    rows.sort(key=lambda row: row.created_ns, reverse=True)
    rows = [row for row in rows if all(matches(row) for matches in filters)][:count]
    if options.format == "json" and not options.quiet:
        now_ns = time.time_ns()
        say_json([_members(row, now_ns) for row in rows])
    else:
        say(_shown(rows, options))
    return 0


def _rows(store: Store) -> Iterator[_Row]:
    for entry in store.entries():
        try:
            record = entry.record()
            yield _Row(record, status_of(entry, record), parse_rfc3339(record.created))
        except (HoldfastError, OSError, ValueError) as error:  # one that is damaged must not hide the others
            tell(f"ps: {error}")


def _shown(rows: list[_Row], options: Ps) -> str:
    now_ns = time.time_ns()
    if options.quiet:
        return "".join(
            (row.record.id if options.no_trunc else row.record.id[:_SHORT_ID]) + "\n" for row in rows
        )
    if options.format != "table":
        template = Template(options.format.removeprefix("table "))
        return "".join(printable_line(template.render(_members(row, now_ns))) + "\n" for row in rows)
    return table(
        ("CONTAINER ID", "COMMAND", "CREATED", "STATUS", "NAMES"),
        [_cells(row, now_ns, options) for row in rows],
    )


def printable_line(text: str) -> str:
    """Make a line of a template safe to show; its tabs and newlines are the template's own."""
    return "\n".join("\t".join(printable(cell) for cell in line.split("\t")) for line in text.split("\n"))


def _cells(row: _Row, now_ns: int, options: Ps) -> tuple[str, ...]:
    record = row.record
    command = " ".join(record.command)
    return (
        record.id if options.no_trunc else record.id[:_SHORT_ID],
        f'"{command if options.no_trunc else shortened(command, _COMMAND_WIDTH)}"',
        shown_duration(now_ns - row.created_ns) + " ago",
        describe(row.status, record, now_ns),
        record.name,
    )


def describe(status: Status, record: Record, now_ns: int) -> str:
    """Tell a status in words, as in "Up 3 minutes"."""
    if status.exited is not None:
        ended = shown_duration(now_ns - parse_rfc3339(status.exited.finished_at))
        return f"Exited ({status.exited.exit_code}) {ended} ago"
    if status.is_alive:
        since = shown_duration(now_ns - parse_rfc3339(record.started or record.created))
        return f"Up {since}" + (" (paused)" if status.state == PAUSED else "")
    return "Created" if status.state == CREATED else "Stopped (exit code unknown)"


def _members(row: _Row, now_ns: int) -> dict[str, object]:
    record, status = row.record, row.status
    return {
        "ID": record.id,
        "Names": record.name,
        "Image": record.source,
        "Command": record.command,
        "CreatedAt": record.created,
        "State": status.state,
        "Status": describe(status, record, now_ns),
        "Pid": status.pid,
        "ExitCode": status.exited.exit_code if status.exited else None,
        "Labels": record.labels,
    }


def _filter(text: str) -> Callable[[_Row], bool]:
    """Read a filter. Raises HoldfastError."""
    key, _, value = text.partition("=")
    states = (CREATED, RUNNING, PAUSED, EXITED, STOPPED)
    match key:
        case "name":
            return lambda row: value in row.record.name
        case "id":
            return lambda row: row.record.id.startswith(value)
        case "label":
            name, equals, wanted = value.partition("=")
            return lambda row: (
                name in row.record.labels and (not equals or row.record.labels[name] == wanted)
            )
        case "status" if value in states:
            return lambda row: row.status.state == value
        case "exited" if value.isascii() and value.isdigit():
            return lambda row: row.status.exited is not None and str(row.status.exited.exit_code) == value
    allowed = f"name=, id=, label=, status={'|'.join(states)}, exited=CODE"
    raise HoldfastError(f"--filter: {quoted(text)} is not one; allowed: {allowed}")
