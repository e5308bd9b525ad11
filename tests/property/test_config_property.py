"""config.json from anybody: whatever the bytes, there is a value or one sentence."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from property.strategies import at, bounds, configs, json_values, places, replaced, scalars, texts, values_of

from holdfast.protocol import strict_json
from holdfast.protocol.errors import ConfigError, HoldfastError, Problem, quoted
from holdfast.protocol.oci import config, ids, names
from holdfast.protocol.oci.check import check, warnings
from holdfast.protocol.oci.config import Config, parse_config, parse_process, unknown_fields
from holdfast.protocol.oci.rules import sysctl

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE_MAX = 2048


def refusal(data: bytes) -> str:
    """Read a configuration; return why it is refused, empty if it is not. No other error may come out."""
    try:
        parse_config(data)
    except ConfigError as error:
        return str(error)
    return ""


def outcome(call: Callable[..., Any], *args: object) -> tuple[Any, str]:
    """Return what a call gives, or the sentence with which it refuses; no other error may come out."""
    try:
        return call(*args), ""
    except (HoldfastError, ValueError) as error:
        return None, str(error)


def is_safe(message: str) -> bool:
    """Whether a sentence can be shown to a person on a terminal."""
    return message.isprintable() and 0 < len(message) <= MESSAGE_MAX


@given(st.binary(max_size=300))
@example(b"")
@example(b"\xff\xfe{\0}\0")
@example(b'{"ociVersion": "\\ud800"}')
@example(b'{"\\ud800\\ud800": 1}')
@example(b"1e999999999")
def test_garbage_bytes_are_refused_with_a_sentence(data: bytes) -> None:
    assert is_safe(refusal(data))


@given(json_values)
def test_any_json_gives_a_configuration_or_a_sentence(value: object) -> None:
    message = refusal(json.dumps(value).encode())

    assert not message or is_safe(message)


@given(configs())
def test_all_that_has_the_types_is_read_and_written_without_loss(value: dict[str, Any]) -> None:
    parsed = parse_config(json.dumps(value).encode())
    written = msgspec.json.encode(parsed)

    assert parsed == parse_config(written)
    assert written == msgspec.json.encode(parse_config(written))
    assert [] == unknown_fields(written)


@given(configs())
def test_check_tells_sentences_and_never_fails(value: dict[str, Any]) -> None:
    parsed = parse_config(json.dumps(value).encode())

    problems = check(parsed)
    for sentence in [*(problem.sentence() for problem in problems), *warnings(parsed)]:
        assert is_safe(sentence)
    if problems:
        assert is_safe(str(ConfigError(problems)))


@given(configs(), st.data(), json_values)
def test_a_strange_value_in_one_place_is_taken_or_refused_at_that_place(
    value: dict[str, Any], data: st.DataObject, strange: object
) -> None:
    path = data.draw(st.sampled_from(places(value)))
    message = refusal(json.dumps(replaced(value, path, strange)).encode())

    assert not message or is_safe(message)
    if message and path and all(isinstance(part, str) and part.isidentifier() for part in path):
        assert message.startswith(str(path[0]))


@given(configs(), st.data())
def test_a_damaged_text_never_gives_another_error(value: dict[str, Any], data: st.DataObject) -> None:
    text = bytearray(json.dumps(value, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at_byte = data.draw(st.integers(0, len(text) - 1))
        text[at_byte : at_byte + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        if not text:
            break
    message = refusal(bytes(text))

    assert not message or is_safe(message)


@given(configs(), st.data())
def test_a_text_cut_short_is_refused(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value).encode()
    cut = data.draw(st.integers(0, len(text) - 1))

    assert is_safe(refusal(text[:cut]))


@given(configs(), st.data())
def test_null_for_an_absent_member_changes_nothing(value: dict[str, Any], data: st.DataObject) -> None:
    def add(part: Any, hint: Any) -> None:  # noqa: ANN401  # any JSON, any type
        if isinstance(part, dict) and isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            for field in msgspec.structs.fields(hint):
                if field.encode_name not in part and data.draw(st.booleans()):
                    part[field.encode_name] = None

    parsed = parse_config(json.dumps(value).encode())
    add(value, Config)
    add(value.get("process"), config.Process)
    add(value.get("linux"), config.Linux)

    assert parsed == parse_config(json.dumps(value).encode())


@given(configs(), st.data(), scalars)
def test_a_member_that_is_there_twice_is_refused(
    value: dict[str, Any], data: st.DataObject, other: object
) -> None:
    objects = [path for path in places(value) if isinstance(at(value, path), dict) and at(value, path)]
    path = data.draw(st.sampled_from(objects))
    key = data.draw(st.sampled_from(sorted(at(value, path))))
    marker = "here-comes-the-object"
    text = json.dumps(replaced(value, path, marker))
    members = json.dumps(at(value, path))
    doubled = f"{{{json.dumps(key)}: {json.dumps(other)}, {members[1:]}"

    assert refusal(text.replace(json.dumps(marker), doubled, 1).encode()).endswith(
        "is there twice; allowed: once"
    )


@given(json_values)
def test_what_has_nothing_wrong_is_what_the_standard_library_reads(value: object) -> None:
    data = json.dumps(value).encode()

    assert json.loads(data) == strict_json.decode_any(data, size_max=1 << 20, what="x")


@given(
    st.recursive(
        st.just([]), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    )
)
def test_depth_is_counted_without_what_is_in_strings(value: object) -> None:
    def depth(part: object) -> int:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        return 1 + max(map(depth, inner), default=0)

    wrapped: Any = value
    for _ in range(strict_json.DEPTH_MAX - depth(value)):
        wrapped = [wrapped]

    assert wrapped == strict_json.decode_any(json.dumps(wrapped).encode(), size_max=1 << 20, what="x")
    with pytest.raises(ConfigError, match="nested too deep"):
        strict_json.decode_any(json.dumps([wrapped]).encode(), size_max=1 << 20, what="x")


def numeric_fields() -> list[Any]:
    """Return each numeric field of each type, with its bounds."""
    found = []
    for struct in vars(config).values():
        if (
            isinstance(struct, type)
            and issubclass(struct, msgspec.Struct)
            and struct.__module__ == config.__name__
        ):
            for field in msgspec.structs.fields(struct):
                between = bounds(field.type)
                if between:
                    found.append(pytest.param(struct, field, between, id=f"{struct.__name__}.{field.name}"))
    return found


@pytest.mark.parametrize(("struct", "field", "between"), numeric_fields())
@given(st.data())
def test_a_number_is_exact_or_refused(
    struct: type[msgspec.Struct],
    field: msgspec.structs.FieldInfo,
    between: tuple[int, int],
    data: st.DataObject,
) -> None:
    least, most = between
    number = data.draw(
        st.sampled_from([least, least - 1, most, most + 1, 0, -1, 2**31, 2**32, 2**63, 2**64])
        | st.integers()
    )
    required = {
        f.encode_name: data.draw(values_of(f.type)) for f in msgspec.structs.fields(struct) if f.required
    }
    text = json.dumps({**required, field.encode_name: number}).encode()

    if least <= number <= most:
        assert number == getattr(strict_json.decode(text, struct, size_max=1 << 20, what="x"), field.name)
    else:
        with pytest.raises(ConfigError, match=rf"{field.encode_name}: .* is out of range; allowed: -?\d+"):
            strict_json.decode(text, struct, size_max=1 << 20, what="x")


@given(st.binary(max_size=100) | st.text(max_size=100) | scalars)
def test_whatever_is_quoted_can_be_printed(value: object) -> None:
    assert is_safe(quoted(value))
    assert is_safe(Problem("field", value, "another value").sentence())


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_+.-]{1,260}", fullmatch=True))
@example("a\n")
def test_an_id_is_what_the_grammar_says(text: str) -> None:
    is_id = re.fullmatch(r"[A-Za-z0-9_+.-]{1,255}", text, re.ASCII) is not None and text not in {".", ".."}

    _, refused = outcome(ids.check_id, text)

    assert is_id == ids.is_id(text)
    assert is_id == (not refused)
    assert is_id or is_safe(refused)


@given(st.text(max_size=30) | st.from_regex(r"[a-z0-9_./-]{1,20}", fullmatch=True))
def test_a_sysctl_is_what_the_grammar_says_and_stays_below_its_directory(text: str) -> None:
    path = sysctl.path(text)

    assert (re.fullmatch(r"[a-z0-9_]+([./][A-Za-z0-9_-]+)*", text, re.ASCII) is not None) == (
        path is not None
    )
    assert path is None or not {"", ".", ".."} & set(path.split("/"))


@given(st.text(max_size=25) | st.from_regex(r"[+-]?[0-9_]{1,22}\n?", fullmatch=True), st.integers(0, 2**64))
def test_a_number_is_ascii_digits_and_nothing_else(text: str, maximum: int) -> None:
    is_number = re.fullmatch(r"[0-9]{1,20}", text, re.ASCII) is not None and int(text) <= maximum
    for form in (text, text.encode("utf-8", "surrogatepass")):
        number, refused = outcome(names.parse_uint, form, maximum)

        assert is_number == (not refused)
        assert not is_number or int(text) == number
        assert is_number or is_safe(refused)


@given(
    st.text(max_size=12)
    | st.from_regex(r"(?i)(sig)?(rtmin|rtmax|kill|term)?[+-]?[0-9]{0,3}", fullmatch=True)
)
def test_a_signal_is_a_number_of_the_kernel_or_told(text: str) -> None:
    number, refused = outcome(names.parse_signal, text)

    assert number in range(names.RTMAX + 1) if not refused else is_safe(refused)


@given(st.text("0123456789,-", max_size=30))
def test_a_list_of_ranges_is_a_mask_or_told(text: str) -> None:
    mask, refused = outcome(names.parse_ranges, text)

    if refused:
        assert is_safe(refused)
    else:
        members = set()
        for part in text.split(","):
            first, _, last = part.partition("-")
            members |= set(range(int(first), int(last or first) + 1))
        assert members == {number for number in range(names.CPU_MAX + 1) if mask >> number & 1}


@given(st.binary(max_size=200))
def test_a_process_of_garbage_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_process(data)

    assert is_safe(str(caught.value))
