"""The record on disk: complete or not there; and what tells one process from another with its id."""

from __future__ import annotations

import ctypes
import os
import stat
from typing import TYPE_CHECKING

import pytest
from support.containers import reap
from support.oci import usual_config

from holdfast.protocol.errors import DoesNotExist, HoldfastError
from holdfast.runtime import container

if TYPE_CHECKING:
    from pathlib import Path

    from support.containers import Containers


@pytest.mark.root
def test_state_directory_and_its_files_are_the_owners_alone(containers: Containers) -> None:
    old = os.umask(0)
    try:
        box = containers.create(usual_config())
    finally:
        os.umask(old)
    assert 0o700 == stat.S_IMODE((containers.directory / "root").stat().st_mode)
    assert 0o700 == stat.S_IMODE(box.state_dir.stat().st_mode)
    for name in ("state.json", "config.json", "lock"):
        assert 0 == stat.S_IMODE((box.state_dir / name).stat().st_mode) & 0o077, name
    assert {"state.json", "config.json", "lock", "start"} == set(os.listdir(box.state_dir))


@pytest.mark.root
def test_root_is_made_with_what_leads_to_it(containers: Containers) -> None:
    containers.root += b"/deeper/still"
    box = containers.create(usual_config())
    assert "created" == box.state().status


@pytest.mark.root
def test_long_root_does_not_matter_to_the_start_socket(containers: Containers) -> None:
    containers.root += b"/" + b"x" * 200
    box = containers.create(usual_config())
    box.start()
    assert 0 == box.finish().code


def test_state_directory_that_is_gone_is_told_by_who_waits_for_its_lock(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    fd = os.open(tmp_path / "gone", os.O_RDONLY | os.O_DIRECTORY)
    (tmp_path / "gone").rmdir()
    with pytest.raises(DoesNotExist):
        container.lock_directory(fd, "gone")
    os.close(fd)


def test_start_time_tells_processes_apart_and_is_0_for_what_has_ended() -> None:
    pid = os.fork()
    if not pid:
        os.kill(os.getpid(), 19)  # stop until the test has looked
        os._exit(0)
    os.waitpid(pid, os.WUNTRACED)
    assert container.start_time(pid) >= container.start_time(os.getpid()) > 0
    os.kill(pid, 18)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert 0 == container.start_time(pid)  # a zombie
    reap(pid)
    assert 0 == container.start_time(pid)


@pytest.mark.parametrize("name", [b"a) Z 1 (b", b")))", b"(", b"a b\nc", b"\xff\xfe"])
def test_start_time_does_not_fall_for_a_name(name: bytes) -> None:
    """A process chooses its own name, and it stands in the middle of the line."""
    before = container.start_time(os.getpid())
    own = ctypes.CDLL(None)
    with open("/proc/self/comm", "rb") as file:
        real = file.read().strip()
    own.prctl(15, name)
    try:
        assert before == container.start_time(os.getpid())
    finally:
        own.prctl(15, real)


def test_boot_id_is_the_kernels() -> None:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        assert file.read().strip() == container.boot_id()


@pytest.mark.root
def test_removed_directory_leaves_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "box/folder").mkdir(parents=True)
    fd = os.open(tmp_path / "box", os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises((HoldfastError, OSError)):
        container.remove(os.fsencode(tmp_path), "box", fd)
    os.close(fd)
    assert (tmp_path / "box/folder").exists()
