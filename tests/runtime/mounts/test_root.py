"""The rootfs becomes the root, in three ways."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from support.inits import USUAL, new_init
from support.trees import parse, tree

from holdfast.runtime.mounts import root
from holdfast.runtime.paths import Rootfs
from holdfast.runtime.sys import files, mount
from holdfast.runtime.sys.call import CallFailed, number_of
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from pathlib import Path

    from support.hosts import Host

    from holdfast.runtime.sys.call import Executor

pytestmark = pytest.mark.root


@pytest.mark.parametrize("userns", [False, True])
def test_rootfs_is_attached_where_the_bundle_has_it(rootfs: Path, userns: bool) -> None:
    with tree(parse(rootfs, [], userns=userns)) as made:
        line = [one for one in made.init.mountinfo().split(b"\n") if os.fsencode(rootfs) in one]
        assert 1 == len(line)
        assert os.fsencode(rootfs) == line[0].split(b" ")[4]
        assert os.path.samestat(rootfs.stat(), made.path("/").stat())


@pytest.mark.parametrize("userns", [False, True])
def test_after_the_pivot_nothing_but_the_rootfs_is_mounted(rootfs: Path, userns: bool) -> None:
    with tree(parse(rootfs, [], userns=userns)) as made:
        made.pivot()
        assert {"/"} == set(made.mounts())
        assert "/" == os.readlink(f"/proc/{made.init.pid}/cwd")


def test_rootfs_may_be_a_mount_point_and_the_hosts_root() -> None:
    with tree(parse("/", [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}])) as made:
        made.mount()
        made.pivot()
        assert b"tmpfs" == made.mounts()["/tmp"].type
        assert os.path.samestat(os.stat("/etc/passwd"), made.path("/etc/passwd").stat())
        assert 0 == made.init.run("/bin/ls", "/etc/passwd")[0]


@pytest.mark.parametrize("userns", [False, True])
def test_without_pivot_the_rootfs_is_the_root_too(rootfs: Path, userns: bool) -> None:
    with tree(parse(rootfs, userns=userns)) as made:
        made.mount()
        made.make_devices()
        old = files.open_path(made.x, b"/", files.O_DIRECTORY_PATH)
        root.move_and_chroot(made.x, made.rootfs, made.init.mountinfo())
        made.lock()
        for left in (b"proc/self", b"sys/kernel"):
            gone = made.x.do(files.openat(old, left, files.O_PATH).accepting(errno.ENOENT))
            made.x.flush()
            assert -errno.ENOENT == number_of(gone)
        assert (0, "/\n/proc/1\n") == made.init.run("/bin/sh", "-c", "cd ..; pwd; ls -d /proc/1")


def test_without_a_mount_namespace_the_process_alone_changes_its_root(rootfs: Path) -> None:
    with new_init(USUAL & ~0x20000) as init:
        top = Rootfs(init.x, files.open_path(init.x, os.fsencode(rootfs), files.O_DIRECTORY_PATH))
        root.change_root(init.x, top)
        init.x.flush()
        assert (0, "/\n") == init.run("/bin/sh", "-c", "cd ..; pwd")


def test_unmounting_the_old_root_unmounts_nothing_on_the_host(
    rootfs: Path, tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if something was still shared with it: that would take the host's own mounts away."""

    def isolate_badly(x: Executor) -> None:
        x.do(mount.mount_setattr(AT_FDCWD, path=b"/", propagation=mount.MS_PRIVATE))

    monkeypatch.setattr("holdfast.runtime.mounts.propagation.isolate", isolate_badly)
    volume = host.tmpfs(tmp_path / "volume", propagation=mount.MS_SHARED)
    host.tmpfs(volume / "inner")
    with tree(parse(rootfs, [])) as made:
        made.pivot()
        assert os.path.ismount(volume / "inner")


def test_pivot_that_fails_is_told(rootfs: Path) -> None:
    with new_init() as init:
        top = Rootfs(init.x, files.open_path(init.x, os.fsencode(rootfs), files.O_DIRECTORY_PATH))
        root.pivot(init.x, top)
        with pytest.raises(CallFailed, match="make the rootfs the root: Device or resource busy"):
            init.x.flush()
