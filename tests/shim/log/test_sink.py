"""The log file on real filesystems, full ones too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from holdfast.runtime.sys import mount
from holdfast.runtime.sys.executor import here
from holdfast.runtime.sys.numbers import AT_FDCWD
from holdfast.shim.log.sink import WAITING_MAX, Sink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOM = 64 << 10


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a filesystem with room for 64 KiB."""
    fd = mount.new_filesystem(here, b"tmpfs", [(b"size", b"%d" % ROOM)], 0)
    here.do(mount.move_mount(fd, AT_FDCWD, os.fsencode(tmp_path)))
    os.close(int(fd))  # type: ignore[arg-type]
    yield tmp_path
    here.do(mount.umount2(os.fsencode(tmp_path), mount.MNT_DETACH))


def gap(lost_bytes: int, reason: str) -> bytes:
    """Say what is missing."""
    return b"[%d lost: %s]\n" % (lost_bytes, reason.encode())


def test_records_are_appended_to_what_is_there(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"before\n")
    sink = Sink(os.fsencode(log), 0, gap)
    sink.write(b"one\n")
    sink.write(b"two\n")
    sink.close()
    assert b"before\none\ntwo\n" == log.read_bytes()
    assert 0o644 == log.stat().st_mode & 0o777 or 0o640 == log.stat().st_mode & 0o777


def test_full_disk_keeps_records_until_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(ROOM - 4096))
    log = small_disk / "log"
    sink = Sink(os.fsencode(log), 0, gap)
    records = [b"%06d\n" % i for i in range(2000)]
    for record in records:
        sink.write(record)
    assert sink.waits
    ballast.unlink()
    assert not sink.retry()
    assert b"".join(records) == log.read_bytes()
    sink.close()


def test_more_than_can_wait_is_lost_whole_and_told(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(ROOM - 4096))
    log = small_disk / "log"
    sink = Sink(os.fsencode(log), 0, gap)
    record = b"x" * 1023 + b"\n"
    count = WAITING_MAX // len(record) + 10
    for _ in range(count):
        sink.write(record)
    here.do(mount.umount2(os.fsencode(small_disk), mount.MNT_DETACH))  # the file is still open: give it room
    fd = mount.new_filesystem(here, b"tmpfs", [], 0)
    here.do(mount.move_mount(fd, AT_FDCWD, os.fsencode(small_disk)))
    sink.reopen()
    assert not sink.retry()
    sink.write(b"after\n")
    sink.close()
    lines = log.read_bytes().split(b"\n")
    assert b"after" == lines[-2]
    assert lines[-3].startswith(b"[")
    assert b"lost: No space left on device]" in lines[-3]
    assert {b"x" * 1023} == set(lines[1:-3])


def test_rotation_throws_nothing_away_that_was_not_renamed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sink = Sink(os.fsencode(log), 100, gap)
    for i in range(30):
        sink.write(b"%09d\n" % i)
    sink.close()
    kept = (tmp_path / "log.1").read_bytes() + log.read_bytes()
    assert kept.endswith(b"%09d\n" % 29)
    assert log.stat().st_size <= 100
    assert [b"%09d" % i for i in range(30 - len(kept) // 10, 30)] == kept.split(b"\n")[:-1]


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
    with pytest.raises(OSError, match="open log file"):
        Sink(os.fsencode(log), 0, gap)
    assert b"untouched" == target.read_bytes()
