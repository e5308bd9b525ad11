"""The log file on real filesystems, full ones too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.disks import small_disk

from holdfast.shim.log.sink import WAITING_MAX, Sink

if TYPE_CHECKING:
    from pathlib import Path

    from support.disks import SmallDisk

__all__ = ["small_disk"]

NOBODY = 65534


def gap(lost_bytes: int, reason: str) -> bytes:
    """Say what is missing."""
    return b"[%d lost: %s]\n" % (lost_bytes, reason.encode())


def open_sink(path: Path, limit_bytes: int = 0) -> Sink:
    """Open a sink."""
    return Sink(os.fsencode(path), limit_bytes, gap)


def test_records_are_appended_to_what_is_there(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"before\n")
    sink = open_sink(log)
    sink.write(b"one\n")
    sink.write(b"two\n")
    assert 0 == sink.close()
    assert b"before\none\ntwo\n" == log.read_bytes()


def test_new_file_is_closed_to_others(tmp_path: Path) -> None:
    open_sink(tmp_path / "log").close()
    assert 0o640 == (tmp_path / "log").stat().st_mode & 0o777


def test_full_disk_keeps_records_until_there_is_room(small_disk: SmallDisk) -> None:
    log = small_disk.path / "log"
    sink = open_sink(log)
    small_disk.fill(but_bytes=4096)
    records = [b"%06d\n" % i for i in range(2000)]
    for record in records:
        sink.write(record)
    assert sink.waits
    assert "No space left on device" == sink.reason
    small_disk.free()
    assert not sink.retry()
    assert b"".join(records) == log.read_bytes()
    assert 0 == sink.close()


def test_disk_that_stays_full_loses_what_is_counted_at_the_end(small_disk: SmallDisk) -> None:
    log = small_disk.path / "log"
    sink = open_sink(log)
    small_disk.fill(but_bytes=4096)
    sink.write(b"x" * 9999 + b"\n")
    assert 10000 - log.stat().st_size == sink.close()


def test_more_than_can_wait_is_lost_whole_and_told(small_disk: SmallDisk, tmp_path: Path) -> None:
    sink = open_sink(small_disk.path / "log")
    small_disk.fill(but_bytes=4096)
    record = b"x" * 1023 + b"\n"
    for _ in range(WAITING_MAX // len(record) + 10):
        sink.write(record)
    (small_disk.path / "log").rename(small_disk.path / "begun")
    sink._path = os.fsencode(tmp_path / "log")  # a larger disk is put in its place
    sink.reopen()
    assert not sink.retry()
    sink.write(b"after\n")
    assert 0 == sink.close()
    begun = (small_disk.path / "begun").read_bytes()
    lines = (begun + (tmp_path / "log").read_bytes()).split(b"\n")
    assert b"after" == lines[-2]
    assert (
        b"[6144 lost: No space left on device]" == lines[-3]
    )  # six of the ten: four had gone into the file
    assert [b"x" * 1023] * (WAITING_MAX // len(record) + 4) == lines[:-3]


@pytest.mark.parametrize("per_write", [1, 7, 1000])
def test_rotation_is_between_records_and_throws_only_renamed_files_away(
    tmp_path: Path, per_write: int
) -> None:
    log = tmp_path / "log"
    sink = open_sink(log, 100)
    records = [b"%09d\n" % i for i in range(1000)]
    for start in range(0, len(records), per_write):
        sink.write(b"".join(records[start : start + per_write]))
    sink.close()
    kept = (tmp_path / "log.1").read_bytes() + log.read_bytes()
    assert kept == b"".join(records[-len(kept) // 10 :])
    assert 100 == (tmp_path / "log.1").stat().st_size
    assert 0 < log.stat().st_size <= 100


def test_record_larger_than_the_limit_has_a_file_of_its_own(tmp_path: Path) -> None:
    sink = open_sink(tmp_path / "log", 10)
    sink.write(b"short\n" + b"long" * 100 + b"\n" + b"short again\n")
    sink.close()
    assert b"long" * 100 + b"\n" == (tmp_path / "log.1").read_bytes()
    assert b"short again\n" == (tmp_path / "log").read_bytes()


def test_torn_record_gets_its_rest_before_the_file_is_rotated(small_disk: SmallDisk) -> None:
    log = small_disk.path / "log"
    sink = open_sink(log, 8192)
    small_disk.fill(but_bytes=4096)
    sink.write(b"a" * 5000 + b"\n")
    sink.write(b"b" * 5000 + b"\n")
    small_disk.free()
    sink.write(b"c" * 5000 + b"\n")
    assert 0 == sink.close()
    assert b"a" * 5000 + b"\n" + b"b" * 5000 + b"\n" == (small_disk.path / "log.1").read_bytes()
    assert b"c" * 5000 + b"\n" == log.read_bytes()


def test_rotation_that_fails_is_tried_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sink = open_sink(log, 10)
    (tmp_path / "log.1").mkdir()
    (tmp_path / "log.1" / "full").touch()
    sink.write(b"one\n")
    sink.write(b"12345678\n")
    assert b"one\n12345678\n" == log.read_bytes()
    (tmp_path / "log.1" / "full").unlink()
    (tmp_path / "log.1").rmdir()
    sink.write(b"three\n")
    sink.close()
    assert b"three\n" == log.read_bytes()


def test_rotation_goes_on_where_it_failed_between_renaming_and_opening(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sink = open_sink(log, 10)
    sink.write(b"12345678\n")
    log.rename(tmp_path / "log.1")
    sink.write(b"two\n")
    sink.close()
    assert b"12345678\n" == (tmp_path / "log.1").read_bytes()
    assert b"two\n" == log.read_bytes()


def test_only_files_are_rotated(tmp_path: Path) -> None:
    """A null device as log must not be renamed."""
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sink = open_sink(fifo, 10)
    for _ in range(5):
        sink.write(b"12345678\n")
    assert b"12345678\n" * 5 == os.read(reading, 1000)
    assert ["log"] == os.listdir(tmp_path)
    assert [] == sink.unsynced()
    sink.close()
    os.close(reading)
    null = open_sink(tmp_path / ".." / ".." / ".." / ".." / "dev" / "null", 10)
    null.write(b"12345678\n" * 5)
    null.close()


def test_fifo_whose_reader_is_slow_makes_records_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    reading = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    sink = open_sink(tmp_path / "log")
    sink.write(b"x" * 99999 + b"\n")
    assert sink.waits
    got = b""
    while sink.retry() or len(got) < 100000:
        got += os.read(reading, 65536)
    assert b"x" * 99999 + b"\n" == got
    sink.close()
    os.close(reading)


def test_all_that_has_to_be_synced_is_named(tmp_path: Path) -> None:
    sink = open_sink(tmp_path / "log", 10)
    sink.write(b"12345678\n")
    sink.write(b"12345678\n")
    fds = sink.unsynced()
    found = {os.readlink(f"/proc/self/fd/{fd}") for fd in fds}
    assert {str(tmp_path / "log.1"), str(tmp_path / "log"), str(tmp_path)} == found
    sink.close()
    for fd in fds:
        os.fsync(fd)  # they are the caller's, and still open
        os.close(fd)


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "device"])
def test_what_is_no_file_of_ours_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """S61: a link would be followed, a fifo without reader would block."""
    log, target = tmp_path / "log", tmp_path / "target"
    target.write_bytes(b"untouched")
    match kind:
        case "link":
            log.symlink_to(target)
        case "fifo":
            os.mkfifo(log)
        case "directory":
            log.mkdir()
        case "device":
            os.mknod(log, 0o600 | 0o020000, os.makedev(1, 5))
    fds = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="open log file"):
        open_sink(log)
    assert b"untouched" == target.read_bytes()
    assert fds == os.listdir("/proc/self/fd")


@pytest.mark.root
def test_somebody_elses_file_under_two_names_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "precious"
    other.touch()
    os.chown(other, NOBODY, NOBODY)
    (tmp_path / "log").hardlink_to(other)
    with pytest.raises(OSError, match="is somebody else's, and has other names"):
        open_sink(tmp_path / "log")
