"""The page about the steps is the steps."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.runtime import document, steps
from holdfast.runtime.step import PARENT

if TYPE_CHECKING:
    from holdfast.runtime.step import Step

PAGE = Path(__file__).parents[2] / "docs/how-a-container-is-made.md"

ALL = (*steps.SETUP, *steps.JOIN)

SOURCE = re.compile(
    r"""[a-z0-9_-]+\(\d[a-z]?\)(\ [A-Z_]+)?(\ "[^"]+")?        # a man page, with a flag or a section
      | runtime-spec,\ [a-z-]+\.md(\ "[^"]+")?(,\ ("[^"]+"|[a-zA-Z.]+))*
    """,
    re.VERBOSE,
)


def test_page_is_what_the_steps_say() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "holdfast.runtime.document"], check=True, capture_output=True, text=True
    )
    assert PAGE.read_text() == made.stdout, "make it anew: python -m holdfast.runtime.document"


@pytest.mark.parametrize("step", ALL, ids=lambda step: step.name)
def test_step_has_a_reason_and_a_source(step: Step) -> None:
    assert step.name
    assert not step.name.endswith(".")
    assert step.name[0].islower()
    assert len(step.why) > 20
    assert step.why.endswith(".")
    assert step.why[0].isupper() or step.why.startswith("/")
    for one in step.source.split("; "):
        for page in re.split(r", (?=[a-z0-9_-]+\(\d)", one):
            assert SOURCE.fullmatch(page), page


def test_page_has_each_step_in_the_order_of_the_list() -> None:
    text = document.markdown()
    setup, joining = text.split("## How a process joins a container")
    for part, taken in ((setup, steps.SETUP), (joining, [s for s in steps.JOIN if s not in steps.PROCESS])):
        names = re.findall(r"^\d+\. \*\*(.+?)\*\* \(", part, re.MULTILINE)
        assert [step.name for step in taken] == names


def test_numbers_of_the_page_count_up() -> None:
    setup, joining = document.markdown().split("## How a process joins a container")
    for part in (setup, joining):
        numbers = [int(number) for number in re.findall(r"^(\d+)\. ", part, re.MULTILINE)]
        assert list(range(1, len(numbers) + 1)) == numbers


def test_step_without_its_reason_is_another_page(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = steps.FILE_TREE
    changed = (first._replace(why=""), *others)
    monkeypatch.setattr(document, "_PARTS", (*document._PARTS[:2], ("The file tree", changed)))
    assert PAGE.read_text() != document.markdown()


def test_what_is_undone_is_undone_by_the_one_who_began_it() -> None:
    """Only the parent can undo: init may be gone by then."""
    assert {PARENT} == {step.actor for step in ALL if step.undo}
