"""The exit record: whole, once, also on a full disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.disks import small_disk

from holdfast.protocol import control
from holdfast.shim.exit import ExitRecord

if TYPE_CHECKING:
    from pathlib import Path

    from support.disks import SmallDisk

__all__ = ["small_disk"]

EXITED = control.Exited(pid=7, exit_code=137, signal=9, started_at="then", finished_at="now")


def read(path: Path) -> control.Exited:
    """Read a record back."""
    return msgspec.json.decode(path.read_bytes(), type=control.Exited)


def test_record_of_the_run_before_goes_at_the_start_and_the_new_one_comes_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "exit.json").write_text("of the run before")
    record = ExitRecord(os.fsencode(tmp_path))
    assert not (tmp_path / "exit.json").exists()
    record.write(EXITED)
    assert EXITED == read(tmp_path / "exit.json")
    assert ["exit.json"] == os.listdir(tmp_path)
    assert 0o600 == (tmp_path / "exit.json").stat().st_mode & 0o777


def test_what_was_planted_in_its_place_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    """S69: in a directory that others may write to."""
    target = tmp_path / "target"
    target.write_text("untouched")
    directory = tmp_path / "record"
    directory.mkdir()
    for name in ("exit.json", "exit.json.new"):
        (directory / name).symlink_to(target)
    record = ExitRecord(os.fsencode(directory))
    (directory / "exit.json").symlink_to(target)
    record.write(EXITED)
    assert EXITED == read(directory / "exit.json")
    assert not (directory / "exit.json").is_symlink()
    assert "untouched" == target.read_text()


def test_abandoned_record_leaves_nothing(tmp_path: Path) -> None:
    fds = os.listdir("/proc/self/fd")
    ExitRecord(os.fsencode(tmp_path)).abandon()
    assert [] == os.listdir(tmp_path)
    assert fds == os.listdir("/proc/self/fd")


def test_disk_that_is_full_at_the_end_has_room_for_the_record(small_disk: SmallDisk) -> None:
    record = ExitRecord(os.fsencode(small_disk.path))
    small_disk.fill()
    record.write(EXITED)
    assert EXITED == read(small_disk.path / "exit.json")


def test_disk_that_is_full_at_the_start_is_told(small_disk: SmallDisk) -> None:
    small_disk.fill()
    with pytest.raises(OSError, match=r'make room for "exit\.json": No space left on device'):
        ExitRecord(os.fsencode(small_disk.path))
    assert ["ballast"] == os.listdir(small_disk.path)
