"""What a step of a setup is: a named action with its reason, its source and the way it is undone.

The setup of a container is one list of such steps (steps.py). The list serves everybody: create.py carries
it out and walks it back after a failure, `--explain` prints it while it happens,
docs/how-a-container-is-made.md is generated from it, and the tests make each call of each step fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.runtime.making import Making

PARENT = "parent"
"""The runtime's own process, in the namespaces and with the rights of whoever called it."""

INIT = "init"
"""The container's first process, or the one that joins it, in its namespaces, acting through a puppet."""


class When(NamedTuple):
    """A condition under which a step is taken: in words, and as a test."""

    words: str
    holds: Callable[[Making], bool]


ALWAYS = When("always", lambda _: True)


class Step(NamedTuple):
    """One step. Its texts are for people who want to learn how a container is made."""

    actor: str
    name: str
    do: Callable[[Making], None]
    why: str
    """Why it is done, and why at this place of the list."""
    source: str
    """The man page, the section of the runtime-spec or the kernel document that it implements."""
    undo: Callable[[Making], None] | None = None
    """Takes back what was done, also if only a part of it was; None if undoing an earlier step is enough."""
    when: When = ALWAYS
