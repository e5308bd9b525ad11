"""Tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence


def shortened(text: str, width: int) -> str:
    """Return the text, cut to a width with an ellipsis at the end."""
    return text if len(text) <= width else text[: width - 1] + "…"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out in columns below a head, three spaces apart; each cell is made printable."""
    lines = [head, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )
