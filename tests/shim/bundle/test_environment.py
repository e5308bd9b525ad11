from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.shim.bundle.environment import defaults, wished

if TYPE_CHECKING:
    from pathlib import Path


def test_defaults_have_a_terminal_only_where_there_is_one() -> None:
    assert {"PATH", "HOSTNAME", "container"} == set(defaults("h", terminal=False))
    assert "xterm" == defaults("h", terminal=True)["TERM"]


def test_flags_override_files_and_a_bare_name_is_the_callers_own(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b"# comment\nA=file\r\n\nB=x=y z\nHOME\nMISSING\n  # more\n")
    found = wished(["A=flag", "EMPTY=", "MISSING"], [str(path)], {"HOME": "/me", "SECRET": "s"})
    assert {"A": "flag", "B": "x=y z", "HOME": "/me", "EMPTY": ""} == found


@pytest.mark.parametrize("entry", ["", "=x", "A=\0"])
def test_what_is_no_variable_is_told(entry: str) -> None:
    with pytest.raises(HoldfastError, match="is not NAME=VALUE or NAME"):
        wished([entry], [], {})


def test_a_bad_line_of_a_file_is_told_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "env").write_bytes(b"# comment\n\nA=1\n=2\n")
    with pytest.raises(HoldfastError, match="line 4: "):
        wished([], [str(tmp_path / "env")], {})


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "env").write_bytes(b"A=\xff\n")
    for path, sentence in (
        (tmp_path / "none", "No such file"),
        (tmp_path / "env", "not UTF-8"),
        ("/dev/zero", "more than"),
    ):
        with pytest.raises(HoldfastError, match=sentence):
            wished([], [str(path)], {})
