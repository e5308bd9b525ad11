"""Any system call of any step can fail: then there is one clear sentence, and nothing is left."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from support.leftovers import look
from support.oci import make_bundle, usual_config

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime import create as creating
from holdfast.runtime.commands.delete import delete
from holdfast.runtime.commands.start import start
from holdfast.runtime.container import container_ids
from holdfast.runtime.create import CreateRequest, create
from holdfast.runtime.procfs import Procfs
from holdfast.runtime.puppet.puppet import Puppet
from holdfast.runtime.sys.call import ACCEPT_ANY
from holdfast.runtime.sys.executor import Here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdfast.runtime.sys.call import Call, Result

ID = f"faulty-{os.getpid()}"

NO_SUCH_CALL = 0x7FFF
"""A number that the kernel answers with ENOSYS."""


_TRIES = 3

CANNOT_FAIL = ("close", "umask")
"""close(2) frees the descriptor whatever it returns; umask(2) always succeeds."""


class Saboteur:
    """Counts the calls of a setup, in both actors, and replaces one of them by one that fails."""

    def __init__(self, victim: int) -> None:
        self.victim = victim
        self.count = 0
        self.name = ""
        self.is_at_work = False

    def pass_on(self, call: Call) -> Call:
        """Return the call, or what stands in for it."""
        if not self.is_at_work:
            return call
        if call.accept == ACCEPT_ANY:  # its failure is a result like any other
            return call
        if call.name in CANNOT_FAIL:
            return call
        self.count += 1
        if self.count != self.victim:
            return call
        self.name = f"{call.name} {call.about}"
        return call._replace(number=NO_SUCH_CALL, accept=0)


@contextmanager
def sabotaged(monkeypatch: pytest.MonkeyPatch, victim: int) -> Iterator[Saboteur]:
    """Have the call with that number fail; 0: none."""
    saboteur = Saboteur(victim)
    here_do, puppet_do, carry_out = Here.do, Puppet.do, creating.carry_out

    def carry_out_at_work(*args: object) -> None:
        saboteur.is_at_work = True  # planning has looked at the machine by now
        carry_out(*args)  # type: ignore[arg-type]

    def do_here(self: Here, call: Call) -> int:
        return here_do(self, saboteur.pass_on(call))

    def do_in_puppet(self: Puppet, call: Call) -> Result:
        return puppet_do(self, saboteur.pass_on(call))

    with monkeypatch.context() as patch:
        patch.setattr(Here, "do", do_here)
        patch.setattr(Puppet, "do", do_in_puppet)
        patch.setattr(creating, "carry_out", carry_out_at_work)
        yield saboteur


def request_for(tmp_path: Path) -> CreateRequest:
    """Return a request for a container that takes as many steps as there are."""
    bundle = make_bundle(tmp_path / "bundle", usual_config())
    null = os.open(os.devnull, os.O_RDWR)
    return CreateRequest(root=os.fsencode(tmp_path / "root"), id=ID, bundle=bundle, stdio=(null, null, null))


def reaped(pid: int) -> None:
    """Reap init, which is a child of the test."""
    os.waitpid(pid, 0)


def fail(request: CreateRequest, monkeypatch: pytest.MonkeyPatch, victim: int) -> str:
    """Make one call fail. Returns its name if that was told, by create or by start; else nothing."""
    with sabotaged(monkeypatch, victim) as saboteur:
        try:
            pid = create(request)
        except (HoldfastError, OSError) as error:
            check_sentence(str(error), saboteur.name)
            return saboteur.name
    name = ""
    try:  # what comes after the wait for start is told by start
        start(request.root, ID)
    except HoldfastError as error:
        check_sentence(str(error), saboteur.name)
        name = saboteur.name
    delete(request.root, ID, force=True)
    reaped(pid)
    return name


@pytest.mark.root
@pytest.mark.timeout(600)
def test_each_system_call_may_fail_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(tmp_path)
    Procfs.shared()  # made once in a process; not a part of any setup
    with sabotaged(monkeypatch, 0) as counted:
        pid = create(request)
    delete(request.root, ID, force=True)
    reaped(pid)
    assert counted.count > 100
    before = look()
    harmless = []
    for victim in range(1, counted.count + 1):
        # A batch that the kernel wants to be sent again may have ended before the call: then once more.
        name = next((name for _ in range(_TRIES) if (name := fail(request, monkeypatch, victim))), "")
        if not name:
            harmless.append(victim)
        assert [] == container_ids(request.root), f"after a failed {name}"
        assert [] == left_of_ours(look() - before, tmp_path), f"after a failed {name}"
    assert [] == harmless


def left_of_ours(left: set[str], tmp_path: Path) -> list[str]:
    """Leave out what may belong to somebody else on the machine."""
    ours = (ID, str(tmp_path))
    return [
        line
        for line in left
        if line.startswith(("process", "descriptor")) or any(one in line for one in ours)
    ]


def check_sentence(sentence: str, call: str) -> None:
    """Fail unless the error is one line that names something and tells the kernel's reason."""
    assert "\n" not in sentence
    reasons = ("Function not implemented", "needed: Linux", "has stopped")
    assert any(reason in sentence for reason in reasons), f"{call}: {sentence}"
    assert len(sentence) > len(": Function not implemented") + 3, call
