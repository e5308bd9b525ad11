"""All commands together: each is there, and its help tells everything."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.shim.cli.holdfast.main import COMMANDS, main
from holdfast.shim.cli.options import Command, all_options, help_of, parse


def command(name: str) -> Command:
    module = importlib.import_module("holdfast.shim.cli.holdfast." + name.replace(" ", "_"))
    found: Command = module.COMMAND
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_what_the_overview_says(name: str) -> None:
    assert name == command(name).name
    assert command(name).summary.startswith(COMMANDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_is_complete_and_fits(name: str) -> None:
    text = help_of(command(name))
    for option in all_options(command(name)):
        assert ", ".join(option.names) in text
        assert option.help.rstrip(".") == option.help
    assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_has_a_field_and_each_field_an_option(name: str) -> None:
    fields = {option.field for option in command(name).options} | {"operands"}
    assert set(command(name).kind.__struct_fields__) == fields


@pytest.mark.parametrize("name", COMMANDS)
def test_no_flag_is_there_twice(name: str) -> None:
    flags = [flag for option in all_options(command(name)) for flag in option.names]
    assert sorted(set(flags)) == sorted(flags)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_told_in_a_sentence(name: str) -> None:
    with pytest.raises(HoldfastError, match=f'{name}: unknown option "--no-such"'):
        parse(command(name), ["--no-such"])


def test_the_overview_names_every_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["--help"])
    out, err = capfd.readouterr()
    assert "" == err
    assert all(f"  {name}" in out for name in COMMANDS)
    assert 0 == main([])
    assert out == capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nonsense"], 'holdfast: "nonsense" is not a command; see "holdfast --help"\n'),
        (["--nonsense"], 'holdfast: unknown option "--nonsense"; see "holdfast --help"\n'),
        (["version", "x"], 'holdfast: version: unexpected word "x"; see "holdfast version --help"\n'),
        (["system"], 'holdfast: "system" is not a command; see "holdfast --help"\n'),
    ],
)
def test_a_mistake_is_told_and_is_125(
    capfd: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert 125 == main(words)
    assert ("", sentence) == capfd.readouterr()


def test_version_is_told_both_ways(capfd: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["version"])
    assert capfd.readouterr().out.startswith("holdfast ")
    assert 0 == main(["--version"])
    assert capfd.readouterr().out.startswith("holdfast ")


@pytest.mark.parametrize("name", ["run", "ps", "logs"])
def test_a_command_imports_no_event_loop(name: str) -> None:
    script = (
        "import sys, importlib; importlib.import_module('holdfast.shim.cli.boot');"
        f"importlib.import_module('holdfast.shim.cli.holdfast.{name}');"
        "print({'trio', 'structlog', 'asyncio', 'argparse', 'subprocess', 'pathlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert "set()\n" == done.stdout
