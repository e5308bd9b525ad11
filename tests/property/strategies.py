"""Hypothesis strategies that several property tests share: JSON of any kind, and JSON of a type of ours."""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from holdfast.protocol.oci.config import Config

INT_MIN, INT_MAX = -(2**63), 2**64 - 1

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
"""Text that a JSON string of ours may hold: no lone surrogates, no NUL."""

scalars = (
    st.none()
    | st.booleans()
    | st.integers(INT_MIN, INT_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)

json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)
"""Any value of JSON that we read."""


def bounds(hint: object) -> tuple[int, int] | None:
    """Return the least and the greatest number that a type takes; None if it is not of integers."""
    inner = without_none(hint)
    meta = [part for part in get_args(inner) if isinstance(part, msgspec.Meta)]
    if inner is not int and not (meta and get_args(inner)[0] is int):
        return None
    least = next((part.ge for part in meta if part.ge is not None), INT_MIN)
    most = next((part.le for part in meta if part.le is not None), INT_MAX)
    return int(least), int(most)


def without_none(hint: object) -> Any:  # noqa: ANN401  # any JSON, any type
    """Return X of `X | None`."""
    if get_origin(hint) in (Union, UnionType):
        return next(part for part in get_args(hint) if part is not type(None))
    return hint


@cache
def values_of(hint: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401  # any JSON, any type
    """Return a strategy for JSON values that a type takes: each optional member is there or not."""
    hint = without_none(hint)
    between = bounds(hint)
    if between:
        return st.sampled_from(between) | st.integers(*between)
    if hint is bool:
        return st.booleans()
    if hint is str:
        return texts
    if get_origin(hint) is tuple:
        return st.lists(values_of(get_args(hint)[0]), max_size=2)
    if get_origin(hint) is dict:
        return st.dictionaries(texts, values_of(get_args(hint)[1]), max_size=2)
    assert issubclass(hint, msgspec.Struct), hint
    fields = msgspec.structs.fields(hint)
    required = {field.encode_name: values_of(field.type) for field in fields if field.required}
    optional = {field.encode_name: values_of(field.type) for field in fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional)


def configs() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for all that has the types of a config.json, sensible or not."""
    return values_of(Config)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of each place in a value of JSON, the value's own first."""
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def replaced(value: Any, path: tuple[str | int, ...], new: object) -> Any:  # noqa: ANN401  # any JSON, any type
    """Return a value of JSON with another one in a place."""
    if not path:
        return new
    if isinstance(value, dict):
        return {
            key: replaced(inner, path[1:], new) if key == path[0] else inner for key, inner in value.items()
        }
    return [replaced(inner, path[1:], new) if i == path[0] else inner for i, inner in enumerate(value)]


def at(value: Any, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401  # any JSON, any type
    """Return what is in a place of a value of JSON."""
    for part in path:
        value = value[part]
    return value
