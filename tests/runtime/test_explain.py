"""--explain: each step that is taken, in its order, with what it did and how long it took."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from support.containers import read_all
from support.oci import usual_config

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime import steps
from holdfast.runtime.create import create
from holdfast.runtime.explain import Explain
from holdfast.runtime.sys import files
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.containers import Containers

HEAD = re.compile(r"^ ?(\d+) (parent|init)\s+(.+?)\s+(\d+) µs$", re.MULTILINE)


def explained(do: Callable[[Explain], object]) -> str:
    """Return what is told while something is done."""
    memory = os.memfd_create("told")
    try:
        do(Explain(memory))
    finally:
        os.lseek(memory, 0, os.SEEK_SET)
        text = read_all(memory)
        os.close(memory)
    return text


def names(text: str) -> list[str]:
    return [name for _, _, name, _ in HEAD.findall(text)]


@pytest.mark.root
def test_create_tells_the_steps_that_it_takes_in_their_order(containers: Containers) -> None:
    text = explained(lambda explain: containers.create(usual_config(), explain=explain))
    heads = HEAD.findall(text)
    assert [str(i) for i in range(1, len(heads) + 1)] == [number for number, _, _, _ in heads]
    skipped = {
        "open the namespaces to join",
        "write the uid and gid maps",
        "become root of the user namespace",
        "give binds their ids",
        "open the terminal",
        "change the root to the rootfs",
        "load the seccomp filter",
    }
    assert [step.name for step in steps.SETUP if step.name not in skipped] == names(text)
    assert [step.actor for step in steps.SETUP if step.name not in skipped] == [
        who for _, who, _, _ in heads
    ]


@pytest.mark.root
def test_each_step_tells_its_reason_its_source_and_its_calls(containers: Containers) -> None:
    text = explained(lambda explain: containers.create(usual_config(), explain=explain))
    for step in steps.SETUP:
        if step.name in names(text):
            assert step.why in text
            assert f"source: {step.source}" in text
    calls = re.findall(r"^ +\| (\w+) ", text, re.MULTILINE)
    assert {"clone3", "mkdirat", "fsopen", "pivot_root", "setresuid", "capset", "sethostname"} <= set(calls)
    assert "execve" in "".join(line for line in text.splitlines() if line.endswith("(at start)"))


@pytest.mark.root
def test_time_of_all_steps_is_what_the_create_took(containers: Containers) -> None:
    text = explained(lambda explain: containers.create(usual_config(), explain=explain))
    took = [int(us) for _, _, _, us in HEAD.findall(text)]
    assert all(us > 0 for us in took)
    assert sum(took) < 5_000_000


@pytest.mark.root
def test_exec_tells_its_steps(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    text = explained(lambda explain: box.execute("true", explain=explain))
    taken = [step for step in steps.JOIN if step.name in names(text)]
    assert [step.name for step in taken] == names(text)
    assert "become the program" == [name for name in names(text) if name != "write the pid file"][-1]


@pytest.mark.root
def test_step_that_fails_is_the_last_that_is_told(containers: Containers) -> None:
    config = usual_config("no-such-program")
    request = containers.request(config)

    def fail(explain: Explain) -> None:
        with pytest.raises(HoldfastError, match="executable file not found"):
            create(request, explain)

    assert "find the program" == names(explained(fail))[-1]


def test_failed_call_is_told_by_its_errno() -> None:
    def do(explain: Explain) -> None:
        explain.begin(steps.SETUP[0])
        explain.observe(files.close(-1), -9)
        explain.observe(files.close(3), 0)
        explain.end()
        explain.end()  # once is enough

    text = explained(do)
    assert 1 == len(HEAD.findall(text))
    assert "= EBADF" in text
    assert here.observe is None


def test_name_that_is_not_utf8_does_not_stop_it() -> None:
    def do(explain: Explain) -> None:
        explain.begin(steps.SETUP[0]._replace(name=os.fsdecode(b"\xff")))
        explain.end()

    assert "\\udcff" in explained(do)
