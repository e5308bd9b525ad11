from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.protocol.printable import printable


def test_what_acts_on_a_terminal_is_shown_by_its_number() -> None:
    assert r"a\x1b]52;c;aGk=\x07" == printable("a\x1b]52;c;aGk=\x07")
    assert r"\x9b\u202e\u2066\U000e0001" == printable("\x9b\u202e\u2066\U000e0001")
    assert r"a\xffb\ud800" == printable("a\udcffb\ud800")


def test_letters_of_any_script_stay() -> None:
    assert "Käse 海藻" == printable("Käse 海藻")


@given(st.text(st.characters()))
def test_printable_is_printable(text: str) -> None:
    assert printable(text).isprintable()
