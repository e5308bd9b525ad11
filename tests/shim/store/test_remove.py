from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.shim.store.remove import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_tree_with_everything_in_it_goes(tmp_path: Path, parent: int) -> None:
    top = tmp_path / "top"
    (top / "a/b/c").mkdir(parents=True)
    (top / "a/b/c/file").touch()
    (top / "a/empty").mkdir()
    (top / "a/link").symlink_to("/etc")
    (top / "a/b/dangling").symlink_to("nowhere")
    os.mkfifo(top / "a/fifo")
    os.mknod(top / "a/null", 0o20666, os.makedev(1, 3))
    os.mkdir(os.fsencode(top) + b"/a/b/\xff\n")
    remove_tree(parent, b"top")
    assert [] == list(tmp_path.iterdir())


def test_what_is_not_there_is_no_error(parent: int) -> None:
    remove_tree(parent, b"nothing")


def test_a_tree_deeper_than_any_recursion_or_descriptor_table_goes(tmp_path: Path, parent: int) -> None:
    (tmp_path / "top").mkdir()
    fd = os.open(tmp_path / "top", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        deeper = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(fd)
    remove_tree(parent, b"top")
    assert [] == list(tmp_path.iterdir())


def test_a_link_to_a_directory_is_not_followed(tmp_path: Path, parent: int) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("data")
    (tmp_path / "top/rootfs").mkdir(parents=True)
    (tmp_path / "top/rootfs/link").symlink_to(tmp_path / "precious")
    (tmp_path / "top/rootfs/up").symlink_to("../../precious")
    remove_tree(parent, b"top")
    assert "data" == (tmp_path / "precious/file").read_text()


@pytest.mark.parametrize("name", ["mnt", "with space\n"])
def test_a_bind_mount_below_is_told_and_nothing_is_removed(tmp_path: Path, parent: int, name: str) -> None:
    precious, target = tmp_path / "precious", tmp_path / "top/rootfs" / name
    precious.mkdir()
    (precious / "file").write_text("data")
    target.mkdir(parents=True)
    (tmp_path / "top/other").touch()
    subprocess.run(["mount", "--bind", precious, target], check=True)
    try:
        with pytest.raises(HoldfastError, match="is mounted; unmount it first"):
            remove_tree(parent, b"top")
        assert (tmp_path / "top/other").exists()
        assert "data" == (precious / "file").read_text()
    finally:
        subprocess.run(["umount", target], check=True)
    remove_tree(parent, b"top")


def test_a_mount_that_comes_after_the_look_is_not_entered(
    tmp_path: Path, parent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look at the mount table is patched out: the kernel alone must keep the removal on its side."""
    precious, target = tmp_path / "precious", tmp_path / "top/rootfs/mnt"
    precious.mkdir()
    (precious / "file").write_text("data")
    target.mkdir(parents=True)
    subprocess.run(["mount", "--bind", precious, target], check=True)
    monkeypatch.setattr("holdfast.shim.store.remove.mount_points", list)
    try:
        with pytest.raises(OSError, match='remove "mnt": Device or resource busy'):
            remove_tree(parent, b"top")
        assert "data" == (precious / "file").read_text()
    finally:
        (moved,) = tmp_path.glob("top/.removing-*/mnt")
        subprocess.run(["umount", moved], check=True)
    remove_tree(parent, b"top")
    assert ["precious"] == [path.name for path in tmp_path.iterdir()]


def test_a_file_that_cannot_be_removed_is_told_and_a_later_try_goes_on(tmp_path: Path, parent: int) -> None:
    stubborn = tmp_path / "top/a/b/immutable"
    stubborn.parent.mkdir(parents=True)
    stubborn.touch()
    subprocess.run(["chattr", "+i", stubborn], check=True)
    with pytest.raises(OSError, match='remove "immutable": Operation not permitted'):
        remove_tree(parent, b"top")
    (left,) = tmp_path.rglob("immutable")
    subprocess.run(["chattr", "-i", left], check=True)
    remove_tree(parent, b"top")
    assert [] == list(tmp_path.iterdir())
