"""Strict JSON: what is read, what is refused, and with which words."""

from __future__ import annotations

import json
import time

import msgspec
import pytest

from holdfast.protocol import strict_json
from holdfast.protocol.errors import ConfigError

MIB = 1 << 20


class Inner(msgspec.Struct, frozen=True, rename="camel"):
    """A member."""

    some_number: int = 0
    names: tuple[str, ...] = ()


class Outer(msgspec.Struct, frozen=True):
    """A whole."""

    name: str = ""
    big: int = 0
    flag: bool = False
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    map: dict[str, Inner] = {}
    words: dict[str, str] = {}


def read(data: bytes) -> Outer:
    """Read a whole."""
    return strict_json.decode(data, Outer, size_max=MIB, what="test.json")


def error_of(data: bytes) -> str:
    """Return why the text is refused."""
    with pytest.raises(ConfigError) as caught:
        read(data)
    return str(caught.value)


def test_a_sound_text_is_read() -> None:
    data = b'{"name": "x", "big": 18446744073709551615, "inner": {"someNumber": -3, "names": ["a", "b"]}}'

    assert Outer(name="x", big=2**64 - 1, inner=Inner(-3, ("a", "b"))) == read(data)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "test.json: is not JSON: it ends in the middle of a value"),
        (b'{"name": "x', "test.json: is not JSON: it ends in the middle of a value"),
        (
            b'{\n  "name": "x",\n  "big": yes\n}',
            'test.json: is not JSON: invalid character at line 3, column 10: "yes"',
        ),
        (b'{"flag": true,}', 'test.json: is not JSON: trailing comma in object at line 1, column 15: "}"'),
        (b"{} x", "test.json: is not JSON: trailing characters at line 1, column"),
        (b'\xef\xbb\xbf{"a": 1}', 'test.json: is not JSON: invalid character at line 1, column 1: "\\ufeff'),
        ('{"a": 1}'.encode("utf-16"), "test.json: is not JSON: invalid character at line 1, column 1"),
        (b'{"a":\n"\xff"}', 'test.json: is not UTF-8 at line 2, column 2: "\\xff'),
        (b'{"name": "\xed\xa0\x80"}', "test.json: is not UTF-8 at line 1, column 11"),
        (b'{"big": NaN}', 'test.json: is not JSON: invalid character at line 1, column 9: "NaN}"'),
        (b'{"big": Infinity}', "test.json: is not JSON: invalid character at line 1, column 9"),
        (b'{"big": -Infinity}', "test.json: is not JSON: invalid character at line 1, column 10"),
        (b'{"name": "\\ud800"}', "test.json: is not JSON: a surrogate without its other half, near the end"),
        (b'{"name": "\\uDC00 and more text"}', "test.json: is not JSON: invalid utf-16 surrogate pair"),
        (b'{"name": "a\tb"}', "test.json: is not JSON: invalid character"),
        (b'{"name": "\x1b"}', '"\\x1b'),
        (b"[]", "test.json: an array has the wrong type; allowed: an object"),
        (b"null", "test.json: is null; needed: an object"),
        (b"3", "test.json: 3 has the wrong type; allowed: an object"),
    ],
)
def test_what_is_not_json_is_told_with_the_place(data: bytes, sentence: str) -> None:
    assert sentence in error_of(data)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"flag": "yes"}', 'flag: "yes" has the wrong type; allowed: true or false'),
        (b'{"flag": 1}', "flag: 1 has the wrong type; allowed: true or false"),
        (b'{"big": true}', "big: true has the wrong type; allowed: an integer"),
        (b'{"big": 1.0}', "big: 1.0 has the wrong type; allowed: an integer"),
        (b'{"big": 1e3}', "big: 1000.0 has the wrong type; allowed: an integer"),
        (b'{"big": "1"}', 'big: "1" has the wrong type; allowed: an integer'),
        (b'{"name": 5}', "name: 5 has the wrong type; allowed: a string"),
        (b'{"inner": []}', "inner: an array has the wrong type; allowed: an object"),
        (b'{"many": {}}', "many: an object has the wrong type; allowed: an array"),
        (b'{"many": [{}, {"someNumber": "x"}]}', 'many[1].someNumber: "x" has the wrong type'),
        (b'{"many": [{"names": ["a", null]}]}', "many[0].names[1]: is null; needed: a string"),
        (b'{"words": {"a": "b", "c d": 5}}', 'words["c d"]: 5 has the wrong type; allowed: a string'),
        (
            b'{"map": {"a": {}, "b": {"someNumber": "x"}, "c": 5}}',
            'map.b.someNumber: "x" has the wrong type',
        ),
        (b'{"map": {"a": {}, "\x7f.": 5}}', 'map["\\x7f."]: 5 has the wrong type; allowed: an object'),
    ],
)
def test_a_wrong_type_is_told_with_the_path(data: bytes, sentence: str) -> None:
    assert error_of(data).startswith(sentence)


