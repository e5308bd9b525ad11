"""What is wrong with a JSON text, in words: the slow half of strict_json, which only knows that it is.

The text or the value is looked through again here, for the place and a sentence that names it. msgspec's own
messages give the place of a wrong type (but not the key of a map), and of text that is no JSON as a byte.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from holdfast.protocol.errors import ConfigError, Problem, joined, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_EXCERPT_MAX = 40
_DIGITS_MAX = 40
_SURROGATE_TAIL = 11
"""So near to the end, an escaped surrogate without its other half looks to msgspec like a text cut short."""

_IN_WORDS = {
    "bool": "true or false",
    "int": "an integer",
    "str": "a string",
    "array": "an array",
    "object": "an object",
}
"""What msgspec says that it expected → what is allowed."""

_KINDS = {bool: "bool", int: "int", float: "float", str: "str", list: "array", dict: "object"}
"""Type of a value → msgspec's word for what it got."""


def mismatch(message: str, tree: object, what: str, root: str) -> Problem:
    """Translate msgspec's "Expected `int`, got `str` - at `$.process.user.uid`".

    tree: the value that does not fit. what: names it as a whole. root: its path.
    """
    message, _, place = message.partition(" - at ")
    steps = place.strip("`").replace("[...]", "[*]").replace("[", ".[").split(".")[1:]
    if message.startswith("Object missing"):
        _, name, _ = message.split("`")
        path, _ = _first(tree, steps, root, lambda value: name not in value)
        return Problem(joined(path, name), None, "a value")
    expected, _, got = message.removeprefix("Expected ").replace("`", "").partition(", got ")
    if got:
        path, value = _first(tree, steps, root, lambda value: _KINDS.get(type(value), "null") == got)
        why = "is null" if value is None else "has the wrong type"
        return Problem(
            path or what, _without_secret(path, value), _IN_WORDS[expected.removesuffix(" | null")], why
        )
    _, comparison, limit = expected.split(" ")
    bound = int(limit)
    if comparison == ">=":
        path, value = _first(tree, steps, root, lambda value: value < bound)
        return Problem(path, value, f"{bound} or more", "is out of range")
    path, value = _first(tree, steps, root, lambda value: value > bound)
    return Problem(path, value, f"{bound} or less", "is out of range")


def _first(
    tree: object, steps: Sequence[str], root: str, is_wrong: Callable[[Any], bool]
) -> tuple[str, object]:
    """Return path and value of the first place that is wrong: of the keys of a map msgspec names none."""
    return next(place for place in _places(tree, steps, root) if is_wrong(place[1]))


def _places(value: Any, steps: Sequence[str], path: str) -> Iterator[tuple[str, object]]:  # noqa: ANN401
    if not steps:
        yield path, value
    elif steps[0] == "[*]":
        for key, inner in value.items():
            yield from _places(inner, steps[1:], joined(path, key))
    elif steps[0].startswith("["):
        yield from _places(value[int(steps[0][1:-1])], steps[1:], path + steps[0])
    elif steps[0] in value:
        yield from _places(value[steps[0]], steps[1:], joined(path, steps[0]))


def refuse_wide_numbers(tree: object, what: str, root: str) -> None:
    """Raise ConfigError if there is a number in the value that 64 bits do not hold."""
    problems = [
        Problem(path or what, value, f"{_INT_MIN} to {_INT_MAX}", "is out of range")
        for path, value in _walk(tree, root)
        if isinstance(value, (int, float)) and not _INT_MIN <= value <= _INT_MAX
    ]
    if problems:
        raise ConfigError(problems)


def refuse_nuls(tree: object, what: str, root: str) -> None:
    """Raise ConfigError if there is a NUL in a string or a key of the value."""
    problems = [
        Problem(path or what, _without_secret(path, value), "text without one", "has a NUL in it")
        for path, value in _walk(tree, root)
        if isinstance(value, str) and "\0" in value
    ]
    if problems:
        raise ConfigError(problems)


def _without_secret(path: str, value: object) -> object:
    """Return what of a value may be repeated: of a variable its name, since the rest may be a secret."""
    if isinstance(value, str) and path.partition("[")[0].endswith("env"):
        return value.partition("=")[0]
    return value


def number_error(data: bytes, what: str, root: str) -> ConfigError:
    """Return the error for a text with a number that has no room in any type."""
    try:
        refuse_wide_numbers(_reread(data), what, root)
    except ConfigError as error:
        return error
    except ValueError:  # after the number, the text is no JSON either
        pass
    return ConfigError(f"{what}: a number is out of range; allowed: {_INT_MIN} to {_INT_MAX}")


def duplicate_error(data: bytes, root: str) -> ConfigError:
    """Return the error for a text in which an object has a member twice."""
    return ConfigError(f"{next(_duplicates(data, root))}: is there twice; allowed: once")


def _duplicates(data: bytes, root: str) -> Iterator[str]:
    for path, value in _walk(_reread(data), root):
        seen = set()
        for key, _ in value if isinstance(value, _Members) else ():
            if key in seen:
                yield joined(path, key)
            seen.add(key)


def malformed(message: str, data: bytes) -> str:
    """Translate msgspec's "JSON is malformed: invalid character (byte 5)"."""
    reason, _, byte = message.removeprefix("JSON is malformed: ").removesuffix(")").partition(" (byte ")
    if byte:
        return reason + _where(data, int(byte))
    if b"\\ud" in data[-_SURROGATE_TAIL:].lower():
        return "a surrogate without its other half, near the end"
    return "it ends in the middle of a value"


def bad_byte(data: bytes) -> str:
    """Say where the text is not UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return _where(data, error.start)
    return ""


def _where(data: bytes, at: int) -> str:
    line, column = data.count(b"\n", 0, at) + 1, at - data.rfind(b"\n", 0, at)
    rest = data[at : at + _EXCERPT_MAX].partition(b"\n")[0]
    return f" at line {line}, column {column}" + (f": {quoted(rest)}" if rest else "")


class _Members(list[tuple[str, Any]]):
    """The members of an object, duplicates too."""


def _reread(data: bytes) -> Any:  # noqa: ANN401  # any JSON
    """Read the text so that nothing of it is lost: duplicates are kept, endless numbers are infinite.

    Raises ValueError.
    """

    def number(text: str) -> float:
        return int(text) if len(text) <= _DIGITS_MAX else float("inf")

    return json.loads(data.decode(), object_pairs_hook=_Members, parse_int=number)


def _walk(tree: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield each value with its path, and each key of an object with the path of its member."""
    yield path, tree
    if isinstance(tree, (dict, _Members)):
        for key, value in tree.items() if isinstance(tree, dict) else tree:
            yield joined(path, key), key
            yield from _walk(value, joined(path, key))
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            yield from _walk(value, f"{path}[{i}]")
