from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.passwd import ID_MAX, groups_of, resolve_group, resolve_user

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/:/bin/false
alice:x:1000:100:Alice:/home/alice:/bin/sh
0:x:666:666::/:/bin/sh
1000:x:0:0::/:/bin/sh
broken:x:12
bad:x:+5:5::/:/bin/sh
"""
GROUP = b"root:x:0:\nadm:x:4:alice,root\nusers:x:100:\naudio:x:29:bob,alice\nalice2:x:30:alice\nadm:x:5:\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 0, (4,))),
        ("root", (0, 0, (4,))),
        ("0", (0, 0, (4,))),
        ("alice", (1000, 100, (4, 29, 30))),
        ("1000", (1000, 100, (4, 29, 30))),
        ("alice:audio", (1000, 29, ())),
        ("alice:0", (1000, 0, ())),
        ("5", (5, 0, ())),
        ("5:7", (5, 7, ())),
        (str(ID_MAX), (ID_MAX, 0, ())),
    ],
)
def test_resolve_user_finds_the_numbers(text: str, expected: object) -> None:
    assert expected == resolve_user(text, PASSWD, GROUP)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1:",
            ":1",
            ":",
            "::",
            "1:2:3",
            "01",
            "+1",
            "-1",
            "1_000",
            " 1",
            "1 ",
            "1\n",
            "4294967295",
            "99999999999",
        ),
        *(
            "nobody",
            "alice:nobody",
            "alice:01",
            "bad",
            "broken",
            "x\0",
            "\u0661",
            "\u00b2",
            "root:\u0661",
            "a\udcff",
        ),
    ],
)
def test_resolve_user_of_something_else_is_told(text: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        resolve_user(text, PASSWD, GROUP)
    assert str(caught.value).isprintable()


def test_digits_are_a_number_also_if_a_user_is_called_so() -> None:
    assert 0 == resolve_user("0", PASSWD, GROUP).uid
    assert 1000 == resolve_user("1000", PASSWD, GROUP).uid


def test_the_first_of_two_entries_counts() -> None:
    assert 4 == resolve_group("adm", GROUP)


def test_lines_without_end_and_groups_without_number_are_passed_over() -> None:
    assert (7, 7, ()) == resolve_user(
        "x", b"y" * 5000 + b":x:1:1:::\nx:x:7:7:::\n", b"g:x:\ng\n" + b"x" * 9000
    )
    assert 65536 == len(groups_of(b"".join(b"g:x:%d:u\n" % gid for gid in range(70000)), b"u"))


@given(st.text(), st.binary(), st.binary())
def test_resolve_user_of_anything_gives_ids_or_a_sentence(text: str, passwd: bytes, group: bytes) -> None:
    try:
        found = resolve_user(text, passwd, group)
    except HoldfastError as error:
        sentence = str(error)
        assert sentence.isprintable()
    else:
        assert all(0 <= number <= ID_MAX for number in (found.uid, found.gid, *found.groups))
