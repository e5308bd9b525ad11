"""Command lines from tables: an option is one line of a table, and parser and help come from the same line.

The grammar is the one that users of Docker and Podman type: `-it`, `-t10`, `-e A=B`, `-e=A=B`,
`--tail 5`, `--tail=5`, `--sig-proxy=false`, `--`; a long name is never abbreviated. A command that
takes another command line (run, exec) ends its own options at the first word that is none, so that
`run ls -l` gives `-l` to ls.

argparse knows neither `--switch=false` nor where to stop, its treatment of `--` differs between
versions of Python, and it costs some 8 ms of each start, which is why this is not argparse.

Source: the conventions of getopt_long(3) and of Docker's command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.protocol.errors import HoldfastError, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import msgspec

_TRUE = frozenset(("true", "1"))
_FALSE = frozenset(("false", "0"))
_LINE_WIDTH = 100
_HELP_COLUMN = 34


class Option(NamedTuple):
    """One option of a command line."""

    names: tuple[str, ...]
    """As typed; the last one, without dashes and with `_` for `-`, names the field that gets the value."""
    help: str
    value: str = ""
    """What stands for the value in the help; empty for a switch."""
    read: Callable[[str], object] = str
    """Turns the typed text into the value; raises ValueError saying what is wrong and what is allowed."""
    many: bool = False
    """Whether each use adds a value to a list; else the last use counts."""

    @property
    def field(self) -> str:
        """The name of the field that gets the value."""
        return self.names[-1].lstrip("-").replace("-", "_")


class Command(NamedTuple):
    """One command: what can be said to it, and the type that holds what was said."""

    name: str
    summary: str
    """One line, for the list of commands and the head of the help."""
    operands: str
    """The words that are no options, for the help, as in `CONTAINER...`."""
    kind: type[msgspec.Struct]
    """Made from the values: a field for each option, with its default, and `operands`, a list."""
    options: tuple[Option, ...] = ()
    least: int = 0
    """How many operands are needed."""
    most: int | None = None
    """How many are taken; None: any number."""
    trailing: bool = False
    """Whether all from the first operand on belongs to another command line."""
    notes: str = ""
    """Paragraphs for the end of the help."""
    program: str = "holdfast"
    """Whose command it is."""
    single_dash: bool = False
    """Whether long names may have one dash, as in Go's own command lines: `-log-format json`."""


class HelpWanted(Exception):  # noqa: N818  # no error: an answer
    """`--help` was typed."""

    def __init__(self, command: Command) -> None:
        """Keep the command whose help is wanted."""
        super().__init__(command.name)
        self.command = command


HELP = Option(("-h", "--help"), "show this help")
LONG_HELP = Option(("--help",), "show this help")
"""For commands that use -h for something else."""


def parse(command: Command, words: Sequence[str]) -> Any:  # noqa: ANN401  # of the type command.kind
    """Read the words after a command's name. Returns a `command.kind`.

    Raises HoldfastError with a sentence for a person, HelpWanted.
    """
    values, operands = _read(command, _by_name(command), words)
    if len(operands) < command.least:
        raise _misused(command, f"{command.operands.split()[-1].rstrip('.')} is missing")
    if command.most is not None and len(operands) > command.most:
        raise _misused(command, f'unexpected word "{operands[command.most]}"')
    return command.kind(**values, operands=operands)


def _read(
    command: Command, by_name: Mapping[str, Option], words: Sequence[str]
) -> tuple[dict[str, object], list[str]]:
    values: dict[str, object] = {}
    operands: list[str] = []
    left = list(reversed(words))
    while left:
        word = left.pop()
        if word == "--":
            break
        name, equals, typed = word.partition("=")
        if command.single_dash and "-" + name in by_name:
            name = "-" + name
        if name.startswith("--"):
            _take(command, by_name, name, typed if equals else None, left, values)
        elif word.startswith("-") and word != "-":
            _take_cluster(command, by_name, word, left, values)
        else:
            operands.append(word)
            if command.trailing:
                break
    return values, operands + left[::-1]


def _take_cluster(
    command: Command, by_name: Mapping[str, Option], word: str, left: list[str], values: dict[str, object]
) -> None:
    """Read `-abc`: switches; the last may be an option whose value is the rest, or the next word."""
    for place in range(1, len(word)):
        name, rest = "-" + word[place], word[place + 1 :]
        option = by_name.get(name)
        if (option is not None and option.value and rest) or rest.startswith("="):
            _take(command, by_name, name, rest.removeprefix("="), left, values)
            return
        _take(command, by_name, name, None, left, values)


def _take(
    command: Command,
    by_name: Mapping[str, Option],
    name: str,
    typed: str | None,
    left: list[str],
    values: dict[str, object],
) -> None:
    """Read one option. typed: its value if it was in the same word."""
    option = by_name.get(name)
    if option is None:
        raise _misused(command, f'unknown option "{name}"')
    if option.names[-1] == "--help":
        raise HelpWanted(command)
    try:
        if not option.value:
            value: object = True if typed is None else read_switch(typed)
        else:
            if typed is None:
                if not left:
                    raise _misused(command, f"{name}: {option.value} is missing")
                typed = left.pop()
            value = option.read(typed)
    except ValueError as error:
        raise HoldfastError(f"{command.name}: {name}: {error}") from None
    if option.many:
        so_far = values.setdefault(option.field, [])
        if isinstance(so_far, list):
            so_far.append(value)
    else:
        values[option.field] = value


def read_switch(typed: str) -> bool:
    """Read the value of a switch, as in `--sig-proxy=false`. Raises ValueError."""
    if typed in _TRUE or typed in _FALSE:
        return typed in _TRUE
    raise ValueError(f"{quoted(typed)} is not true or false")


def _by_name(command: Command) -> dict[str, Option]:
    return {name: option for option in all_options(command) for name in option.names}


def all_options(command: Command) -> tuple[Option, ...]:
    """Return the command's options, with the one for help."""
    taken = {name for option in command.options for name in option.names}
    return (*command.options, LONG_HELP if "-h" in taken else HELP)


def _misused(command: Command, what: str) -> HoldfastError:
    if not command.name:
        return HoldfastError(f'{what}; see "{command.program} --help"')
    return HoldfastError(f'{command.name}: {what}; see "{command.program} {command.name} --help"')


def help_of(command: Command) -> str:
    """Return a command's help."""
    usage = f"Usage: {command.program} {command.name} [OPTION]... {command.operands}".rstrip()
    parts = [usage, "", command.summary, "", "Options:"]
    parts += option_lines(command)
    if command.notes:
        for paragraph in command.notes.strip().split("\n\n"):
            parts += ["", *wrapped(paragraph, _LINE_WIDTH)]
    return "\n".join(parts) + "\n"


def option_lines(command: Command) -> list[str]:
    """Return the lines of a help that tell of the options."""
    return [line for option in all_options(command) for line in _lines_of(option)]


def _lines_of(option: Option) -> list[str]:
    indent = "  " if len(option.names[0]) == 2 else "      "  # noqa: PLR2004  # a dash and a letter
    names = ", ".join(option.names) + (" " + option.value if option.value else "")
    left = (indent + names).ljust(_HELP_COLUMN)
    lines = wrapped(option.help, _LINE_WIDTH - _HELP_COLUMN)
    below = [" " * _HELP_COLUMN + line for line in lines[1:]]
    if left.endswith(" "):
        return [left + lines[0], *below]
    return [left, " " * _HELP_COLUMN + lines[0], *below]


def wrapped(text: str, width: int) -> list[str]:
    """Break a paragraph into lines at spaces."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines
