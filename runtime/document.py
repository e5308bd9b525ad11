"""Writes the list of steps out as a page for people: docs/how-a-container-is-made.md.

`python -m holdfast.runtime.document > docs/how-a-container-is-made.md` makes it anew; a test compares the
two.
"""

from __future__ import annotations

import sys
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
# How a process joins a container

`holdfast exec` takes these steps; those under "Becoming the user" are the same as above.
"""


def markdown() -> str:
    """Return the page."""
    parts = [_HEAD]
    number = 1
    for title, part in _PARTS:
        parts.append(f"## {title}\n")
        parts.extend(_entry(i, step) for i, step in enumerate(part, number))
        number += len(part)
    parts.append(_JOINING)
    joining = [step for step in steps.JOIN if step not in steps.PROCESS]
    parts.extend(_entry(i, step) for i, step in enumerate(joining, 1))
    return "\n".join(parts)


def _entry(number: int, step: Step) -> str:
    condition = "" if step.when is ALWAYS else f", {step.when.words}"
    return (
        f"{number}. **{step.name}** ({step.actor}{condition})\n   {step.why}\n   *Source: {step.source}*\n"
    )


if __name__ == "__main__":
    sys.stdout.write(markdown())
