"""A filesystem that is soon full."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from holdfast.runtime.sys import mount
from holdfast.runtime.sys.executor import here
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOM = 256 << 10


class SmallDisk:
    """A tmpfs with room for 256 KiB."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, *, but_bytes: int = 0) -> None:
        """Fill the disk, but for some room."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
            file.truncate(file.tell() - but_bytes)

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Mount a small disk for the time of a test."""
    path = tmp_path / "disk"
    path.mkdir()
    fd = mount.new_filesystem(here, b"tmpfs", [(b"size", b"%d" % ROOM)], 0)
    here.do(mount.move_mount(fd, AT_FDCWD, os.fsencode(path)))
    os.close(int(fd))  # type: ignore[arg-type]
    yield SmallDisk(path)
    here.do(mount.umount2(os.fsencode(path), mount.MNT_DETACH))
