"""A tmpfs that gets a copy of what it hides."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from support.trees import DEV, parse, whole_tree

from holdfast.runtime.sys.call import CallFailed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root


def copied(*options: str) -> dict[str, Any]:
    return {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", *options]}


@pytest.fixture
def data(rootfs: Path) -> Path:
    """Give a directory of the rootfs with something of each kind in it."""
    top = rootfs / "data"
    (top / "one/two/three").mkdir(parents=True)
    (top / "one/file").write_bytes(b"x" * 300_000)
    (top / "one/file").chmod(0o640)
    os.chown(top / "one/file", 11, 12)
    (top / "empty").touch()
    (top / "program").write_text("#!")
    (top / "program").chmod(0o6755)
    (top / "one/link").symlink_to("../../etc/passwd")
    (top / "sticky").mkdir()
    (top / "sticky").chmod(0o1777)
    os.chown(top, 7, 8)
    top.chmod(0o750)
    return top


@pytest.mark.parametrize("userns", [False, True])
def test_copy_is_like_the_original(rootfs: Path, data: Path, userns: bool) -> None:
    if userns:
        for path in [data, *data.rglob("*")]:
            os.chown(path, 100007, 100008, follow_symlinks=False)
    with whole_tree(parse(rootfs, [DEV, copied()], userns=userns)) as made:
        copy = made.path("/data")
        found = {os.fspath(path.relative_to(copy)) for path in copy.rglob("*")}
        assert {os.fspath(path.relative_to(data)) for path in data.rglob("*")} == found
        for path in (data, *data.rglob("*")):
            there, here = (copy / path.relative_to(data)).lstat(), path.lstat()
            assert (here.st_uid, here.st_gid) == (there.st_uid, there.st_gid)
            assert here.st_mode & ~0o6000 == there.st_mode
        assert (data / "one/file").read_bytes() == (copy / "one/file").read_bytes()
        assert "../../etc/passwd" == os.readlink(copy / "one/link")
        (copy / "one/file").write_text("changed")
    assert 300_000 == (data / "one/file").stat().st_size


def test_what_could_be_misused_is_left_out(rootfs: Path, data: Path) -> None:
    os.mkfifo(data / "fifo")
    os.mknod(data / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with whole_tree(parse(rootfs, [copied()])) as made:
        names = os.listdir(made.path("/data"))
        assert not {"fifo", "null"} & set(names)
        assert 0o755 == stat.S_IMODE(made.path("/data/program").stat().st_mode)


def test_large_directory_is_copied_whole(rootfs: Path) -> None:
    (rootfs / "data").mkdir()
    for i in range(3000):
        (rootfs / f"data/a-rather-long-name-of-a-file-number-{i}").touch()
    with whole_tree(parse(rootfs, [copied()])) as made:
        assert 3000 == len(os.listdir(made.path("/data")))


@pytest.mark.usefixtures("data")
def test_readonly_copy_is_filled_first(rootfs: Path) -> None:
    with whole_tree(parse(rootfs, [copied("ro")])) as made:
        assert 300_000 == made.path("/data/one/file").stat().st_size
        assert made.mounts()["/data"].options.startswith(b"ro")


@pytest.mark.usefixtures("data")
def test_copy_that_does_not_fit_is_told(rootfs: Path) -> None:
    with (
        pytest.raises(CallFailed, match='mount "tmpfs" on "/data": No space left on device'),
        whole_tree(parse(rootfs, [copied("size=64k")])),
    ):
        pass


def test_missing_directory_is_an_empty_tmpfs(rootfs: Path) -> None:
    with whole_tree(parse(rootfs, [copied()])) as made:
        assert [] == os.listdir(made.path("/data"))
