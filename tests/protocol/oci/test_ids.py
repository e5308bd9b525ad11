"""Ids of containers: nothing that could mean another place, or be read another way, is one."""

from __future__ import annotations

import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci.ids import check_id, is_id


@pytest.mark.parametrize("text", ["a", "A.b_c+d-e", "...", "-x", "0", ".hidden", "x" * 255, "ctr-1.2+3"])
def test_an_id_of_the_grammar_is_accepted(text: str) -> None:
    check_id(text)
    assert is_id(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a/b", 'invalid container ID format: invalid character "/" in container ID "a/b"'),
        ("", "invalid container ID format: an empty container ID"),
        (".", 'invalid container ID format: container ID "." means a directory'),
        ("..", 'invalid container ID format: container ID ".." means a directory'),
        ("../x", 'invalid container ID format: invalid character "/" in container ID "../x"'),
        ("a\n", 'invalid container ID format: invalid character "\\x0a" in container ID "a\\x0a"'),
        ("a\0", 'invalid container ID format: invalid character "\\x00" in container ID "a\\x00"'),
        ("a b", 'invalid container ID format: invalid character " " in container ID "a b"'),
        ("а", 'invalid container ID format: invalid character "а" in container ID "а"'),  # noqa: RUF001  # Cyrillic
        ("１", 'invalid container ID format: invalid character "１" in container ID "１"'),  # noqa: RUF001  # full width
        ("a\udcff", 'invalid container ID format: invalid character "\\xff" in container ID "a\\xff"'),
        ("x" * 256, "invalid container ID format: container ID of 256 characters; allowed: 255"),
        ("a:b", 'invalid container ID format: invalid character ":" in container ID "a:b"'),
        ("a@b", 'invalid container ID format: invalid character "@" in container ID "a@b"'),
    ],
)
def test_what_is_not_of_the_grammar_is_told(text: str, sentence: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        check_id(text)

    assert sentence == str(caught.value)
    assert not is_id(text)
