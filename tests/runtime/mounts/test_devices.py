"""Device nodes and the links of /dev, made for real."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from support.trees import DEFAULT_MOUNTS, DEV, PROC, parse, tree, whole_tree

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.sys.call import CallFailed

if TYPE_CHECKING:
    from pathlib import Path

    from support.trees import Tree

pytestmark = pytest.mark.root

DEFAULTS = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
KMSG = {"type": "c", "path": "/dev/kmsg", "major": 1, "minor": 11}


def device(made: Tree, path: str) -> tuple[int, tuple[int, int]]:
    status = made.path(path).lstat()
    return status.st_mode, (os.major(status.st_rdev), os.minor(status.st_rdev))


@pytest.mark.parametrize("userns", [False, True])
@pytest.mark.parametrize("mounts", [DEFAULT_MOUNTS, (PROC,)], ids=["dev-mounted", "dev-of-the-image"])
def test_default_devices_and_links_are_there(
    rootfs: Path, userns: bool, mounts: tuple[dict[str, Any], ...]
) -> None:
    if userns and mounts == (PROC,):
        os.chown(rootfs / "dev", 100000, 100000)
    with whole_tree(parse(rootfs, mounts, userns=userns)) as made:
        for name, number in DEFAULTS.items():
            assert (stat.S_IFCHR | 0o666, number) == device(made, f"/dev/{name}")
        assert LINKS == {name: os.readlink(made.path(f"/dev/{name}")) for name in LINKS}
        assert "pts/ptmx" == os.readlink(made.path("/dev/ptmx"))
        code, output = made.init.run("/bin/sh", "-c", "echo lost > /dev/null && head -c 3 /dev/zero | wc -c")
        assert (0, "3") == (code, output.strip())


def test_configured_devices_have_exactly_the_mode_and_the_owner_that_is_asked_for(rootfs: Path) -> None:
    wanted = [
        {**KMSG, "fileMode": 0o777, "uid": 11, "gid": 12},
        {"type": "b", "path": "/dev/deep/er/disk", "major": 7, "minor": 0, "fileMode": 0o4640},
        {"type": "p", "path": "/somewhere/pipe", "fileMode": 0o622, "gid": 3},
        {"type": "u", "path": "/dev/unbuffered", "major": 1, "minor": 5},
    ]
    old = os.umask(0o077)
    try:
        with tree(parse(rootfs, devices=wanted)) as made:
            made.make_devices()
            made.pivot()
            assert (stat.S_IFCHR | 0o777, (1, 11)) == device(made, "/dev/kmsg")
            assert (stat.S_IFBLK | 0o640, (7, 0)) == device(made, "/dev/deep/er/disk")
            assert (stat.S_IFIFO | 0o622, (0, 0)) == device(made, "/somewhere/pipe")
            assert (stat.S_IFCHR | 0o666, (1, 5)) == device(made, "/dev/unbuffered")
            owners = [
                made.path(path).stat()[4:6] for path in ("/dev/kmsg", "/dev/deep/er/disk", "/somewhere/pipe")
            ]
            assert [(11, 12), (0, 0), (0, 3)] == owners
    finally:
        os.umask(old)


def test_existing_node_that_matches_is_fine(rootfs: Path) -> None:
    os.mknod(rootfs / "dev/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with whole_tree(parse(rootfs, [])) as made:
        assert (stat.S_IFCHR | 0o600, (1, 3)) == device(made, "/dev/null")


@pytest.mark.parametrize("plant", ["file", "link", "other device", "directory"])
def test_anything_else_in_the_way_is_told(rootfs: Path, plant: str) -> None:
    path = rootfs / "dev/null"
    if plant == "file":
        path.touch()
    elif plant == "link":
        path.symlink_to("zero")
    elif plant == "directory":
        path.mkdir()
    else:
        os.mknod(path, stat.S_IFCHR, os.makedev(1, 5))
    with pytest.raises(HoldfastError) as failure, whole_tree(parse(rootfs, [])):
        pass
    assert 'default device "/dev/null": "/dev/null" exists and is not the character device 1:3' == str(
        failure.value
    )


def test_file_that_is_to_get_an_owner_is_not_one_that_is_mounted(rootfs: Path) -> None:
    """The owner of the host's node must not change."""
    bind = {"destination": "/dev/kmsg", "source": "/dev/kmsg", "options": ["bind"]}
    before = os.stat("/dev/kmsg")
    with (
        pytest.raises(CallFailed, match="set the owner"),
        whole_tree(parse(rootfs, [DEV, bind], devices=[{**KMSG, "uid": 11}])),
    ):
        pass
    assert before.st_uid == os.stat("/dev/kmsg").st_uid


def test_configured_device_is_the_hosts_own_in_a_user_namespace(rootfs: Path) -> None:
    owner = os.stat("/dev/kmsg").st_uid
    wanted = [{**KMSG, "uid": 1000}, {"type": "p", "path": "/dev/pipe"}]
    with whole_tree(parse(rootfs, userns=True, devices=wanted)) as made:
        assert made.path("/dev/pipe").is_fifo()
        assert owner == os.stat("/dev/kmsg").st_uid
        assert (1, 11) == device(made, "/dev/kmsg")[1]
        assert b"devtmpfs" == made.mounts()["/dev/kmsg"].type
        assert b"rw,nosuid,noexec,relatime" == made.mounts()["/dev/kmsg"].options


def test_configured_device_that_the_host_has_not_is_told_in_a_user_namespace(rootfs: Path) -> None:
    other = {"type": "c", "path": "/dev/null", "major": 1, "minor": 5}
    with (
        pytest.raises(HoldfastError, match=r"linux.devices\[0\]: .*is not the character device 1:5"),
        whole_tree(parse(rootfs, userns=True, devices=[other])),
    ):
        pass


def test_dev_that_is_bound_from_the_host_is_left_alone(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    bind = {"destination": "/dev", "source": os.fspath(tmp_path / "dev"), "options": ["bind"]}
    with whole_tree(parse(rootfs, [bind], devices=[KMSG])):
        assert [] == os.listdir(tmp_path / "dev")


def test_links_of_the_image_stay_but_ptmx_is_ours(rootfs: Path) -> None:
    (rootfs / "dev/stdin").symlink_to("elsewhere")
    (rootfs / "dev/ptmx").symlink_to("/elsewhere")
    with whole_tree(parse(rootfs, [])) as made:
        assert "elsewhere" == os.readlink(made.path("/dev/stdin"))
        assert "pts/ptmx" == os.readlink(made.path("/dev/ptmx"))


def test_readonly_dev_that_has_everything_is_fine(rootfs: Path, tmp_path: Path) -> None:
    for name, number in DEFAULTS.items():
        os.mknod(rootfs / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(*number))
    for name, target in {**LINKS, "ptmx": "pts/ptmx"}.items():
        (rootfs / "dev" / name).symlink_to(target)
    (tmp_path / "empty").mkdir()
    layers = f"lowerdir={rootfs}/dev:{tmp_path}/empty"
    overlay = {"destination": "/dev", "type": "overlay", "source": "overlay", "options": [layers, "ro"]}
    with whole_tree(parse(rootfs, [overlay])) as made:
        assert b"overlay" == made.mounts()["/dev"].type
