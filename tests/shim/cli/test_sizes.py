from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.shim.cli.sizes import parse_count, parse_processors, parse_signed, parse_size

NOT_NUMBERS = [
    "",
    " 1",
    "1 ",
    "+5",
    "1_000",
    "\u0663",
    "\uff17",
    "\u00b2",
    "0x10",
    "1e3",
    "nan",
    "inf",
    "-",
    "1" * 20,
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("64", 64),
        ("64b", 64),
        ("512k", 512 << 10),
        ("64m", 64 << 20),
        ("64M", 64 << 20),
        ("64mb", 64 << 20),
        ("64MiB", 64 << 20),
        ("1.5g", 3 << 29),
        (".5k", 512),
        ("1t", 1 << 40),
    ],
)
def test_parse_size_reads_units(text: str, expected: object) -> None:
    assert expected == parse_size(text)


@pytest.mark.parametrize(
    "text", [*NOT_NUMBERS, "m", "64x", "64mm", "64ib", "1..5m", "-1", "9999999t", "1m1"]
)
def test_parse_size_of_something_else_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size; allowed"):
        parse_size(text)


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "-1", "1.0"])
def test_parse_count_of_something_else_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number; allowed"):
        parse_count(text)


def test_parse_signed_keeps_to_its_limits() -> None:
    assert -1 == parse_signed("-1", -1, 9)
    for text in (*NOT_NUMBERS, "-2", "10", "--1"):
        with pytest.raises(ValueError, match="allowed: -1 to 9"):
            parse_signed(text, -1, 9)


@given(st.integers(0, 2**63 - 1))
def test_parse_count_is_the_inverse_of_str(number: int) -> None:
    assert number == parse_count(str(number))


@given(st.text())
def test_parse_size_of_anything_gives_a_size_or_a_sentence(text: str) -> None:
    try:
        assert 0 <= parse_size(text) < 2**63
    except ValueError as error:
        sentence = str(error)
        assert "is not a size" in sentence


@pytest.mark.parametrize(("text", "expected"), [("0.5", 500_000), ("2", 2_000_000), ("1.25", 1_250_000)])
def test_parse_processors_is_exact(text: str, expected: object) -> None:
    assert expected == parse_processors(text)


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "0", "0.0", "-1", "99999"])
def test_parse_processors_of_something_else_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number of processors"):
        parse_processors(text)
