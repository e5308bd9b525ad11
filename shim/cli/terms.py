"""How commands speak to whoever runs them: results on stdout, what is wrong in one sentence on stderr."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import DoesNotExist, HoldfastError, quoted
from holdfast.protocol.printable import printable
from holdfast.shim.store.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FAILED = 125
"""Holdfast could not do it, or was asked for something that makes no sense."""
REFUSED = 1
"""The container that is meant is not there, or not in a state for this."""

_SENTENCE_MAX = 1024


def say(text: str) -> None:
    """Write to stdout. Raises OSError; BrokenPipeError if nobody reads it."""
    view = memoryview(text.encode("utf-8", "surrogateescape"))
    while view:
        view = view[os.write(1, view) :]


def say_json(value: object) -> None:
    """Write JSON for people and programs; what would act on a terminal is escaped, as JSON allows.

    Raises OSError.
    """
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    if not text.isascii():
        text = "".join(char if char.isprintable() or char == "\n" else _json_escape(char) for char in text)
    say(text + "\n")


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def tell(error: Exception | str) -> None:
    """Write one sentence to stderr."""
    sentence = printable(sentence_of(error))[:_SENTENCE_MAX]
    try:
        os.write(2, f"holdfast: {sentence}\n".encode("utf-8", "backslashreplace"))
    except OSError:  # there is nobody to tell
        return


def sentence_of(error: Exception | str) -> str:
    """Return what to tell of an error; of the system's own with the file that it is about."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{quoted(error.filename)}: {error.strerror}"
    return str(error)


def code_of(error: Exception) -> int:
    """Return the exit code for a failure, for commands that have no exit code of a container to give."""
    return REFUSED if isinstance(error, (Refused, DoesNotExist)) else FAILED


def for_each(references: Iterable[str], do: Callable[[str], None]) -> int:
    """Do something to each container; all are tried. Returns the exit code."""
    code = 0
    for reference in references:
        try:
            do(reference)
        except (HoldfastError, OSError) as error:
            tell(error)
            code = max(code, code_of(error))
    return code
