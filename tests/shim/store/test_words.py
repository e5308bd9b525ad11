from __future__ import annotations

import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.shim.store.words import check_name, is_id, is_id_prefix, is_name, new_id, random_name

BAD_NAMES = ["", ".", "..", "a/b", "-a", "_a", "a b", "a\n", "a\0", "é", "\u0430", "a" * 129, "a\x1b[1m"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_check_name_of_a_bad_one_tells_it_without_control_characters(name: str) -> None:
    with pytest.raises(HoldfastError, match="invalid container name") as caught:
        check_name(name)
    assert str(caught.value).isprintable()


def test_a_name_cannot_be_taken_for_an_id() -> None:
    with pytest.raises(HoldfastError, match="reads as an id"):
        check_name(new_id())


def test_new_ids_differ_and_are_ids() -> None:
    first, second = new_id(), new_id()
    assert first != second
    assert is_id(first)
    assert is_id_prefix(first[:3])
    assert not is_id(first[:-1] + "g")
    assert not is_id(first + "\n")


def test_random_names_are_names_and_many() -> None:
    names = {random_name() for _ in range(200)}
    assert all(is_name(name) for name in names)
    assert len(names) > 150
