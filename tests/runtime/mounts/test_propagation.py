"""Which mounts are seen where: the host is a mount namespace of the test's own, with shared mounts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.trees import parse, tree, whole_tree

from holdfast.protocol.oci import names
from holdfast.runtime.sys import mount
from holdfast.runtime.sys.executor import here
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from support.hosts import Host
    from support.trees import Tree

pytestmark = pytest.mark.root


def rbind(source: Path, destination: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "source": os.fspath(source), "options": ["rbind", *options]}


def mount_inside(made: Tree, path: bytes) -> None:
    """Have init mount something in its tree."""
    tree_fd = mount.new_filesystem(made.x, b"tmpfs", [], 0)
    target = made.rootfs.directory(path)
    made.x.do(mount.move_mount(tree_fd, target))
    made.x.flush()


def host_mounts() -> bytes:
    return Path("/proc/self/mountinfo").read_bytes()


@pytest.mark.parametrize("asked", ["", *names.PROPAGATION])
def test_nothing_that_is_mounted_inside_is_seen_on_a_shared_host(
    rootfs: Path, tmp_path: Path, host: Host, asked: str
) -> None:
    """S14: with every propagation that the rootfs can have."""
    here.do(mount.mount_setattr(AT_FDCWD, path=b"/", propagation=mount.MS_SHARED, recursive=True))
    volume = host.tmpfs(tmp_path / "volume", propagation=mount.MS_SHARED)
    before = host_mounts()
    with whole_tree(parse(rootfs, [rbind(volume, "/mnt", "rprivate")], rootfsPropagation=asked)) as made:
        mount_inside(made, b"tmp")
        mount_inside(made, b"mnt/inner")
        assert before == host_mounts()
        # Nor does what is unmounted inside, all of the host's tree, go on the host.
        assert (volume / "inner").is_dir()


@pytest.mark.parametrize(
    ("asked", "options", "in_", "out"),
    [
        ("", (), True, False),
        ("rslave", (), True, False),
        ("rprivate", (), False, False),
        ("", ("rprivate",), False, False),
        ("rprivate", ("rslave",), False, False),
        ("rshared", (), True, True),
        ("rshared", ("rshared",), True, True),
        ("rshared", ("rslave",), True, False),
        ("rshared", ("rprivate",), False, False),
        ("unbindable", (), True, False),
    ],
)
def test_events_of_a_shared_volume_go_where_was_asked(
    rootfs: Path, tmp_path: Path, host: Host, asked: str, options: tuple[str, ...], in_: bool, out: bool
) -> None:
    volume = host.tmpfs(tmp_path / "volume", propagation=mount.MS_SHARED)
    (volume / "from-inside").mkdir()
    with whole_tree(parse(rootfs, [rbind(volume, "/mnt", *options)], rootfsPropagation=asked)) as made:
        host.tmpfs(volume / "from-host")
        assert in_ == ("/mnt/from-host" in made.mounts())
        mount_inside(made, b"mnt/from-inside")
        assert out == (os.fsencode(volume / "from-inside") in host_mounts())


def test_mounts_of_the_host_below_the_rootfs_do_not_come_in_later(rootfs: Path, host: Host) -> None:
    here.do(mount.mount_setattr(AT_FDCWD, path=b"/", propagation=mount.MS_SHARED, recursive=True))
    with whole_tree(parse(rootfs, [])) as made:
        host.tmpfs(rootfs / "mnt")
        assert "/mnt" not in made.mounts()


@pytest.mark.parametrize(
    ("asked", "expected"), [("shared", b"shared"), ("rshared", b"shared"), ("unbindable", b"unbindable")]
)
def test_root_gets_the_propagation_that_was_asked_for(rootfs: Path, asked: str, expected: bytes) -> None:
    tmpfs = {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs"}
    with whole_tree(parse(rootfs, [tmpfs], rootfsPropagation=asked)) as made:
        found = made.mounts()
        assert found["/"].propagation[0].startswith(expected)
        assert (asked == "rshared") == bool(found["/mnt"].propagation)


@pytest.mark.usefixtures("host")
def test_control_host_would_see_the_mounts_without_the_cut(
    rootfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.do(mount.mount_setattr(AT_FDCWD, path=b"/", propagation=mount.MS_SHARED, recursive=True))
    monkeypatch.setattr("holdfast.runtime.mounts.propagation.isolate", lambda _x: None)
    monkeypatch.setattr("holdfast.runtime.mounts.propagation.cut_off_wholly", lambda _x, _clone: None)
    before = host_mounts()
    with tree(parse(rootfs, [])) as made:
        mount_inside(made, b"tmp")
        assert before != host_mounts()
