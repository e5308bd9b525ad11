"""Ways back to the host after the pivot: S3, S13, S16 of the attack list."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.trees import DEFAULT_MOUNTS, parse, tree, whole_tree

from holdfast.runtime.mounts import root
from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import ACCEPT_ANY, Out, number_of
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from pathlib import Path

    from support.trees import Tree

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("leftovers")]


def places_by_descriptor(made: Tree) -> list[bytes]:
    """Have init change to what each of its descriptors is open on. Returns where it was then."""
    places = []
    for fd in range(3, 64):
        place = Out(4096)
        went = made.x.do(files.chdir(b"/proc/self/fd/%d" % fd).accepting(ACCEPT_ANY))
        made.x.do(files.getcwd(place).accepting(ACCEPT_ANY))
        made.x.flush()
        if number_of(went) == 0:
            places.append(place.data.partition(b"\0")[0])
    return places


def climb(made: Tree) -> int:
    """Do the classic escape from a chroot: change the root below an open directory, go up from there.

    Returns the inode of where that ends.
    """
    x, status = made.x, files.new_stat()
    above = x.do(files.openat(AT_FDCWD, b"/", os.O_RDONLY | os.O_DIRECTORY))
    x.do(files.chroot(b"/tmp"))
    x.do(files.fchdir(above))
    for _ in range(20):
        x.do(files.chdir(b".."))
    x.do(files.statx(AT_FDCWD, b".", status))
    x.flush()
    return files.Stat.of(status).inode


@pytest.mark.parametrize("userns", [False, True])
def test_no_descriptor_of_init_leads_to_the_host(rootfs: Path, userns: bool) -> None:
    """S3 (CVE-2024-21626)."""
    with whole_tree(parse(rootfs, userns=userns)) as made:
        places = places_by_descriptor(made)
        assert places
        assert all(place.startswith(b"/") for place in places)


def test_control_descriptor_from_before_the_pivot_leads_to_the_host(rootfs: Path) -> None:
    with tree(parse(rootfs)) as made:
        made.mount()
        files.open_path(made.x, b"/", files.O_DIRECTORY_PATH)
        made.pivot()
        assert any(place.startswith(b"(unreachable)") for place in places_by_descriptor(made))


@pytest.mark.parametrize("userns", [False, True])
def test_going_up_ends_at_the_rootfs(rootfs: Path, userns: bool) -> None:
    """S13."""
    with whole_tree(parse(rootfs, userns=userns)) as made:
        assert rootfs.stat().st_ino == climb(made)


def test_control_going_up_from_a_chroot_ends_at_the_host(rootfs: Path) -> None:
    with tree(parse(rootfs, [])) as made:
        root.change_root(made.x, made.rootfs)
        assert os.stat("/").st_ino == climb(made)


@pytest.mark.parametrize("userns", [False, True])
def test_mounts_inside_are_those_of_the_configuration_and_no_others(rootfs: Path, userns: bool) -> None:
    with whole_tree(parse(rootfs, userns=userns, maskedPaths=["/proc/keys"])) as made:
        expected = {"/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/proc/keys"}
        nodes = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")}
        assert expected | (nodes if userns else set()) == set(made.mounts())


@pytest.mark.parametrize("userns", [False, True])
def test_unmounting_inside_uncovers_nothing_of_the_host(rootfs: Path, userns: bool) -> None:
    """With all capabilities: what is left below is the rootfs's own, and the root cannot be unmounted."""
    (rootfs / "dev/of-the-image").touch()
    script = "umount -l /dev/null /dev/zero; umount -l /dev; ls /dev; umount -l /; ls -d /etc/shadow /bin"
    with whole_tree(parse(rootfs, userns=userns)) as made:
        output = made.init.run("/bin/sh", "-c", script)[1]
    assert "of-the-image" in output
    assert "ls: /etc/shadow: No such file or directory" in output


def test_hosts_cgroups_cannot_be_written_to_without_a_cgroup_namespace(rootfs: Path) -> None:
    """S16: the tree that is bound then is read-only throughout."""
    mount = {
        "destination": "/sys/fs/cgroup",
        "type": "cgroup2",
        "source": "cgroup",
        "options": ["ro", "nosuid"],
    }
    with whole_tree(parse(rootfs, [*DEFAULT_MOUNTS, mount])) as made:
        found = [one for path, one in made.mounts().items() if path.startswith("/sys/fs/cgroup")]
        assert found
        assert all(one.options.startswith(b"ro,") for one in found)
        output = made.init.run(
            "/bin/sh", "-c", "find /sys/fs/cgroup -maxdepth 2 -type d -exec mkdir {}/x \\;"
        )[1]
        assert output
        assert set() == {line for line in output.splitlines() if "Read-only" not in line}
