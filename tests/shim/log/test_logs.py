"""Logs over time: a full disk that has room again, a disk that hangs."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import trio
import trio.testing
from support.disks import small_disk

from holdfast.shim.diagnostics import Diagnostics
from holdfast.shim.log import logs as logs_module
from holdfast.shim.log.drivers import open_logs
from holdfast.shim.log.logs import Logs
from holdfast.shim.order import LogOrder

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from support.disks import SmallDisk

__all__ = ["small_disk"]


def open_all(directory: Path, count: int = 1) -> Logs:
    """Open some logs in a directory."""
    orders = (LogOrder("k8s-file", os.fsencode(directory / f"log{i}")) for i in range(count))
    return Logs(open_logs(tuple(orders)), Diagnostics(os.fsencode(directory.parent), "id"))


async def test_log_that_was_stuck_goes_on_by_itself_and_both_is_told(
    small_disk: SmallDisk,
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001  # seconds that nothing happens in pass at once
) -> None:
    logs = open_all(small_disk.path)
    small_disk.fill(but_bytes=4096)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(logs.retry)
        logs.write("stdout", b"x" * 9999 + b"\n")
        await trio.sleep(10)
        assert 4096 == (small_disk.path / "log0").stat().st_size
        small_disk.free()
        await trio.sleep(2)
        assert (small_disk.path / "log0").read_bytes().endswith(b" F " + b"x" * 9999 + b"\n")
        logs.write("stdout", b"and on\n")
        nursery.cancel_scope.cancel()
    logs.close()
    told = (small_disk.path.parent / "shim.log").read_text()
    assert 1 == told.count('"log.stuck"')
    assert 1 == told.count('"log.unstuck"')
    assert "No space left on device" in told


async def test_what_is_lost_in_the_end_is_told(small_disk: SmallDisk) -> None:
    logs = open_all(small_disk.path)
    small_disk.fill()
    logs.write("stdout", b"x" * 100 + b"\n")
    logs.close()
    assert '"log.lost"' in (small_disk.path.parent / "shim.log").read_text()


async def test_each_log_gets_everything(tmp_path: Path) -> None:
    logs = open_all(tmp_path, 2)
    logs.write("stderr", b"one\ntwo")
    assert logs.has_rest("stderr")
    assert not logs.has_rest("stdout")
    logs.flush("stderr")
    assert not logs.has_rest("stderr")
    await logs.sync()
    logs.close()
    for name in ("log0", "log1"):
        records = (tmp_path / name).read_bytes().split(b"\n")
        assert [b"stderr F one", b"stderr P two"] == [record.split(b" ", 1)[1] for record in records[:-1]]


async def test_disk_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread stays behind; the loop goes on meanwhile and afterwards."""
    released = threading.Event()
    turns = 0

    def hang(_fd: int) -> None:
        released.wait(30)

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.sleep(0.01)
            turns += 1

    monkeypatch.setattr(os, "fsync", hang)
    monkeypatch.setattr(logs_module, "SYNC_S", 0.3)
    logs = open_all(tmp_path)
    fds = len(os.listdir("/proc/self/fd"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count_turns)
        with trio.fail_after(5):
            await logs.sync()
        nursery.cancel_scope.cancel()
    assert turns > 5
    assert '"log.sync_given_up"' in (tmp_path.parent / "shim.log").read_text()
    released.set()
    with trio.fail_after(10):
        while len(os.listdir("/proc/self/fd")) > fds:  # noqa: ASYNC110  # a thread closes them
            await trio.sleep(0.01)
    logs.close()
