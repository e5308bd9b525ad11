"""JSON from somebody else, read strictly: into the type that is asked for, or one sentence with the place.

msgspec does nearly all of it, in C: one pass over a config of 10 KB takes some 20 µs. It refuses of itself
wrong types (`true` is no number, `1.0` no integer), numbers out of a type's range, NaN and Infinity, bytes
that are not UTF-8 or begin with a byte order mark, lone surrogates, control characters in strings, trailing
text. What it lets pass is looked for here, without a loop over values in Python as long as nothing is
found:

- Members that the type lacks are skipped, whatever is in them: so all is first decoded without a type.
- Of duplicate members the last one wins, while another reader may take the first. Then what was decoded has
  fewer members than the text has.
- A NUL in a string: a path would end there for the kernel, and not for us.
- Integers of more than 64 bits pass where a type has no upper bound.
- Depth is bounded by the interpreter's recursion limit, another one in each version of Python.

`null` is an absent member. Types don't say so, since whoever uses the values would then have to expect None
everywhere; so a text that does not fit is tried once more without its nulls.

Sources: RFC 8259; RFC 7493, "I-JSON"; the documentation of msgspec, "Supported Types".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import msgspec

from holdfast.protocol.errors import ConfigError, joined

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

T = TypeVar("T")

DEPTH_MAX = 64
"""How deep objects and arrays may be inside each other; the OCI spec needs no more than 7."""

_DIGITS_20 = b"0" * 20  # as many as 2**64 has
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"000000000")
_NOT_OUTLINE = bytes(set(range(256)) - set(b"[]{}:"))

_ANY = msgspec.json.Decoder()


def decode(data: bytes, type_: type[T], *, size_max: int, what: str, root: str = "") -> T:
    """Read a value of a type.

    type_: a msgspec.Struct, or whatever else msgspec decodes. size_max: bytes. what: names the text in
    errors. root: the path of the value, if it is a part of something larger.
    Raises ConfigError: it names the field by its path, or the line and column of what is not JSON.
    """
    tree = decode_any(data, size_max=size_max, what=what, root=root)
    try:
        return msgspec.json.decode(data, type=type_)  # reading again is as fast as converting the tree
    except msgspec.ValidationError:
        tree = _without_nulls(tree)
    try:
        return msgspec.convert(tree, type_)
    except msgspec.ValidationError as error:
        raise ConfigError([_mistakes().mismatch(str(error), tree, what, root)]) from None


def decode_any(data: bytes, *, size_max: int, what: str, root: str = "") -> Any:  # noqa: ANN401  # any JSON
    """Read a value of any type that JSON has. Raises ConfigError, as `decode` does."""
    if len(data) > size_max:
        raise ConfigError(f"{what}: has {len(data)} bytes; allowed: {size_max}")
    outline = _outline(data)
    if _depth(outline) > DEPTH_MAX:
        raise ConfigError(f"{what}: objects and arrays are nested too deep; allowed: {DEPTH_MAX}")
    try:
        tree = _ANY.decode(data)
    except msgspec.ValidationError:  # without a type that can only be a number which has no room in any
        raise _mistakes().number_error(data, what, root) from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{what}: is not JSON: {_mistakes().malformed(str(error), data)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{what}: is not UTF-8{_mistakes().bad_byte(data)}") from None
    if _may_be_wide(data):
        _mistakes().refuse_wide_numbers(tree, what, root)
    if b"\\u0000" in data:
        _mistakes().refuse_nuls(tree, what, root)
    if outline.count(b":") != _outline(msgspec.json.encode(tree)).count(b":"):
        raise _mistakes().duplicate_error(data, root)
    return tree


def unknown_members(tree: object, type_: object, path: str = "") -> Iterator[str]:
    """Yield the paths of the members in a decoded value that its msgspec.Struct lacks, at any depth."""
    hint = _without_none(type_)
    if isinstance(tree, list):
        for i, element in enumerate(tree):
            yield from unknown_members(element, get_args(hint)[0], f"{path}[{i}]")
    elif isinstance(tree, dict) and get_origin(hint) is dict:
        for key, value in tree.items():
            yield from unknown_members(value, get_args(hint)[1], joined(path, key))
    elif isinstance(tree, dict):
        types = {field.encode_name: field.type for field in msgspec.structs.fields(hint)}
        for key, value in tree.items():
            if key in types:
                yield from unknown_members(value, types[key], joined(path, key))
            else:
                yield joined(path, key)


def _without_none(hint: Any) -> Any:  # noqa: ANN401  # a type hint
    """Return X of `X | None`."""
    return get_args(hint)[0] if type(None) in get_args(hint) else hint


def _outline(data: bytes) -> bytes:
    """Return the brackets and colons of a JSON text that are not in a string: its structure."""
    # Without escapes, each quotation mark that is left begins or ends a string.
    pieces = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    return b"".join(pieces[::2]).translate(None, _NOT_OUTLINE)


def _depth(outline: bytes) -> int:
    depth = deepest = 0
    for char in outline.replace(b":", b""):
        if char in b"[{":
            depth += 1
            deepest = max(depth, deepest)
        else:
            depth -= 1
    return deepest


def _may_be_wide(data: bytes) -> bool:
    """Whether the text has a number of more than 64 bits, in a string perhaps."""
    alike = data.translate(_DIGITS_ALIKE)
    begin = alike.find(_DIGITS_20)
    while begin >= 0:
        end = begin + len(_DIGITS_20)
        if alike[end : end + 1] == b"0" or int(data[begin:end]) >= 2**64:
            return True
        begin = alike.find(_DIGITS_20, end)
    return False


def _without_nulls(tree: Any) -> Any:  # noqa: ANN401  # any JSON
    if isinstance(tree, dict):
        return {key: _without_nulls(value) for key, value in tree.items() if value is not None}
    return [_without_nulls(value) for value in tree] if isinstance(tree, list) else tree


def _mistakes() -> ModuleType:
    """Return the module that tells mistakes: it needs some milliseconds that only a mistake should cost."""
    from holdfast.protocol import json_mistakes  # noqa: PLC0415

    return json_mistakes
