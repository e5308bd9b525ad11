"""`holdfast logs`: what a container has written, its stdout to ours and its stderr to ours."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.log.read import Joiner
from holdfast.shim.cli.foreground import write_all
from holdfast.shim.cli.logreading import Follower, Reader, open_logs, seek_tail
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.sizes import parse_count
from holdfast.shim.cli.times import parse_moment, parse_rfc3339
from holdfast.shim.store.record import NO_LOG
from holdfast.shim.store.refusals import Refused
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.protocol.log.read import Entry
    from holdfast.shim.store.places import Places

_FDS = {b"stdout": 1, b"stderr": 2}


def _read_tail(text: str) -> int | None:
    return None if text == "all" else parse_count(text)


def _read_moment(text: str) -> int:
    return parse_moment(text, time.time_ns())


class Logs(msgspec.Struct, kw_only=True):
    """What `logs` is asked for."""

    operands: list[str]
    follow: bool = False
    tail: int | None = None
    since: int | None = None
    until: int | None = None
    timestamps: bool = False


COMMAND = Command(
    name="logs",
    summary="Show what a container has written",
    operands="CONTAINER",
    kind=Logs,
    options=(
        Option(("-f", "--follow"), "go on until the container has ended"),
        Option(("-n", "--tail"), "only the last N lines; all", value="N", read=_read_tail),
        Option(
            ("--since",),
            "only from a time on: 2026-01-02T03:04:05Z, seconds since 1970, or how long ago, as 10m",
            value="TIME",
            read=_read_moment,
        ),
        Option(("--until",), "only up to a time", value="TIME", read=_read_moment),
        Option(("-t", "--timestamps"), "put the time in front of each line"),
    ),
    least=1,
    most=1,
    notes="""
    Lines are shown as they were written: on a terminal the container's escape sequences act as if
    it wrote there. Pipe them through `cat -v` if you don't trust it. """,
)


def run(options: Logs, places: Places) -> int:
    """Show the log. Returns 0 also if the caller interrupts it."""
    with Store(places) as store, store.open(options.operands[0]) as entry:
        record = entry.record()
        if record.log_driver == NO_LOG:
            raise Refused(f'container "{record.name}": keeps no log; its log driver is {NO_LOG}')
        with Follower(entry.fd, places.run_dir(entry.id)) as follower:
            _show(options, entry.fd, follower)
    return 0


def _show(options: Logs, directory_fd: int, follower: Follower) -> None:
    fds = open_logs(directory_fd)
    kept = fds if options.tail is None else seek_tail(fds, options.tail)
    for fd in fds[: len(fds) - len(kept)]:
        os.close(fd)
    joiner = Joiner(with_time=options.timestamps)
    try:
        for fd in kept:
            _copy(Reader(fd), joiner, options)
        if options.follow:
            _follow(options, kept[-1] if kept else -1, joiner, follower)
    except KeyboardInterrupt:
        return


def _follow(options: Logs, fd: int, joiner: Joiner, follower: Follower) -> None:
    reader = Reader(fd)
    goes_on = True
    while goes_on:
        goes_on = follower.wait()
        if reader.fd >= 0 and not _copy(reader, joiner, options):
            return
        new_fd = follower.replaced(reader.fd)
        if new_fd is not None:
            if reader.fd >= 0:
                _copy(reader, joiner, options)  # what came in between
                os.close(reader.fd)
            reader = Reader(new_fd)
            _copy(reader, joiner, options)


def _copy(reader: Reader, joiner: Joiner, options: Logs) -> bool:
    """Show what there is. Returns False once there can be nothing more that is wanted."""
    while entries := reader.read():
        wanted = [entry for entry in entries if _is_wanted(entry, options)]
        for stream, text in joiner.join(wanted):
            write_all(_FDS.get(stream, 1), text)
        if options.until is not None and _moment(entries[-1:]) > options.until:
            return False
    return True


def _is_wanted(entry: Entry, options: Logs) -> bool:
    if options.since is None and options.until is None:
        return True
    moment = _moment([entry])
    return (options.since is None or moment >= options.since) and (
        options.until is None or moment <= options.until
    )


def _moment(entries: Iterable[Entry]) -> int:
    """Return the time of the last entry; 0 if there is none, or none that can be read."""
    moment = 0
    for entry in entries:
        try:
            moment = parse_rfc3339(entry.time.decode("ascii", "replace"))
        except ValueError:
            moment = 0
    return moment
