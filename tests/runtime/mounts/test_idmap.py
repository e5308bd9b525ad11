"""Binds through which files belong to others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.trees import DEFAULT_MOUNTS, parse, tree, whole_tree

from holdfast.runtime.mounts import idmap
from holdfast.runtime.mounts.bind import IdMap
from holdfast.runtime.procfs import Procfs
from holdfast.runtime.sys.executor import Here, here

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

NOBODY = 4294967294
OVERFLOW = 65534


def bind(
    source: Path | str, destination: str, mappings: list[tuple[int, int, int]], *options: str
) -> dict[str, Any]:
    ids = [{"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in mappings]
    mount: dict[str, Any] = {
        "destination": destination,
        "source": os.fspath(source),
        "options": ["rbind", *options],
    }
    return {**mount, "uidMappings": ids, "gidMappings": ids} if ids else mount


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Give a directory with a file of uid 0 and one of uid 7."""
    (tmp_path / "volume").mkdir()
    for name, owner in (("zero", 0), ("seven", 7)):
        (tmp_path / "volume" / name).touch()
        os.chown(tmp_path / "volume" / name, owner, owner)
    return tmp_path / "volume"


def test_owners_are_seen_through_the_mapping_and_stored_by_it(rootfs: Path, volume: Path) -> None:
    with whole_tree(parse(rootfs, [bind(volume, "/mnt", [(0, 1000, 1), (7, 1007, 1)], "idmap")])) as made:
        assert 1000 == made.path("/mnt/zero").stat().st_uid
        assert (1007, 1007) == made.path("/mnt/seven").stat()[4:6]
        os.chown(made.path("/mnt/zero"), 1007, 1000)
        assert b"idmapped" in made.mounts()["/mnt"].options
    assert (7, 0) == (volume / "zero").stat()[4:6]


def test_ids_of_the_container_are_taken_without_a_mapping(rootfs: Path, volume: Path) -> None:
    mount = bind(volume, "/mnt", [], "idmap")
    with whole_tree(parse(rootfs, [*DEFAULT_MOUNTS, mount], userns=True)) as made:
        assert 100007 == made.path("/mnt/seven").stat().st_uid
        assert (0, "0 7\n") == made.init.run("/bin/sh", "-c", "echo $(stat -c %u /mnt/zero /mnt/seven)")


def test_one_namespace_serves_all_mounts_with_the_same_ids(
    rootfs: Path, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_namespaces = []
    original = idmap.user_namespace

    def counted(proc: Procfs, uid_map: bytes, gid_map: bytes) -> int:
        made_namespaces.append(uid_map)
        return original(proc, uid_map, gid_map)

    monkeypatch.setattr(idmap, "user_namespace", counted)
    mounts = [bind(volume, path, [(0, 1000, 1)]) for path in ("/mnt", "/a", "/b")]
    with whole_tree(parse(rootfs, mounts)) as made:
        assert 1000 == made.path("/b/zero").stat().st_uid
    assert [b"0 1000 1\n"] == made_namespaces


def test_filesystem_that_cannot_map_is_told(rootfs: Path) -> None:
    with (
        pytest.raises(idmap.CannotMap, match='mount "/proc" on "/mnt": map the ids: its filesystem'),
        tree(parse(rootfs, [bind("/proc", "/mnt", [(0, 1000, 1)])])),
    ):
        pass


def test_it_can_be_asked_before_whether_a_filesystem_can_map(tmp_path: Path) -> None:
    ids = IdMap(b"0 1000 1\n", b"0 1000 1\n", recursive=True)
    assert idmap.can_map(Here(), Procfs.shared(), os.fsencode(tmp_path), ids)
    assert not idmap.can_map(Here(), Procfs.shared(), b"/proc", ids)


@pytest.fixture
def canary() -> Iterator[str]:
    """Plant a file below /usr of the host that nobody but root may read."""
    path = Path(f"/usr/local/holdfast-canary-{os.getpid()}")
    path.touch(mode=0o600)
    path.write_text("secret")
    yield os.fspath(path)
    path.unlink()


@pytest.mark.parametrize("userns", [False, True])
def test_programs_of_the_host_run_and_its_secrets_stay_closed_to_root(
    rootfs: Path, canary: str, userns: bool
) -> None:
    """What `holdfast run` does for its default rootfs: not even root inside owns a file of the host."""
    nobody = [(NOBODY, NOBODY, 1)]
    options = ("ro", "nosuid", "nodev", "ridmap")
    mounts = [*DEFAULT_MOUNTS, bind("/usr", "/usr", nobody, *options)]
    links = {name: os.readlink(f"/{name}") for name in ("lib", "lib64") if Path(f"/{name}").is_symlink()}
    for name, target in links.items():
        (rootfs / name).symlink_to(target)
    script = (
        f"/usr/bin/id -u; /usr/bin/stat -c '%u %g %a' /usr /usr/bin/env; /usr/bin/ls /usr > /dev/null; "
        f"/usr/bin/readlink /usr/bin/awk; /usr/bin/cat {canary}; /usr/bin/cp {canary} /tmp/x; "
        f"/usr/bin/chmod 0644 {canary}; /usr/bin/mount -o remount,rw /usr; /usr/bin/touch /usr/x"
    )
    with whole_tree(parse(rootfs, mounts, userns=userns)) as made:
        output = made.init.run("/bin/sh", "-c", script)[1]
    lines = output.split("\n")
    assert [
        "0",
        f"{OVERFLOW} {OVERFLOW} 755",
        f"{OVERFLOW} {OVERFLOW} 755",
        "/etc/alternatives/awk",
    ] == lines[:4]
    assert f"/usr/bin/cat: {canary}: Permission denied" == lines[4]
    assert f"/usr/bin/cp: cannot open '{canary}' for reading: Permission denied" == lines[5]
    assert "Read-only file system" in lines[6]
    assert "secret" not in output
    assert not Path("/usr/x").exists()


def test_control_root_reads_the_secrets_of_the_host_without_the_mapping(rootfs: Path, canary: str) -> None:
    with whole_tree(parse(rootfs, [bind("/usr", "/usr", [], "ro")])) as made:
        assert (0, "secret") == made.init.run("/bin/cat", canary)
    assert here.subject == ""
