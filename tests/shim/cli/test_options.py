from __future__ import annotations

import msgspec
import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.shim.cli.options import Command, HelpWanted, Option, help_of, parse
from holdfast.shim.cli.sizes import parse_count


class Wanted(msgspec.Struct, kw_only=True):
    operands: list[str]
    interactive: bool = False
    tty: bool = False
    sig_proxy: bool = True
    env: list[str] = []
    tail: int | None = None


COMMAND = Command(
    name="try",
    summary="Try it.",
    operands="[--] COMMAND [ARG...]",
    kind=Wanted,
    options=(
        Option(("-i", "--interactive"), "keep stdin open"),
        Option(("-t", "--tty"), "make a terminal"),
        Option(("--sig-proxy",), "pass signals on"),
        Option(("-e", "--env"), "set a variable", value="NAME=VALUE", many=True),
        Option(("-n", "--tail"), "count of lines", value="N", read=parse_count),
    ),
    trailing=True,
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Wanted(operands=[])),
        (["-it", "sh"], Wanted(operands=["sh"], interactive=True, tty=True)),
        (["--interactive", "--tty=true", "sh"], Wanted(operands=["sh"], interactive=True, tty=True)),
        (["--tty=false", "sh"], Wanted(operands=["sh"])),
        (["--sig-proxy=false"], Wanted(operands=[], sig_proxy=False)),
        (["-i=false", "-t=1"], Wanted(operands=[], tty=True)),
        (["-e", "A=B", "--env=C=D", "-eE", "-e=F=G"], Wanted(operands=[], env=["A=B", "C=D", "E", "F=G"])),
        (["-n5"], Wanted(operands=[], tail=5)),
        (["-n=5", "ls", "-n6", "--", "x"], Wanted(operands=["ls", "-n6", "--", "x"], tail=5)),
        (["--tail", "5", "--", "-t", "--", "y"], Wanted(operands=["-t", "--", "y"], tail=5)),
        (["-itn", "7", "-"], Wanted(operands=["-"], interactive=True, tty=True, tail=7)),
        (["-e", "--", "-e", "-t"], Wanted(operands=[], env=["--", "-t"])),
        (["--env="], Wanted(operands=[], env=[""])),
    ],
)
def test_parse_takes_what_people_type(words: list[str], expected: object) -> None:
    assert expected == parse(COMMAND, words)


def test_parse_of_a_command_that_takes_no_other_finds_options_behind_operands() -> None:
    command = COMMAND._replace(trailing=False)
    assert Wanted(operands=["a", "b", "-t"], tty=True) == parse(command, ["a", "-t", "b", "--", "-t"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--foo"], 'try: unknown option "--foo"; see "holdfast try --help"'),
        (["--inter"], 'try: unknown option "--inter"; see "holdfast try --help"'),
        (["-ix"], 'try: unknown option "-x"; see "holdfast try --help"'),
        (["-e"], 'try: -e: NAME=VALUE is missing; see "holdfast try --help"'),
        (["--tail", "x"], 'try: --tail: "x" is not a number; allowed: 0 to 9223372036854775807'),
        (["--tty=maybe"], 'try: --tty: "maybe" is not true or false'),
    ],
)
def test_parse_of_a_mistake_tells_it_in_a_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        parse(COMMAND, words)
    assert sentence == str(caught.value)


def test_parse_counts_operands() -> None:
    command = COMMAND._replace(least=1, most=1, operands="CONTAINER", trailing=False)
    with pytest.raises(HoldfastError, match="try: CONTAINER is missing; see"):
        parse(command, [])
    with pytest.raises(HoldfastError, match='try: unexpected word "b"; see'):
        parse(command, ["a", "b"])


def test_help_shows_every_option_in_lines_that_fit() -> None:
    with pytest.raises(HelpWanted) as caught:
        parse(COMMAND, ["-i", "--help"])
    assert COMMAND == caught.value.command
    text = help_of(COMMAND)
    assert text.startswith("Usage: holdfast try [OPTION]... [--] COMMAND [ARG...]\n")
    for option in COMMAND.options:
        assert ", ".join(option.names) in text
        assert option.help in text
    assert all(len(line) <= 100 for line in text.splitlines())
