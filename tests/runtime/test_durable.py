"""Files that are whole, or not there: on real filesystems, a full one too."""

from __future__ import annotations

import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime import durable
from holdfast.runtime.sys.call import CallFailed
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def directory_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_file_is_replaced_as_a_whole(tmp_path: Path, directory_fd: int) -> None:
    (tmp_path / "file").write_text("old")
    with open(tmp_path / "file", encoding="ascii") as reader:
        durable.write_durably(here, directory_fd, b"file", b"new")
        assert "old" == reader.read()
    assert "new" == (tmp_path / "file").read_text()
    assert ["file"] == os.listdir(tmp_path)


def test_link_in_the_place_of_the_file_is_replaced_and_not_followed(
    tmp_path: Path, directory_fd: int
) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "file").symlink_to(tmp_path / "precious")
    durable.write_durably(here, directory_fd, b"file", b"new")
    assert "precious" == (tmp_path / "precious").read_text()
    assert "new" == (tmp_path / "file").read_text()


def test_file_in_a_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    fd = os.open(tmp_path / "gone", os.O_RDONLY | os.O_DIRECTORY)
    (tmp_path / "gone").rmdir()
    with pytest.raises(CallFailed, match=r'^write "file": No such file or directory$'):
        durable.write_durably(here, fd, b"file", b"new")
    os.close(fd)


def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, directory_fd: int) -> None:
    """A file size limit stands for the disk: the kernel writes a part, and refuses the rest."""
    (tmp_path / "file").write_text("old")
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = _write_beyond_a_limit(directory_fd)
        finally:
            os._exit(code)
    assert 7 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert "old" == (tmp_path / "file").read_text()
    assert ["file"] == os.listdir(tmp_path)


def test_what_is_not_a_file_of_ours_is_not_read(tmp_path: Path, directory_fd: int) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(bytes(11))
    (tmp_path / "link").symlink_to("large")
    for name, words in ((b"fifo", "not a regular file"), (b"large", "more than 10 bytes")):
        with pytest.raises(HoldfastError, match=words):
            durable.read_ours(directory_fd, name, 10)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        durable.read_ours(directory_fd, b"link", 20)
    assert bytes(11) == durable.read_ours(directory_fd, b"large", 11)


def _write_beyond_a_limit(directory_fd: int) -> int:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        durable.write_durably(here, directory_fd, b"file", bytes(10000))
    except CallFailed as error:
        return 7 if str(error) == 'write "file": File too large' else 2
    return 3
