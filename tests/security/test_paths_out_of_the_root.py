"""Images and neighbours that lead a path of the rootfs to the host: S4, S5, S9, S12, S60 of the attack list.

Each attack is also carried out with the defence taken away (`control`), to see that it is one.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from support.racers import swap, swapping
from support.trees import DEV, PROC, parse, plan, tree

from holdfast.protocol.errors import ConfigError, HoldfastError
from holdfast.protocol.oci.check import check
from holdfast.runtime import paths
from holdfast.runtime.mounts import mountinfo
from holdfast.runtime.sys.call import CallFailed

if TYPE_CHECKING:
    from pathlib import Path

    from support.trees import Tree

    from holdfast.protocol.oci import config

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("leftovers")]

ROUNDS = 60


@pytest.fixture
def without_in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the defence away: paths are resolved as the host resolves them."""
    monkeypatch.setattr(paths, "_RESOLVE", 0)


def tmpfs(destination: str, *options: str) -> dict[str, Any]:
    return {
        "destination": destination,
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["mode=755", *options],
    }


class Watch:
    """Sees what an init mounts outside of its rootfs, before the pivot."""

    def __init__(self, made: Tree) -> None:
        self._made = made
        self._before = {one.id for one in mountinfo.parse(made.init.mountinfo())}

    def elsewhere(self) -> list[bytes]:
        """Return the mount points of what has been mounted in the host's part of the tree."""
        now = mountinfo.parse(self._made.init.mountinfo())
        top = max(one.id for one in now if one.point == self._made.plan.rootfs)
        inside = mountinfo.below(now, top)
        return [one.point for one in now if one.id not in inside | self._before]


class TestSwappedDirectory:
    """S4, S12, S60: a neighbour swaps a directory of a shared volume for a link (CVE-2021-30465)."""

    @pytest.fixture
    def volume(self, tmp_path: Path, outside: Path) -> Path:
        """Give a shared volume: `real` is a directory, `link` leads to a directory of the host."""
        volume = tmp_path / "volume"
        (volume / "real/below").mkdir(parents=True)
        (volume / "link").symlink_to(outside)
        return volume

    def config(self, rootfs: Path, volume: Path) -> config.Config:
        file = os.fspath(rootfs / "etc/passwd")
        mounts = [
            {"destination": "/mnt", "source": os.fspath(volume), "options": ["rbind"]},
            tmpfs("/mnt/real"),
            tmpfs("/mnt/real/below/new"),
            tmpfs("/mnt/real/copied", "tmpcopyup"),
            {"destination": "/mnt/real/file", "source": file, "options": ["bind"]},
        ]
        node = {"type": "c", "path": "/mnt/real/node", "major": 1, "minor": 3, "uid": 7}
        return parse(rootfs, mounts[:1] + mounts[2:], devices=[node])

    def test_swap_between_two_steps_mounts_and_makes_nothing_outside(
        self, rootfs: Path, volume: Path, outside: Path
    ) -> None:
        with tree(self.config(rootfs, volume)) as made:
            watch = Watch(made)
            swap(volume / "real", volume / "link")
            with pytest.raises((CallFailed, HoldfastError)):
                made.mount()
            assert [] == watch.elsewhere()
        assert ["ptmx"] == os.listdir(outside)

    def test_swap_all_the_time_mounts_and_makes_nothing_outside(
        self, rootfs: Path, volume: Path, outside: Path
    ) -> None:
        done = 0
        with swapping(volume / "real", volume / "link"):
            for _ in range(ROUNDS):
                with tree(self.config(rootfs, volume)) as made:
                    watch = Watch(made)
                    with suppress(CallFailed, HoldfastError):
                        made.mount()
                        made.make_devices()
                        done += 1
                    assert [] == watch.elsewhere()
        assert ["ptmx"] == os.listdir(outside)
        assert 0 == (outside / "ptmx").stat().st_uid

    @pytest.mark.usefixtures("without_in_root")
    def test_control_swap_leads_a_mount_to_the_host(self, rootfs: Path, volume: Path, outside: Path) -> None:
        with tree(self.config(rootfs, volume)) as made:
            watch = Watch(made)
            swap(volume / "real", volume / "link")
            made.mount()
            assert os.fsencode(outside / "below/new") in watch.elsewhere()
        assert {"ptmx", "below", "copied", "file"} == set(os.listdir(outside))


