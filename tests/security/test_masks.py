"""What hides the machine's own files is swapped under our hands: S6, S7, S59 of the attack list."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.trees import DEFAULT_MOUNTS, parse, tree, whole_tree

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.mounts.bind import Source
from holdfast.runtime.sys import files, mount
from holdfast.shim.bundle import config as bundle

if TYPE_CHECKING:
    from pathlib import Path

    from support.trees import Tree

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("leftovers")]

VICTIM = "/proc/sys/kernel/hostname"
"""Of the container's own uts namespace: harmless, but a file of procfs that can be written to."""


def swap_null(made: Tree) -> None:
    """Do what a process that shares the rootfs can do, once the devices are there (CVE-2025-31133)."""
    null = made.path("/dev/null")
    null.unlink()
    null.symlink_to(VICTIM)


def test_null_device_that_was_swapped_is_not_what_masks(rootfs: Path) -> None:
    with tree(parse(rootfs, maskedPaths=["/proc/keys", "/etc/passwd"])) as made:
        made.mount()
        made.make_devices()
        swap_null(made)
        made.pivot()
        made.lock()
        mounts = made.mounts()
        for path in ("/proc/keys", "/etc/passwd"):
            assert (b"devtmpfs", b"/null") == (mounts[path].type, mounts[path].root)
            assert mounts[path].options.startswith(b"ro")
        code, output = made.init.run("/bin/sh", "-c", "echo owned > /proc/keys; cat /etc/passwd; hostname")
        assert 0 == code
        assert "owned" not in output


def test_control_null_device_of_the_container_would_open_the_victim(rootfs: Path) -> None:
    with tree(parse(rootfs, maskedPaths=["/proc/keys"])) as made:
        made.mount()
        made.make_devices()
        swap_null(made)
        made.pivot()
        fake = made.x.do(mount.open_tree(made.rootfs.fd, b"dev/null"))
        made.sources.null = Source(fake, is_directory=False)
        made.lock()
        code, output = made.init.run("/bin/sh", "-c", "echo owned > /proc/keys; hostname")
        assert (0, "owned\n") == (code, output)


def test_hosts_null_device_that_is_none_is_refused(
    rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's own is checked as well: in a nested container it may be anything."""
    fake = tmp_path / "null"
    fake.touch()
    original = mount.open_tree

    def open_tree(directory: int, path: bytes, **how: bool) -> object:
        return original(directory, os.fsencode(fake) if path == b"/dev/null" else path, **how)

    monkeypatch.setattr(mount, "open_tree", open_tree)
    with (
        pytest.raises(HoldfastError, match="it is not the null device"),
        tree(parse(rootfs, maskedPaths=["/proc/keys"])),
    ):
        pass


@pytest.mark.parametrize("userns", [False, True])
def test_usual_masks_cannot_be_read_by_root(rootfs: Path, userns: bool) -> None:
    """S59: each path of the default set that this kernel has."""
    masked, readonly = list(bundle._MASKED), list(bundle._READ_ONLY)
    parsed = parse(rootfs, DEFAULT_MOUNTS, userns=userns, maskedPaths=masked, readonlyPaths=readonly)
    with whole_tree(parsed) as made:
        for path in masked:
            target = made.path(path)
            if target.is_dir():
                assert [] == os.listdir(target)
            elif target.exists():
                assert b"" == target.read_bytes()
        for path in readonly:
            if made.path(path).exists():
                assert made.mounts()[path].options.startswith(b"ro")
        code, output = made.init.run("/bin/sh", "-c", "echo 1 > /proc/sys/vm/drop_caches")
        assert code
        assert "Read-only file system" in output


def test_masks_stay_though_the_image_has_links_there(rootfs: Path) -> None:
    """A masked path that is a link into the image's own files masks these, and nothing outside."""
    (rootfs / "secrets").mkdir()
    (rootfs / "alias").symlink_to("../../../../secrets")
    with whole_tree(parse(rootfs, maskedPaths=["/alias"])) as made:
        assert b"ro,nosuid,nodev,noexec,relatime" == made.mounts()["/secrets"].options


def test_descriptor_of_the_swap_does_not_help(rootfs: Path) -> None:
    """The target of a mask is opened once; swapping it afterwards does not move the mask."""
    (rootfs / "etc/one").write_text("secret")
    (rootfs / "etc/two").write_text("other")
    with tree(parse(rootfs, [], maskedPaths=["/etc/one"])) as made:
        made.pivot()
        found = made.rootfs.find_all([b"/etc/one"])
        os.rename(rootfs / "etc/one", rootfs / "etc/moved")
        os.rename(rootfs / "etc/two", rootfs / "etc/one")
        assert found[0] is not None
        null = made.sources.null.tree
        made.x.do(mount.move_mount(null, found[0].fd))
        made.x.flush()
        assert "other" == made.path("/etc/one").read_text()
        assert b"" == made.path("/etc/moved").read_bytes()
        assert files.O_PATH
