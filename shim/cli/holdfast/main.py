"""`holdfast`: finds the command, runs it, and turns what went wrong into a sentence and an exit code.

Only the module of the command that was asked for is imported.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.shim.cli.options import Command, HelpWanted, Option, help_of, option_lines, parse
from holdfast.shim.cli.terms import FAILED, code_of, say, tell
from holdfast.shim.store.places import Places, places_below

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "run": "Run a command in a new container",
    "create": "Make a container without starting it",
    "start": "Start containers, again if they have ended",
    "ps": "List containers",
    "logs": "Show what a container has written",
    "attach": "Take part in a running container's input and output",
    "exec": "Run another command in a running container",
    "stop": "End containers, with time to end by themselves",
    "restart": "Stop containers and start them again",
    "kill": "Send a signal to containers",
    "pause": "Freeze containers",
    "unpause": "Let frozen containers go on",
    "wait": "Wait until containers have ended, and print their exit codes",
    "inspect": "Show all that is known of containers",
    "rm": "Remove containers",
    "system prune": "Remove what commands that were killed have left behind",
    "version": "Show the version",
}
"""Name → what it does; the module of a command has its name, with `_` for a space."""

WITH_OWN_CODE = frozenset(("run", "exec", "attach", "wait"))
"""Commands whose exit code is a container's, so that only 125 is left for whatever goes wrong."""

WITHOUT_ROOT = frozenset(("version",))

_INTERRUPTED = 130
_NAME_WIDTH = 16


class _Global(msgspec.Struct, kw_only=True):
    operands: list[str]
    root: str = ""
    version: bool = False


_GLOBAL = Command(
    name="",
    summary="Run containers, and hold on to them.",
    operands="COMMAND [ARG...]",
    kind=_Global,
    options=(
        Option(
            ("--root",),
            "keep everything below DIR instead of /var/lib/holdfast and /run/holdfast",
            value="DIR",
        ),
        Option(("-v", "--version"), "show the version"),
    ),
    trailing=True,
)


def main(argv: Sequence[str]) -> int:
    """Run one command. Returns the exit code."""
    os.umask(0o022)  # modes are given where files are made; the caller's mask must not narrow or widen them
    name = ""
    try:
        asked: _Global = parse(_GLOBAL, argv)
        name, words = ("version", []) if asked.version else _command_of(asked.operands)
        module = importlib.import_module("holdfast.shim.cli.holdfast." + name.replace(" ", "_"))
        options = parse(module.COMMAND, words)
        places = _places(name, asked.root)
        if name not in WITHOUT_ROOT and not os.path.exists(places.swept):
            _sweep(places)
        code: int = module.run(options, places)
    except HelpWanted as wanted:
        say(_overview() if wanted.command is _GLOBAL else help_of(wanted.command))
        return 0
    except BrokenPipeError:
        return 0  # as much was printed as anybody wanted to read
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (HoldfastError, OSError) as error:
        tell(error)
        return FAILED if name in WITH_OWN_CODE else code_of(error)
    return code


def _command_of(operands: Sequence[str]) -> tuple[str, list[str]]:
    """Split the words behind the global options into a command's name and what is for it.

    Raises HoldfastError.
    """
    for count in (1, 2):
        name = " ".join(operands[:count])
        if name in COMMANDS:
            return name, list(operands[count:])
    if not operands:
        raise HelpWanted(_GLOBAL)
    raise HoldfastError(f'{quoted(operands[0])} is not a command; see "holdfast --help"')


def _sweep(places: Places) -> None:
    """Sweep up, at the first command after a boot, what the last one has left behind."""
    from holdfast.shim.store.store import Store  # noqa: PLC0415  # once in a boot
    from holdfast.shim.store.sweep import sweep_after_boot  # noqa: PLC0415

    with Store(places) as store:
        sweep_after_boot(store)


def _overview() -> str:
    """Return the help of `holdfast` itself."""
    lines = ["Usage: holdfast [OPTION]... COMMAND [ARG...]", "", _GLOBAL.summary, "", "Commands:"]
    lines += (f"  {name:<{_NAME_WIDTH}}{summary}" for name, summary in COMMANDS.items())
    lines += ["", "Options:", *option_lines(_GLOBAL), "", 'See "holdfast COMMAND --help" for a command.']
    return "\n".join(lines) + "\n"


def _places(name: str, root: str) -> Places:
    if name in WITHOUT_ROOT:
        return Places()
    if os.geteuid() != 0:
        raise HoldfastError(f'{name}: needs root in this version; try "sudo holdfast {name}"')
    return places_below(os.fsencode(root)) if root else Places()