class TestDevIsALink:
    """S5: /dev of the image leads out of the root (CVE-2026-41579)."""

    @pytest.fixture(params=["absolute", "relative"])
    def planted(self, request: pytest.FixtureRequest, rootfs: Path, outside: Path) -> Path:
        """Give a rootfs with that link."""
        (rootfs / "dev").rmdir()
        target = outside if request.param == "absolute" else os.path.relpath(outside, rootfs)
        (rootfs / "dev").symlink_to(target)
        return rootfs

    @pytest.mark.parametrize("mounts", [[], [DEV]], ids=["no-dev-mount", "dev-mount"])
    def test_nothing_is_made_or_removed_outside(
        self, planted: Path, outside: Path, mounts: list[dict[str, Any]]
    ) -> None:
        with tree(parse(planted, mounts)) as made:
            watch = Watch(made)
            with pytest.raises(CallFailed):
                self.make(made)
            assert [] == watch.elsewhere()
        assert ["ptmx"] == os.listdir(outside)
        assert "canary" == (outside / "ptmx").read_text()

    def make(self, made: Tree) -> None:
        made.mount()
        made.make_devices()

    @pytest.mark.usefixtures("without_in_root")
    def test_control_ptmx_of_the_host_is_replaced(self, planted: Path, outside: Path) -> None:
        with tree(parse(planted, [])) as made:
            made.mount()
            made.make_devices()
        assert (outside / "ptmx").is_symlink()
        assert (outside / "null").is_char_device()

    def test_link_that_stays_inside_is_followed(self, rootfs: Path) -> None:
        (rootfs / "dev").rmdir()
        (rootfs / "usr/dev").mkdir()
        (rootfs / "dev").symlink_to("/usr/dev")
        with tree(parse(rootfs, [])) as made:
            made.mount()
            made.make_devices()
        assert (rootfs / "usr/dev/null").is_char_device()


class TestProc:
    """S9: what is read in /proc is not the kernel's (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561)."""

    @pytest.mark.parametrize("target", ["/tmp", "tmp", "../../../../tmp"])
    @pytest.mark.parametrize("kind", ["proc", "sysfs"])
    def test_mount_on_a_link_is_refused(self, rootfs: Path, target: str, kind: str) -> None:
        name = {"proc": "proc", "sysfs": "sys"}[kind]
        (rootfs / name).rmdir()
        (rootfs / name).symlink_to(target)
        with (
            tree(parse(rootfs, [{"destination": f"/{name}", "type": kind, "source": kind}])) as made,
            pytest.raises(ConfigError, match="allowed: a path in which nothing is a symbolic link"),
        ):
            made.mount()

    @pytest.mark.parametrize(
        "destination", ["/proc", "/proc/sys", "/proc/self/attr", "/x/../proc/self/attr/exec"]
    )
    def test_other_filesystem_at_or_below_proc_is_refused(self, rootfs: Path, destination: str) -> None:
        for mount in (
            tmpfs(destination),
            {"destination": destination, "source": "/tmp", "options": ["bind"]},
        ):
            if destination == "/proc" and "source" in mount and mount["source"] == "/tmp":
                with pytest.raises(ConfigError, match="the top of a procfs"), tree(parse(rootfs, [mount])):
                    pass
            else:
                assert check(parse(rootfs, [PROC, mount]))

    @pytest.mark.parametrize("link", ["/proc/self/attr", "../proc/sys/kernel", "/proc"])
    def test_link_of_the_image_into_proc_is_refused(self, rootfs: Path, link: str) -> None:
        (rootfs / "harmless").symlink_to(link)
        parsed = parse(rootfs, [PROC, tmpfs("/harmless")])
        assert not [one for one in check(parsed) if one.field.startswith("mounts")]
        with (
            tree(parsed) as made,
            pytest.raises(ConfigError, match="cannot be mounted because it is inside /proc"),
        ):
            made.mount()

    def test_control_link_of_the_image_into_proc_would_be_followed(self, rootfs: Path) -> None:
        (rootfs / "harmless").symlink_to("/proc/sys/kernel")
        parsed = parse(rootfs, [PROC, tmpfs("/harmless")])
        with tree(parsed) as made:
            with suppress(ConfigError):
                made.mount()
            made.pivot()
            assert b"tmpfs" == made.mounts()["/proc/sys/kernel"].type

    def test_proc_of_a_volume_is_covered(self, rootfs: Path, tmp_path: Path) -> None:
        """A neighbour's files in the place of /proc lie below the real one in the end."""
        (tmp_path / "volume/self").mkdir(parents=True)
        volume = {"destination": "/mnt", "source": os.fspath(tmp_path / "volume"), "options": ["rbind"]}
        (rootfs / "proc/self").mkdir()
        with tree(parse(rootfs, [volume, PROC])) as made:
            made.mount()
            made.pivot()
            assert b"proc" == made.mounts()["/proc"].type
            assert made.path("/proc/1/status").exists()


def test_magic_link_is_no_way_out(rootfs: Path) -> None:
    """A link to /proc/self/root or /proc/1/fd/N, where /proc is a real one."""
    for i, link in enumerate(("/proc/self/root/tmp", "/proc/1/cwd", "/proc/self/fd/4")):
        (rootfs / f"link{i}").symlink_to(link)
        with tree(parse(rootfs, [PROC, tmpfs(f"/link{i}/new")])) as made:
            with pytest.raises(CallFailed) as failure:
                made.mount()
            assert failure.value.errno in (errno.ELOOP, errno.EXDEV)


def test_nothing_of_the_plan_is_decided_by_the_hosts_files(rootfs: Path) -> None:
    """Planning looks at nothing: the same configuration gives the same plan whatever the links are."""
    parsed = parse(rootfs, [PROC, tmpfs("/tmp")])
    first = plan(parsed)
    (rootfs / "tmp").rmdir()
    (rootfs / "tmp").symlink_to("/")
    assert first == plan(parsed)
