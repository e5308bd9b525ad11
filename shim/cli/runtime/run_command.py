"""`holdfast-runtime run`: create and start in one.

In the foreground it waits for the container, passes signals on, and tidies up.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.commands.delete import delete
from holdfast.runtime.commands.start import start
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.runtime.context import PROGRAM
from holdfast.shim.cli.runtime.create_command import OPTIONS, Create, make
from holdfast.shim.cli.runtime.holding import signals_to, wait_for

if TYPE_CHECKING:
    from holdfast.shim.cli.runtime.context import Context


class Run(Create, kw_only=True):
    """What `run` is asked for."""

    detach: bool = False
    keep: bool = False


COMMAND = Command(
    name="run",
    program=PROGRAM,
    summary="Create and start a container",
    operands="ID",
    kind=Run,
    options=(
        *OPTIONS,
        Option(("-d", "--detach"), "do not wait for it"),
        Option(("--keep",), "do not delete it when it has ended"),
    ),
    least=1,
    most=1,
    single_dash=True,
    notes="The exit code is the program's, or 128 and the number of the signal that ended it.",
)


def run(options: Run, context: Context) -> int:
    """Run it."""
    container_id = options.operands[0]
    if options.console_socket and not options.detach:
        raise HoldfastError("run: --console-socket goes with --detach only")
    pid = make(options, context)
    with signals_to(pid):
        try:
            start(context.root, container_id)
        except BaseException:
            _discard(context, container_id, pid)
            raise
        if options.detach:
            return 0
        code = wait_for(pid)
    if not options.keep:
        delete(context.root, container_id, force=True)
    return code


def _discard(context: Context, container_id: str, pid: int) -> None:
    """Remove a container that could not be started."""
    delete(context.root, container_id, force=True)
    os.waitpid(pid, 0)
