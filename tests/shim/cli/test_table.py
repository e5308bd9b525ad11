from __future__ import annotations

from holdfast.shim.cli.table import shortened, table


def test_table_lays_out_columns_without_trailing_spaces() -> None:
    assert "NAME   STATE\na      x\nlong   y\n" == table(("NAME", "STATE"), [("a", "x"), ("long", "y")])


def test_table_shows_escape_sequences_by_their_numbers() -> None:
    shown = table(("NAME",), [("\x1b]52;c;aGk=\x07",), ("\u202ereversed",), ("a\udcffb",)])
    assert "NAME\n\\x1b]52;c;aGk=\\x07\n\\u202ereversed\na\\xffb\n" == shown


def test_shortened_cuts_with_an_ellipsis() -> None:
    assert "abcd…" == shortened("abcdef", 5)
    assert "abcde" == shortened("abcde", 5)
