"""A mount namespace that stands for the host's, for tests that mount something on the host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from holdfast.runtime.sys import files, mount, process
from holdfast.runtime.sys.executor import here
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def host() -> Iterator[Host]:
    """Put this process into a private copy of the host's mount namespace, until the test is over."""
    outside = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    directory = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
    here.do(process.unshare(process.CLONE_NEWNS))
    here.do(mount.mount_setattr(AT_FDCWD, path=b"/", propagation=mount.MS_PRIVATE, recursive=True))
    try:
        yield Host()
    finally:
        here.do(process.setns(outside, process.CLONE_NEWNS))
        os.fchdir(directory)
        os.close(outside)
        os.close(directory)


class Host:
    """The host's file tree, which a test may mount in."""

    def tmpfs(self, path: Path, *, attributes: int = 0, propagation: int = mount.MS_PRIVATE) -> Path:
        """Mount a tmpfs at a path, which is made. Returns the path."""
        path.mkdir(parents=True, exist_ok=True)
        tree = mount.new_filesystem(here, b"tmpfs", [(b"mode", b"755")], attributes)
        here.do(mount.move_mount(tree, AT_FDCWD, os.fsencode(path)))
        here.do(mount.mount_setattr(tree, propagation=propagation))
        here.do(files.close(tree))
        return path

    def make_readonly(self, path: Path) -> None:
        """Make what is mounted at a path read-only."""
        call = mount.mount_setattr(AT_FDCWD, path=os.fsencode(path), set_=mount.MOUNT_ATTR_RDONLY)
        here.do(call)