def test_the_path_of_a_part_begins_where_the_part_belongs() -> None:
    with pytest.raises(ConfigError) as caught:
        strict_json.decode(b'{"names": [1]}', Inner, size_max=MIB, what="a part", root="outer.inner")

    assert str(caught.value).startswith("outer.inner.names[0]: 1 has the wrong type")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b'{"big": 18446744073709551616}', "big: a number of more than 64 bits"),
        (b'{"big": 99999999999999999999}', "big: a number of more than 64 bits"),
        (b'{"big": -99999999999999999999}', "big: a number of more than 64 bits"),
        pytest.param(b'{"big": ' + b"7" * 5000 + b"}", "big: a number of more than 64 bits", id="endless"),
        (b'{"unknown": [18446744073709551616]}', "unknown[0]: a number of more than 64 bits"),
        (b'{"unknown": 1e400}', "unknown: a number of more than 64 bits"),
        (
            b'{"unknown": 18446744073709551615, "x": 18446744073709551616}',
            "x: a number of more than 64 bits",
        ),
        (b'{"unknown": 1e400, and no JSON', "test.json: a number"),
    ],
)
def test_a_number_of_more_than_64_bits_is_refused_in_any_place(data: bytes, what: str) -> None:
    sentence = f"{what} is out of range; allowed: -9223372036854775808 to 18446744073709551615"

    assert sentence == error_of(data)


def test_long_digits_in_a_string_are_no_number() -> None:
    assert "9" * 5000 == read(b'{"name": "' + b"9" * 5000 + b'"}').name


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"name": "a\\u0000b"}', 'name: "a\\x00b" has a NUL in it'),
        (b'{"words": {"a\\u0000": "b"}}', 'words["a\\x00"]'),
        (b'{"unknown": ["\\u0000"]}', "unknown[0]"),
    ],
)
def test_a_nul_is_refused_in_strings_and_keys(data: bytes, sentence: str) -> None:
    assert error_of(data).startswith(sentence)


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert "\\u0000" == read(b'{"name": "\\\\u0000"}').name


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b'{"name": "a", "name": "b"}', "name"),
        (b'{"name": "a", "\\u006eame": "b"}', "name"),
        (b'{"many": [{}, {"names": [], "names": []}]}', "many[1].names"),
        (b'{"unknown": {"a:b": 1, "a\\u003ab": 2}}', 'unknown["a:b"]'),
        (b'{"name": ":::", "big": 1, "big": 2}', "big"),
        (b'{"name": "\\":", "big": 1, "big": 2}', "big"),
        (b'{"name": "\\\\", "big": 1, "big": 2}', "big"),
    ],
)
def test_a_member_that_is_there_twice_is_refused(data: bytes, path: str) -> None:
    assert f"{path}: is there twice; allowed: once" == error_of(data)


@pytest.mark.parametrize("name", [":", '":{}[]"', "\\", '\\"', "a\\", '{"a":1,"a":2}', "[" * 100, "]" * 100])
def test_what_looks_like_structure_in_a_string_is_none(name: str) -> None:
    assert name == read(json.dumps({"name": name, "words": {name: name}}).encode()).name


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"[" * 100_000, id="arrays"),
        pytest.param(b'{"a":' * 100_000, id="objects"),
        b'{"unknown": ' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"unknown": ' + b'{"]": ' * 65 + b"1" + b"}" * 66,
    ],
)
def test_what_is_nested_too_deep_is_refused(data: bytes) -> None:
    assert "test.json: objects and arrays are nested too deep; allowed: 64" == error_of(data)


def test_the_deepest_text_that_is_allowed_is_read() -> None:
    assert Outer() == read(b'{"unknown": ' + b"[" * 63 + b"]" * 63 + b"}")


def test_null_is_an_absent_member_at_any_depth() -> None:
    data = b"""{"name": null, "big": null, "flag": null, "inner": {"someNumber": null, "names": null},
        "many": [{"names": null}], "map": {"a": null, "b": {"someNumber": null}}, "words": {"c": null}}"""

    assert Outer(inner=Inner(), many=(Inner(),), map={"b": Inner()}) == read(data)


def test_the_greatest_size_is_kept() -> None:
    data = b'{"name": "' + b"x" * (MIB - 12) + b'"}'

    assert MIB == len(data)
    assert MIB - 12 == len(read(data).name)
    assert "test.json: has 1048577 bytes; allowed: 1048576" == error_of(data + b" ")


@pytest.mark.parametrize(
    "piece",
    [
        b"18446744073709551615,",
        b'"',
        b"\\",
        b"[",
        b'{"a":',
        b"{},",
        b'"\\u0000",',
    ],
)
def test_a_hostile_text_is_refused_in_time_that_grows_with_its_size(piece: bytes) -> None:
    data = b'{"many": [' + piece * (MIB // len(piece))
    begin = time.process_time()
    with pytest.raises(ConfigError):
        strict_json.decode(data, Outer, size_max=2 * MIB, what="test.json")

    assert time.process_time() - begin < 2  # 10 000 times what it takes for a config


def test_unknown_members_are_found_at_any_depth() -> None:
    data = b"""{"Name": 1, "inner": {"somenumber": 1}, "many": [{}, {"x": {"y": 1}}],
        "map": {"a b": {"z": 1}}, "words": {"any": "key"}}"""
    tree = strict_json.decode_any(data, size_max=MIB, what="test.json")

    found = list(strict_json.unknown_members(tree, Outer))

    assert ["Name", "inner.somenumber", "many[1].x", 'map["a b"].z'] == found
