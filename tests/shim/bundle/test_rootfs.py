from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from holdfast.shim.bundle import etc
from holdfast.shim.bundle.etc import Own, make_etc
from holdfast.shim.bundle.hidden import unreadable_paths
from holdfast.shim.bundle.rootfs import NOBODY, host_mounts, make_rootfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    HostEtc = tuple[Path, Path, Callable[..., list[str]]]

pytestmark = pytest.mark.root

OWN = Own(hostname="pearl", machine_id="0" * 32, host_network=False)
CANARY = "canary"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def host_etc(tmp_path: Path) -> Iterator[HostEtc]:
    """Make up an /etc of a host, and a place for the container's."""
    (tmp_path / "host").mkdir()
    (tmp_path / "etc").mkdir()
    host_fd, etc_fd = os.open(tmp_path / "host", os.O_RDONLY), os.open(tmp_path / "etc", os.O_RDONLY)
    yield tmp_path / "host", tmp_path / "etc", lambda own=OWN: make_etc(host_fd, etc_fd, own)
    os.close(host_fd)
    os.close(etc_fd)


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_a_rootfs_has_the_same_modes_whatever_the_umask(tmp_path: Path, directory: int, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_rootfs(directory, b"rootfs", OWN)
    finally:
        os.umask(before)
    top = tmp_path / "rootfs"
    for path, mode in (
        ("", 0o755),
        ("tmp", 0o1777),
        ("root", 0o700),
        ("var/tmp", 0o1777),
        ("etc", 0o755),
        ("usr", 0o755),
    ):
        assert mode == stat.S_IMODE((top / path).stat().st_mode), path
    assert all(
        stat.S_IMODE(path.stat().st_mode) == 0o644
        for path in (top / "etc").rglob("*")
        if path.is_file() and not path.is_symlink()
    )


def test_a_rootfs_has_the_top_level_of_the_host_and_empty_places(tmp_path: Path, directory: int) -> None:
    paths = make_rootfs(directory, b"rootfs", OWN)
    top = tmp_path / "rootfs"
    for name in ("bin", "lib", "sbin"):
        link = os.path.islink(f"/{name}")
        assert link == (top / name).is_symlink()
        assert link != (f"/{name}" in paths)
    for name in ("home", "root", "tmp", "run", "var/log", "usr"):
        assert [] == list((top / name).iterdir()), name
    assert "/usr" == paths[0]
    assert not (top / "etc/shadow").exists()
    assert "pearl\n" == (top / "etc/hostname").read_text()
    assert "" == (top / "etc/resolv.conf").read_text()


def test_mounts_of_the_host_are_read_only_and_in_nobodys_name_where_that_can_be() -> None:
    mapped, plain = host_mounts(("/usr", "/lib"), {"/usr"})
    for mount in (mapped, plain):
        assert {"rbind", "rro", "rnosuid", "rnodev"} <= set(mount.options)
        assert mount.source == mount.destination
    assert "ridmap" in mapped.options
    assert NOBODY == mapped.uid_mappings == mapped.gid_mappings
    assert "ridmap" not in plain.options
    assert () == plain.uid_mappings


def plant_private(path: Path) -> None:
    path.write_text(CANARY)
    path.chmod(0o600)


def plant_group_readable(path: Path) -> None:
    path.write_text(CANARY)
    path.chmod(0o640)


def plant_link_out(path: Path) -> None:
    (path.parent / "shadow").write_text(CANARY)
    path.symlink_to("shadow")


def plant_absolute_link(path: Path) -> None:
    (path.parent / "secret").write_text(CANARY)
    path.symlink_to(path.parent / "secret")


def plant_fifo(path: Path) -> None:
    os.mkfifo(path, 0o644)


def plant_endless_device(path: Path) -> None:
    os.mknod(path, 0o20666, os.makedev(1, 5))


def plant_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 << 30)


def plant_directory(path: Path) -> None:
    path.mkdir()
    (path / "file").write_text(CANARY)


@pytest.mark.parametrize(
    "plant",
    [
        plant_private,
        plant_group_readable,
        plant_link_out,
        plant_absolute_link,
        plant_fifo,
        plant_endless_device,
        plant_huge,
        plant_directory,
    ],
)
@pytest.mark.parametrize("name", ["passwd", "ld.so.conf.d/x.conf"])
def test_what_is_not_public_is_left_out_of_etc(
    host_etc: HostEtc, plant: Callable[[Path], None], name: str
) -> None:
    host, made, make = host_etc
    (host / "ld.so.conf.d").mkdir()
    plant(host / name)
    make()
    assert not os.path.lexists(made / name)


def test_control_a_public_file_and_a_link_into_usr_get_into_etc(host_etc: HostEtc) -> None:
    host, made, make = host_etc
    (host / "passwd").write_text("users")
    (host / "os-release").symlink_to("../usr/lib/os-release")
    (host / "ld.so.conf.d").mkdir()
    (host / "ld.so.conf.d/x.conf").write_text("libs")
    (host / "shadow").write_text(CANARY)
    make()
    assert "users" == (made / "passwd").read_text()
    assert "libs" == (made / "ld.so.conf.d/x.conf").read_text()
    assert "../usr/lib/os-release" == os.readlink(made / "os-release")
    assert not (made / "shadow").exists()


def test_directories_to_mount_get_empty_ones(host_etc: HostEtc) -> None:
    host, made, make = host_etc
    (host / "ssl/certs").mkdir(parents=True)
    (host / "ssl/private").mkdir()
    (host / "alternatives").symlink_to("/root")
    assert ["ssl/certs"] == make()
    assert ["certs"] == [path.name for path in (made / "ssl").iterdir()]
    assert not os.path.lexists(made / "alternatives")


def test_names_of_the_host_come_only_with_its_network(
    host_etc: HostEtc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host, made, make = host_etc
    (host / "hosts").write_text("192.0.2.1 intranet\n")
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    monkeypatch.setattr(etc, "RESOLVERS", str(tmp_path / "resolv.conf"))
    make(OWN._replace(host_network=True))
    assert "192.0.2.1 intranet\n127.0.1.1\tpearl\n" == (made / "hosts").read_text()
    assert "nameserver 192.0.2.53\n" == (made / "resolv.conf").read_text()


def test_unreadable_paths_are_found_and_directories_count_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/public").touch(0o644)
    (tmp_path / "a/b/private").touch(0o640)
    (tmp_path / "a/closed").mkdir(mode=0o750)
    (tmp_path / "a/closed/file").touch(0o644)
    (tmp_path / "a/listed-only").mkdir(mode=0o754)
    (tmp_path / "a/link").symlink_to("b/private")
    names = [os.path.relpath(path, tmp_path) for path in unreadable_paths([str(tmp_path)])]
    assert ["a/b/private", "a/closed", "a/listed-only"] == names
