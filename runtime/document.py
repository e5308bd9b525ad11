"""Writes the list of steps out as a page for people: docs/how-a-container-is-made.md.

`python -m holdfast.runtime.document > docs/how-a-container-is-made.md` makes it anew; a test compares the
two.
"""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

from holdfast.runtime import steps
from holdfast.runtime.step import ALWAYS

if TYPE_CHECKING:
    from holdfast.runtime.step import Step

_HEAD = """\
# How a container is made

<!-- Generated from runtime/steps.py by `python -m holdfast.runtime.document`. Do not edit: a test compares.
-->

A container is an ordinary process with a view of its own. These are the steps by which Holdfast makes one,
in their order, with the reason for each and for its place. *parent* is the runtime, in the namespaces of
whoever called it; *init* is the container's first process, acting through the puppet. `holdfast run
--explain …` tells the same steps while it takes them, with the system calls and their times.
"""

_PARTS = (
    ("Before there is a process", steps.PREPARATION),
    ("The process and its namespaces", steps.ISOLATION),
    ("The file tree", steps.FILE_TREE),
    ("The surroundings", steps.SURROUNDINGS),
    ("Becoming the user", steps.PROCESS),
    ("Parking", steps.PARKING),
)

_JOINING = """\
## How a process joins a container

`holdfast exec` takes these steps, which have numbers of their own.
"""

_WIDTH = 109


def markdown() -> str:
    """Return the page."""
    parts = [_HEAD]
    number = 1
    for title, part in _PARTS:
        parts.append(f"## {title}\n")
        parts.extend(_entry(i, step) for i, step in enumerate(part, number))
        number += len(part)
    parts.append(_JOINING)
    number = 1
    for step in steps.JOIN:
        if step is steps.PROCESS[0]:
            parts.append(_item(number, ['The steps under "Becoming the user" above.']))
        if step not in steps.PROCESS[1:]:
            number += 1
        if step not in steps.PROCESS:
            parts.append(_entry(number - 1, step))
    return "\n".join(parts)


def _entry(number: int, step: Step) -> str:
    who = step.actor if step.when is ALWAYS else f"{step.actor}, {step.when.words}"
    undone = " Undone if a later step fails." if step.undo else ""
    return _item(number, [f"**{step.name}** ({who})", f"{step.why}{undone}", f"*Source: {step.source}*"])


def _item(number: int, paragraphs: list[str]) -> str:
    """Return an item of a numbered list: its paragraphs stand below the beginning of the first one."""
    marker = f"{number}. "
    indent = " " * len(marker)
    filled = [
        textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
        for text in paragraphs
    ]
    return marker + "\n\n".join(filled).removeprefix(indent) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
