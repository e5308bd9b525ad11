"""Numbers as people type them: sizes (`64m`), fractions of a processor (`0.5`), plain counts.

int() and float() take much that nobody means: `1_000`, ` 12`, `+5`, digits of other scripts, `nan`.
So only ASCII digits are read here, and each number has a limit.
"""

from __future__ import annotations

from holdfast.protocol.errors import quoted
from holdfast.protocol.oci.names import parse_uint

_POWERS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_UNITS = {"": 1, "b": 1} | {unit + tail: size for unit, size in _POWERS.items() for tail in ("", "b", "ib")}
_MAX_DIGITS = 19
INT64_MAX = (1 << 63) - 1


def parse_count(text: str, most: int = INT64_MAX, least: int = 0) -> int:
    """Read a whole number in decimal digits. Raises ValueError."""
    return parse_signed(text, least, most) if not text.startswith("-") else _refuse(text, least, most)


def parse_signed(text: str, least: int, most: int) -> int:
    """Read a whole number that may be negative. Raises ValueError."""
    try:
        number = parse_uint(text.removeprefix("-"), INT64_MAX)
    except ValueError:
        return _refuse(text, least, most)
    number = -number if text.startswith("-") else number
    return number if least <= number <= most else _refuse(text, least, most)


def _refuse(text: str, least: int, most: int) -> int:
    raise ValueError(f"{quoted(text)} is not a number; allowed: {least} to {most}")


def parse_size(text: str) -> int:
    """Read a size in bytes: a number, maybe with a fraction, and a unit of 1024 and its powers.

    Raises ValueError.
    """
    number = text.lower().rstrip("bikmgt")
    unit = text.lower()[len(number) :]
    if unit in _UNITS:
        size = _decimal(number, _UNITS[unit])
        if size is not None and size <= INT64_MAX:
            return size
    raise ValueError(f"{quoted(text)} is not a size; allowed: a number with b, k, m, g or t, as in 64m")


def parse_processors(text: str) -> int:
    """Read a number of processors, as in 0.5, in millionths. Raises ValueError."""
    millionths = _decimal(text, 1_000_000)
    if millionths and millionths <= 1_000_000 * 8192:  # more than Linux can have
        return millionths
    raise ValueError(f"{quoted(text)} is not a number of processors; allowed: more than 0, as in 0.5 or 2")


def _decimal(text: str, factor: int) -> int | None:
    """Read `12`, `1.5` or `.5` times a factor, exactly, rounded down; None if it is something else."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
        return None
    scale: int = 10 ** len(fraction)
    return int(digits) * factor // scale
