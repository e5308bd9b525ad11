"""Options and paths that try to be more than one: S24 of the attack list."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.bundle import busybox_rootfs
from support.trees import DEV, parse, tree, whole_tree

from holdfast.runtime.sys.call import CallFailed

if TYPE_CHECKING:
    from pathlib import Path

    from support.hosts import Host

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("leftovers")]

NAMES = [
    "a:b,upperdir=x",
    "comma,size=1",
    "back\\slash",
    "space and\nnewline",
    '"quoted"',
    "üñí",
    "per%cent",
]


@pytest.mark.parametrize("name", NAMES)
def test_rootfs_and_source_may_have_any_name(tmp_path: Path, name: str) -> None:
    made_rootfs = busybox_rootfs(tmp_path / name / "rootfs")
    (tmp_path / name / "data,ro").mkdir()
    (tmp_path / name / "data,ro/here").touch()
    bind = {"destination": f"/mnt/{name}", "source": f"{tmp_path}/{name}/data,ro", "options": ["bind"]}
    with whole_tree(parse(made_rootfs, [DEV, bind])) as made:
        assert ["here"] == os.listdir(made.path(f"/mnt/{name}"))


def test_value_with_a_comma_is_one_value(rootfs: Path) -> None:
    tmpfs = {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m,mode=0777"]}
    reason = 'option "size=1m,mode=0777": Invalid argument'
    with tree(parse(rootfs, [tmpfs])) as made, pytest.raises(CallFailed, match=reason):
        made.mount()


def test_control_value_with_a_comma_is_two_for_mount(tmp_path: Path, host: Host) -> None:
    (tmp_path / "mnt").mkdir()
    options = "size=1m,mode=0777"
    subprocess.run(
        ["/bin/busybox", "mount", "-t", "tmpfs", "-o", options, "tmpfs", tmp_path / "mnt"], check=True
    )
    assert 0o40777 == (tmp_path / "mnt").stat().st_mode
    assert host


def test_directory_of_an_overlay_may_have_a_comma(rootfs: Path, tmp_path: Path) -> None:
    for name in ("low,upperdir=up", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "low,upperdir=up/file").touch()
    layers = f"lowerdir={tmp_path}/low,upperdir=up:{tmp_path}/empty"
    overlay = {"destination": "/mnt", "type": "overlay", "source": "overlay", "options": [layers]}
    with whole_tree(parse(rootfs, [overlay])) as made:
        assert ["file"] == os.listdir(made.path("/mnt"))
        assert made.mounts()["/mnt"].type == b"overlay"
