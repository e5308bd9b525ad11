"""Pausing a container: by v2 where it can, by v1 where it must."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.cgroups import HOST, directory, enter, let_go, made, process, stop_self

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.cgroups import freezer, tree
from holdfast.runtime.cgroups.detect import V2
from holdfast.runtime.cgroups.place import Cgroup, Place
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root

VERSIONS = [1, 2] if HOST.holder("freezer", 1) else [2]


def of_version(cgroup: Cgroup, version: int) -> Cgroup:
    """Leave the other version out, as on a machine that does not have it."""
    return Cgroup(tuple(place for place in cgroup.places if place.version == version))


def freezing_place(cgroup: Cgroup) -> Place:
    place = cgroup.unified or cgroup.holder("freezer")
    assert place is not None
    return place


@contextmanager
def counting(path: Path) -> Iterator[int]:
    """Give a process that keeps writing to a file."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)

    def work() -> None:
        while True:
            os.write(fd, b".")
            time.sleep(0.001)

    with process(work) as pid:
        os.close(fd)
        yield pid


def goes_on(path: Path) -> bool:
    """Whether the process writes, within a second."""
    before, deadline = path.stat().st_size, time.monotonic() + 1
    while path.stat().st_size == before:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def stands_still(path: Path) -> bool:
    before = path.stat().st_size
    time.sleep(0.05)
    return path.stat().st_size == before


@pytest.mark.parametrize("version", VERSIONS)
def test_paused_process_stands_still_until_it_is_resumed(name: str, version: int, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with made("/" + name) as whole, counting(output) as pid:
        enter(whole, pid)
        cgroup = of_version(whole, version)
        assert goes_on(output)
        assert not freezer.is_frozen(here, cgroup)
        freezer.pause(here, cgroup)
        assert freezer.is_frozen(here, cgroup)
        assert freezer.is_frozen(here, whole)
        assert stands_still(output)
        freezer.pause(here, cgroup)
        freezer.resume(here, cgroup)
        assert not freezer.is_frozen(here, cgroup)
        assert goes_on(output)
        freezer.resume(here, cgroup)


@pytest.mark.skipif(VERSIONS == [2], reason="there is no other way here")
def test_v2_is_used_where_the_container_is_in_both(name: str) -> None:
    """Its frozen processes can be killed."""
    with made("/" + name) as cgroup:
        freezer.pause(here, cgroup)
        assert freezer.is_frozen(here, of_version(cgroup, 2))
        assert not freezer.is_frozen(here, of_version(cgroup, 1))


@pytest.mark.parametrize("version", VERSIONS)
def test_frozen_cgroup_above_does_not_make_a_container_paused(name: str, version: int) -> None:
    with made("/" + name) as outer, made(f"/{name}/a") as inner:
        freezer.pause(here, of_version(outer, version))
        assert not freezer.is_frozen(here, inner)
        freezer.resume(here, outer)


@pytest.mark.parametrize("version", VERSIONS)
def test_all_of_many_processes_are_frozen(name: str, version: int) -> None:
    def fork_some() -> None:
        stop_self()
        for _ in range(20):
            if not os.fork():
                break
        while True:
            pass

    with process(fork_some) as pid, made("/" + name) as whole:
        enter(whole, pid)
        cgroup = of_version(whole, version)
        let_go(pid)
        freezer.pause(here, cgroup)
        place = freezing_place(cgroup)
        events = directory(place) / ("cgroup.events" if place.version == V2 else "freezer.state")
        assert events.read_text().endswith(("frozen 1\n", "FROZEN\n"))


def test_container_without_a_freezer_is_told() -> None:
    with pytest.raises(HoldfastError, match=r'^freeze the container: controller "freezer" not available$'):
        freezer.pause(here, Cgroup())


@pytest.mark.parametrize("version", VERSIONS)
def test_process_that_does_not_stop_is_told_and_the_others_run_on(
    name: str, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process here can hold out for ten seconds, so it is what the kernel says that is altered."""
    said = {b"cgroup.events": b"frozen", b"freezer.state": b"FREEZING\n"}
    monkeypatch.setattr(freezer, "_TIMEOUT_S", 0.1)
    monkeypatch.setattr(tree, "value", lambda *_: 0)
    read = tree.read
    monkeypatch.setattr(tree, "read", lambda x, fd, file: said.get(file) or read(x, fd, file))
    with process() as pid, made_untampered(name, monkeypatch) as whole:
        enter(whole, pid)
        cgroup = of_version(whole, version)
        with pytest.raises(HoldfastError, match=f'^freeze cgroup "{name}" in ".*": not frozen after 0 s$'):
            freezer.pause(here, cgroup)
        monkeypatch.undo()
        assert not freezer.is_frozen(here, cgroup)


@contextmanager
def made_untampered(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cgroup]:
    with monkeypatch.context() as patch:
        patch.setattr(freezer, "is_stopped", lambda *_: False)
        with made("/" + name) as cgroup:
            yield cgroup


def test_fields_of_a_place_are_all_that_is_needed(name: str) -> None:
    """A container is paused by one process and resumed by another, which has read the record."""
    with made("/" + name) as cgroup:
        freezer.pause(here, cgroup)
        read_back = msgspec.json.decode(msgspec.json.encode(cgroup), type=Cgroup)
        assert freezer.is_frozen(here, read_back)
        freezer.resume(here, read_back)
        assert not freezer.is_frozen(here, cgroup)
