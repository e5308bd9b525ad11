"""`holdfast-runtime create`: a bundle becomes a container whose init waits for `start`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import create_prefix
from holdfast.protocol.oci.names import parse_uint
from holdfast.runtime.create import CreateRequest, create
from holdfast.runtime.plan import Options
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.runtime.context import (
    PROGRAM,
    absolute,
    console,
    explain_if,
    in_front,
    optional_path,
)
from holdfast.shim.cli.runtime.interrupts import interruptible

if TYPE_CHECKING:
    from holdfast.shim.cli.runtime.context import Context

FDS_MAX = 1 << 20


class Create(msgspec.Struct, kw_only=True):
    """What `create` is asked for."""

    operands: list[str]
    bundle: str = "."
    pid_file: str = ""
    console_socket: str = ""
    preserve_fds: int = 0
    no_pivot: bool = False
    no_new_keyring: bool = False
    no_subreaper: bool = False
    explain: bool = False


def _read_count(text: str) -> int:
    return parse_uint(text, FDS_MAX)


PRESERVE_FDS = Option(
    ("--preserve-fds",), "give the program N descriptors of ours, from 3 on", value="N", read=_read_count
)
CONSOLE_SOCKET = Option(("--console-socket",), "send our end of the terminal to this socket", value="SOCKET")
EXPLAIN = Option(("--explain",), "tell each step on stderr")

OPTIONS = (
    Option(("-b", "--bundle"), "directory with config.json (the current one)", value="DIR"),
    Option(("--pid-file",), "write init's pid to FILE", value="FILE"),
    CONSOLE_SOCKET,
    PRESERVE_FDS,
    Option(("--no-pivot",), "move the root instead of pivoting, for a root in memory"),
    Option(("--no-new-keyring",), "keep the caller's session keyring"),
    Option(("--no-subreaper",), "for callers that give it"),
    EXPLAIN,
)

COMMAND = Command(
    name="create",
    program=PROGRAM,
    summary="Make a container, up to an init that waits for start",
    operands="ID",
    kind=Create,
    options=OPTIONS,
    least=1,
    most=1,
    single_dash=True,
    notes="Its streams are ours. The pid file is there when the command has ended.",
)


def run(options: Create, context: Context) -> int:
    """Create it."""
    make(options, context)
    return 0


def make(options: Create, context: Context) -> int:
    """Create a container. Returns init's pid; init is a child of ours."""
    listen_fds, listen_names = activated()
    with console(options.console_socket) as console_fd, interruptible(), in_front(create_prefix(PROGRAM)):
        return create(
            CreateRequest(
                root=context.root,
                id=options.operands[0],
                bundle=absolute(options.bundle),
                console_fd=console_fd,
                pid_file=optional_path(options.pid_file),
                options=Options(
                    preserve_fds=options.preserve_fds,
                    listen_fds=listen_fds,
                    listen_names=listen_names,
                    no_pivot=options.no_pivot,
                    no_new_keyring=options.no_new_keyring,
                ),
            ),
            explain_if(options.explain),
        )


def activated() -> tuple[int, str]:
    """Return how many sockets of socket activation we were given for the container, and their names.

    LISTEN_PID is not looked at: it names whoever was activated, which may be a manager above us.
    Source: sd_listen_fds(3).
    """
    try:
        count = parse_uint(os.environ.get("LISTEN_FDS", ""), FDS_MAX)
    except ValueError:
        return 0, ""
    return count, os.environ.get("LISTEN_FDNAMES", "")
