"""Signals to all of a container's processes, by each way that kernels offer."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from support.cgroups import HOST, directory, enter, let_go, made, process, stop_self

from holdfast.runtime.cgroups import freezer, kill, tree
from holdfast.runtime.cgroups.place import Cgroup
from holdfast.runtime.sys.executor import Here, here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.root

HAS_V1 = bool(HOST.holder("freezer", 1))


def without_v2(cgroup: Cgroup, _: pytest.MonkeyPatch) -> Cgroup:
    """Return what there is of it on a machine with v1 alone."""
    return Cgroup(tuple(place for place in cgroup.places if place.version == 1))


def with_old_v2(cgroup: Cgroup, monkeypatch: pytest.MonkeyPatch) -> Cgroup:
    """Return what there is of it on one with v2 alone, before Linux 5.14, which has no cgroup.kill."""
    write = tree.write

    def old_write(x: Here, fd: int, file: bytes, data: bytes) -> bool:
        return file != b"cgroup.kill" and write(x, fd, file, data)

    monkeypatch.setattr(tree, "write", old_write)
    return Cgroup(tuple(place for place in cgroup.places if place.version == 2))


def as_it_is(cgroup: Cgroup, _: pytest.MonkeyPatch) -> Cgroup:
    return cgroup


WAYS = [as_it_is, with_old_v2, *([without_v2] if HAS_V1 else [])]


@pytest.fixture
def three(name: str) -> Iterator[tuple[Cgroup, list[int]]]:
    """Give a cgroup with three processes, one of them in a cgroup below."""
    with made("/" + name) as cgroup, ExitStack() as stack:
        pids = [stack.enter_context(process()) for _ in range(3)]
        for pid in pids:
            enter(cgroup, pid)
        for place in cgroup.places:
            if "cpuset" not in place.controllers:
                below = directory(place) / "below"
                below.mkdir()
                (below / "cgroup.procs").write_text(str(pids[0]))
        yield cgroup, pids


def end_of(pid: int) -> int:
    """Wait until a process has ended, and leave it to be reaped. Returns the signal that ended it."""
    result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert result is not None
    assert os.CLD_KILLED == result.si_code
    return result.si_status


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGRTMAX])
def test_signal_reaches_each_process(
    three: tuple[Cgroup, list[int]],
    way: Callable[[Cgroup, pytest.MonkeyPatch], Cgroup],
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, pids = three
    cgroup = way(whole, monkeypatch)
    assert set(pids) == kill.processes(here, cgroup)
    kill.signal_all(here, cgroup, number)
    assert [number] * 3 == [end_of(pid) for pid in pids]
    monkeypatch.undo()


@pytest.mark.parametrize("way", WAYS)
def test_frozen_processes_are_killed(
    three: tuple[Cgroup, list[int]],
    way: Callable[[Cgroup, pytest.MonkeyPatch], Cgroup],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, pids = three
    cgroup = way(whole, monkeypatch)
    freezer.pause(here, cgroup)
    kill.signal_all(here, cgroup, signal.SIGKILL)
    assert [signal.SIGKILL] * 3 == [end_of(pid) for pid in pids]
    monkeypatch.undo()


@pytest.mark.skipif(not HAS_V1, reason="a frozen process of v2 dies")
def test_process_in_a_cgroup_that_the_container_froze_itself_is_killed(
    three: tuple[Cgroup, list[int]],
) -> None:
    cgroup, pids = three
    place = cgroup.holder("freezer")
    assert place is not None
    (directory(place) / "below/freezer.state").write_text("FROZEN")
    kill.signal_all(here, cgroup, signal.SIGKILL)
    assert [signal.SIGKILL] * 3 == [end_of(pid) for pid in pids]


def test_frozen_process_gets_a_signal_that_it_handles_when_it_is_resumed(name: str, tmp_path: Path) -> None:
    """One that would end it anyway ends it at once, on v2."""
    ready = tmp_path / "ready"

    def handle() -> None:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        ready.touch()
        signal.pause()

    with process(handle) as pid, made("/" + name) as cgroup:
        deadline = time.monotonic() + 5
        while not ready.exists():
            assert time.monotonic() < deadline
        enter(cgroup, pid)
        freezer.pause(here, cgroup)
        kill.signal_all(here, cgroup, signal.SIGTERM)
        assert freezer.is_frozen(here, cgroup)
        assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None
        freezer.resume(here, cgroup)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        assert (os.CLD_EXITED, 7) == (ended.si_code, ended.si_status)


def test_killed_process_of_a_frozen_container_dies_when_thawed(three: tuple[Cgroup, list[int]]) -> None:
    cgroup, pids = three
    freezer.pause(here, without_v2(cgroup, pytest.MonkeyPatch()) if HAS_V1 else cgroup)
    os.kill(pids[0], signal.SIGKILL)
    kill.thaw(here, cgroup)
    assert signal.SIGKILL == end_of(pids[0])


def test_nobody_there_is_fine(name: str) -> None:
    with made("/" + name) as cgroup:
        for number in (signal.SIGKILL, signal.SIGTERM):
            kill.signal_all(here, cgroup, number)
    kill.signal_all(here, Cgroup(), signal.SIGKILL)


@pytest.mark.parametrize("way", WAYS)
def test_processes_that_keep_forking_are_all_killed(
    name: str, way: Callable[[Cgroup, pytest.MonkeyPatch], Cgroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends as soon as it has a child: a list of them is out of date once it is read."""

    def run() -> None:
        stop_self()
        for _ in range(8):
            if not os.fork():
                while not os.fork():
                    pass
                break

    with process(run) as pid, made("/" + name) as whole:
        enter(whole, pid)
        cgroup = way(whole, monkeypatch)
        let_go(pid)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert kill.processes(here, cgroup) != {pid}
        kill.kill_all(here, cgroup)
        deadline = time.monotonic() + 5
        while kill.processes(here, cgroup):
            assert time.monotonic() < deadline
        monkeypatch.undo()


def test_signal_reaches_those_that_turn_up_while_it_goes_round(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with process() as first, process() as late, made("/" + name) as cgroup:
        lists = iter([{first}, {first}, {first, late}, {first, late}, {late}, set()])
        monkeypatch.setattr(kill, "processes", lambda *_: next(lists))
        kill.signal_all(here, cgroup, signal.SIGTERM)
        monkeypatch.undo()
        assert [signal.SIGTERM] * 2 == [end_of(pid) for pid in (first, late)]


def test_process_that_left_the_cgroup_meanwhile_is_not_hit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S43: its id was on the first list; between that and the signal it may even be another process's id."""
    with made("/" + name) as cgroup, process() as inside, process() as outside:
        enter(cgroup, inside)
        lists = iter([{inside, outside}, {inside}, {inside}])
        monkeypatch.setattr(kill, "processes", lambda *_: next(lists))
        kill.signal_all(here, cgroup, signal.SIGTERM)
        monkeypatch.undo()
        assert signal.SIGTERM == end_of(inside)
        assert os.waitid(os.P_PID, outside, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None
