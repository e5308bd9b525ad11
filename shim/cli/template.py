"""The part of Go's templates that people type: `{{.ID}}`, `{{.State.Status}}`, `{{json .Mounts}}`.

Source: Go's text/template, Docker's documentation of `--format`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import HoldfastError, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

_ESCAPES = {"\\t": "\t", "\\n": "\n"}
_NOTHING = "<no value>"


class Template:
    """A format with places for values."""

    def __init__(self, text: str) -> None:
        """Read a format. Raises HoldfastError for what is more of Go's language than is known here."""
        for written, meant in _ESCAPES.items():
            text = text.replace(written, meant)
        first, *rest = text.split("{{")
        self._first = first
        self._parts: list[tuple[bool, list[str], str]] = []
        for part in rest:
            action, closed, literal = part.partition("}}")
            words = action.split()
            is_json = words[:1] == ["json"]
            path = words[1:] if is_json else words
            if not closed or len(path) != 1 or not path[0].startswith("."):
                raise HoldfastError(
                    f"--format: {quoted('{{' + part)}: allowed: {{{{.Name.Name}}}}, {{{{json .Name}}}}"
                )
            self._parts.append((is_json, [name for name in path[0].split(".") if name], literal))

    def render(self, value: Mapping[str, object]) -> str:
        """Fill the values in."""
        out = [self._first]
        for is_json, path, literal in self._parts:
            found = _look_up(value, path)
            out.append(msgspec.json.encode(found).decode() if is_json else _plain(found))
            out.append(literal)
        return "".join(out)


def _look_up(value: object, path: list[str]) -> object:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            raise HoldfastError(f"--format: there is no {quoted('.' + '.'.join(path))}")
        value = value[name]
    return value


def _plain(value: object) -> str:
    if value is None:
        return _NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int)) else msgspec.json.encode(value).decode()
