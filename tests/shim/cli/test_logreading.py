from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.shim.cli import logreading
from holdfast.shim.cli.logreading import Reader, open_logs, seek_tail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def line(number: int) -> bytes:
    return b"2026-01-02T03:04:05.000000000+00:00 stdout F %d\n" % number


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def read_all(fds: list[int]) -> list[int]:
    contents = []
    for fd in fds:
        reader = Reader(fd)
        while entries := reader.read():
            contents += [int(entry.content) for entry in entries]
        os.close(fd)
    return contents


def test_a_rotated_log_is_read_from_its_old_file_on(tmp_path: Path, directory: int) -> None:
    (tmp_path / "ctr.log.1").write_bytes(line(1) + line(2))
    (tmp_path / "ctr.log").write_bytes(line(3))
    assert [1, 2, 3] == read_all(open_logs(directory))


def test_a_log_that_is_not_there_is_empty(directory: int) -> None:
    assert [] == open_logs(directory)
    assert [] == seek_tail([], 5)


def test_a_link_in_place_of_the_log_is_not_followed(tmp_path: Path, directory: int) -> None:
    (tmp_path / "ctr.log").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="Too many levels"):
        open_logs(directory)


def test_the_tail_may_begin_in_the_old_file(tmp_path: Path, directory: int) -> None:
    (tmp_path / "ctr.log.1").write_bytes(b"".join(map(line, range(1, 6))))
    (tmp_path / "ctr.log").write_bytes(line(6) + line(7))
    fds = open_logs(directory)
    assert [5, 6, 7] == read_all(seek_tail(fds, 3))
    fds = open_logs(directory)
    kept = seek_tail(fds, 1)
    assert fds[1:] == kept
    os.close(fds[0])
    assert [7] == read_all(kept)


def test_a_torn_last_line_is_no_line(tmp_path: Path, directory: int) -> None:
    (tmp_path / "ctr.log").write_bytes(line(1) + line(2) + line(3)[:-1])
    assert [2] == read_all(seek_tail(open_logs(directory), 1))


@given(st.lists(st.integers(0, 10**6), max_size=40), st.integers(0, 45), st.integers(1, 120))
def test_the_tail_is_the_last_lines_wherever_blocks_end(numbers: list[int], wanted: int, block: int) -> None:
    fd = os.memfd_create("log")
    os.write(fd, b"".join(map(line, numbers)))
    before, logreading._BLOCK = logreading._BLOCK, block
    try:
        kept = seek_tail([fd], wanted)
    finally:
        logreading._BLOCK = before
    found = read_all(kept)
    if not kept:
        os.close(fd)
    assert numbers[len(numbers) - min(wanted, len(numbers)) :] == found
