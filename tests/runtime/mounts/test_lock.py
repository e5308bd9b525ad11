"""Read-only and masked paths, and the read-only root."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.trees import DEFAULT_MOUNTS, parse, tree, whole_tree

if TYPE_CHECKING:
    from pathlib import Path

    from support.hosts import Host

pytestmark = pytest.mark.root


@pytest.mark.parametrize("userns", [False, True])
def test_masked_file_is_empty_and_masked_directory_too(rootfs: Path, userns: bool) -> None:
    (rootfs / "etc/secret").write_text("secret")
    (rootfs / "etc/secrets").mkdir()
    (rootfs / "etc/secrets/one").write_text("secret")
    masked = ["/etc/secret", "/etc/secrets", "/sys/firmware", "/proc/keys", "/missing", "/missing/too"]
    with whole_tree(parse(rootfs, userns=userns, maskedPaths=masked)) as made:
        assert b"" == made.path("/etc/secret").read_bytes()
        assert [] == os.listdir(made.path("/etc/secrets"))
        found = made.mounts()
        assert b"ro,nosuid,noexec,relatime" == found["/proc/keys"].options
        assert b"/null" == found["/proc/keys"].root
        assert b"ro,nosuid,nodev,noexec,relatime" == found["/sys/firmware"].options
        assert found["/sys/firmware"].root == found["/etc/secrets"].root == b"/"
        assert made.path("/sys/firmware").stat().st_dev == made.path("/etc/secrets").stat().st_dev
        code, output = made.init.run(
            "/bin/sh", "-c", "touch /etc/secrets/x; cat /etc/secret /proc/keys; ls /sys/firmware"
        )
        assert (0, "touch: /etc/secrets/x: Read-only file system") == (code, output.strip())


def test_masked_link_masks_what_it_leads_to(rootfs: Path) -> None:
    (rootfs / "etc/secret").write_text("secret")
    (rootfs / "link").symlink_to("/etc/secret")
    with whole_tree(parse(rootfs, maskedPaths=["/link"])) as made:
        assert (0, "") == made.init.run("/bin/cat", "/etc/secret")


def test_mask_holds_only_one_inode_even_for_root(rootfs: Path) -> None:
    """Also if the container's root makes it writable again."""
    with whole_tree(parse(rootfs, maskedPaths=["/etc"])) as made:
        code, output = made.init.run("/bin/sh", "-c", "mount -o remount,rw /etc && echo x > /etc/x")
        assert "No space left on device" in output
        assert code


def test_many_masked_paths_take_several_batches(rootfs: Path) -> None:
    names = [f"/etc/{i}" for i in range(130)]
    for name in names:
        (rootfs / name[1:]).write_text("secret")
    with whole_tree(parse(rootfs, maskedPaths=names)) as made:
        assert all(b"" == made.path(name).read_bytes() for name in names)


@pytest.mark.parametrize("userns", [False, True])
def test_readonly_path_is_readonly_with_all_that_is_mounted_below(rootfs: Path, userns: bool) -> None:
    inner = {"destination": "/mnt/inner", "type": "tmpfs", "source": "tmpfs"}
    outer = {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]}
    mounts = [*DEFAULT_MOUNTS, outer, inner]
    with whole_tree(
        parse(rootfs, mounts, userns=userns, readonlyPaths=["/proc/sys", "/mnt", "/missing"])
    ) as made:
        found = made.mounts()
        assert b"ro,nosuid,relatime" == found["/mnt"].options
        assert found["/mnt/inner"].options.startswith(b"ro")
        assert found["/proc/sys"].options.startswith(b"ro")
        assert found["/proc"].options.startswith(b"rw")
        with pytest.raises(OSError, match="Read-only"):
            made.path("/proc/sys/kernel/hostname").write_text("x")


def test_path_can_be_masked_below_a_readonly_one(rootfs: Path) -> None:
    (rootfs / "etc/secret").write_text("secret")
    with whole_tree(parse(rootfs, readonlyPaths=["/etc"], maskedPaths=["/etc/secret"])) as made:
        assert b"" == made.path("/etc/secret").read_bytes()


@pytest.mark.parametrize("userns", [False, True])
def test_readonly_root_is_readonly_and_mounts_in_it_are_not(rootfs: Path, userns: bool) -> None:
    with whole_tree(parse(rootfs, readonly=True, userns=userns)) as made:
        code, output = made.init.run("/bin/sh", "-c", "touch /dev/shm/x && touch /x")
        assert (1, "touch: /x: Read-only file system") == (code, output.strip())
    (rootfs / "x").touch()


def test_rootfs_on_a_readonly_mount_works(rootfs: Path, host: Host, tmp_path: Path) -> None:
    """What is needed must be there already; nothing is written."""
    top = host.tmpfs(tmp_path / "readonly")
    for name in ("proc", "dev", "sys", "bin", "mnt"):
        (top / name).mkdir()
    (top / "bin/busybox").write_bytes((rootfs / "bin/busybox").read_bytes())
    (top / "bin/busybox").chmod(0o755)
    host.make_readonly(top)
    with whole_tree(parse(top, readonly=True, maskedPaths=["/proc/keys"])) as made:
        assert (0, "works\n") == made.init.run("/bin/busybox", "echo", "works")


def test_loop_of_links_in_a_masked_path_is_an_error(rootfs: Path) -> None:
    """Only what does not exist is skipped; anything else could be a secret that stays open."""
    (rootfs / "loop").symlink_to("loop")
    with tree(parse(rootfs, maskedPaths=["/loop"])) as made:
        made.mount()
        made.pivot()
        with pytest.raises(OSError, match="Too many levels"):
            made.lock()
