"""Texts of other people made safe to show.

Names, labels, command lines and file names are anybody's: an escape sequence in them would be
obeyed by the terminal of whoever types `holdfast ps` (set the clipboard, hide a line), and a
bidirectional override would make one name look like another. So what has no glyph of its own is
shown by its number.
"""

from __future__ import annotations

_BYTES = 0xDC00
"""From here on os.fsdecode puts the bytes that are not UTF-8 (from 0x80 on, in fact)."""


def printable(text: str) -> str:
    r"""Return the text with control, format and undecodable characters written as `\x1b`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    number = ord(char)
    if _BYTES <= number <= _BYTES + 0xFF:
        number -= _BYTES
    for letter, digits in (("x", 2), ("u", 4), ("U", 8)):
        if number < 16**digits:
            return f"\\{letter}{number:0{digits}x}"
    raise ValueError(f"{number} is no character")
