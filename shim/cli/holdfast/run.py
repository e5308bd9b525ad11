"""`holdfast run`: a new container, in the foreground or on its own.

In the foreground we are the container's output before anything of it runs, so not a byte is missed,
and its exit code becomes ours. A container that could not be started leaves nothing behind.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.shim.cli.creating import NewContainer, make_container
from holdfast.shim.cli.flags import COMMON
from holdfast.shim.cli.holding import hold_launched
from holdfast.shim.cli.launching import StartFailed, discard, start_container
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.session import check_terminal
from holdfast.shim.cli.terms import say, tell
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places


class Run(NewContainer, kw_only=True):
    """What `run` is asked for."""

    detach: bool = False
    sig_proxy: bool = True
    explain: bool = False


COMMAND = Command(
    name="run",
    summary="Run a command in a new container",
    operands="[--] COMMAND [ARG...]",
    kind=Run,
    options=(
        Option(("-d", "--detach"), "print the id and leave the container running"),
        Option(("--sig-proxy",), "pass signals on to the container, unless it has our terminal (true)"),
        Option(("--explain",), "tell each step of the container's making on stderr"),
        *COMMON,
    ),
    trailing=True,
    notes="""
    The exit code is the container's; 128 + n if it was ended by signal n. It is 125 if Holdfast
    could not do it, 126 if the command cannot be executed, 127 if there is no such command; and 0
    if you left the container by the detach keys.

    Without --bundle and --rootfs the container runs on the host's own system: /usr read-only, an
    /etc made of what everybody may read, and everything else empty. What it writes goes away with
    it. """,
)


def run(options: Run, places: Places) -> int:
    """Make the container and start it."""
    if not options.detach:
        check_terminal(stdin=options.interactive, terminal=options.tty)
    with Store(places) as store:
        record = make_container(store, options, os.environ)
        entry = store.open(record.id)
        try:
            if options.detach:
                with (
                    entry.lock(),
                    start_container(entry, record, in_foreground=False, explain=options.explain) as shim,
                ):
                    shim.wait_started()
                say(record.id + "\n")
                return 0
            return hold_launched(
                entry,
                record,
                stdin=options.interactive,
                sig_proxy=options.sig_proxy,
                explain=options.explain,
            )
        except StartFailed as error:
            tell(error)
            discard(store, record.id)
            return error.exit_code
