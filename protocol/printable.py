"""Texts of other people made safe to show.

Names, labels, command lines and file names are anybody's: an escape sequence in them would be
obeyed by the terminal of whoever types `holdfast ps` (set the clipboard, hide a line), and a
bidirectional override would make one name look like another. So what has no glyph of its own is
shown by its number.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text with control, format and undecodable characters written as `\\x1b`, `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    number = ord(char)
    if 0xDC80 <= number <= 0xDCFF:  # how os.fsdecode carries a byte that is not UTF-8
        return f"\\x{number - 0xDC00:02x}"
    if number <= 0xFF:  # noqa: PLR2004  # two digits hold it
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004  # four digits hold it
