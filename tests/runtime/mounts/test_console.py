"""/dev/console is the container's end of its terminal."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from support.trees import DEFAULT_MOUNTS, PROC, parse, tree

from holdfast.runtime.mounts.console import mount_console
from holdfast.runtime.process import terminal

if TYPE_CHECKING:
    from pathlib import Path

    from support.trees import JSON

pytestmark = pytest.mark.root

PTS_ALONE = {
    "destination": "/dev/pts",
    "type": "devpts",
    "source": "devpts",
    "options": ["newinstance", "ptmxmode=666"],
}


@pytest.mark.parametrize("userns", [False, True])
@pytest.mark.parametrize(
    "mounts", [DEFAULT_MOUNTS, (PROC, PTS_ALONE)], ids=["dev-mounted", "dev-of-the-image"]
)
@pytest.mark.parametrize("plant", ["nothing", "link", "file"])
def test_console_is_the_pty_whatever_the_image_has_there(
    rootfs: Path, tmp_path: Path, userns: bool, mounts: tuple[JSON, ...], plant: str
) -> None:
    """S8."""
    target = tmp_path / "target"
    target.write_text("untouched")
    if plant == "link":
        (rootfs / "dev/console").symlink_to(target)
    elif plant == "file":
        (rootfs / "dev/console").write_text("of the image")
    if userns:
        os.chown(rootfs / "dev", 100000, 100000)
    (rootfs / "dev/pts").mkdir()
    with tree(parse(rootfs, mounts, userns=userns)) as made:
        made.mount()
        made.make_devices()
        ptm_fd, pts = terminal.open_pty(made.x, made.rootfs, (24, 80))
        mount_console(made.x, made.rootfs, pts)
        made.pivot()
        made.lock()
        console = made.path("/dev/console")
        assert stat.S_ISCHR(console.lstat().st_mode)
        assert made.path("/dev/pts/0").stat().st_rdev == console.lstat().st_rdev
        assert (0, "") == made.init.run("/bin/sh", "-c", "echo heard > /dev/console")
        assert b"heard\r\n" == os.read(ptm_fd, 100)
        os.close(ptm_fd)
    assert "untouched" == target.read_text()
