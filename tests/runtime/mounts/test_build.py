"""Mounting for real: each test makes the file tree of an init and looks at it."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any

import pytest
from support.inits import MAPPED, USUAL, new_init
from support.trees import DEFAULT_MOUNTS, DEV, PROC, Tree, parse, plan, tree, whole_tree

from holdfast.protocol.errors import ConfigError, HoldfastError
from holdfast.protocol.oci import names
from holdfast.runtime.mounts import propagation, root
from holdfast.runtime.mounts.sources import open_sources
from holdfast.runtime.sys.call import CallFailed
from holdfast.runtime.sys.executor import Here

if TYPE_CHECKING:
    from pathlib import Path

    from support.hosts import Host

pytestmark = pytest.mark.root


def bind(source: Path | str, destination: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "source": os.fspath(source), "options": ["bind", *options]}


def tmpfs(destination: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def error_of(rootfs: Path, *mounts: dict[str, Any]) -> str:
    """Return the sentence of a setup that must not succeed."""
    with pytest.raises((CallFailed, HoldfastError)) as failure, whole_tree(parse(rootfs, mounts)):
        pass
    return str(failure.value)


@pytest.mark.parametrize("userns", [False, True])
def test_usual_mounts_are_there_with_their_attributes(rootfs: Path, userns: bool) -> None:
    with whole_tree(parse(rootfs, userns=userns)) as made:
        mounts = made.mounts()
        assert [b"proc", b"tmpfs", b"devpts", b"tmpfs", b"mqueue", b"sysfs"] == [
            mounts[path].type for path in ("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys")
        ]
        assert b"ro,nosuid,nodev,noexec,relatime" == mounts["/sys"].options
        assert b"rw,nosuid,noexec,relatime" == mounts["/dev/shm"].options
        assert all(not one.propagation for one in mounts.values())
        assert 0o41777 == made.path("/dev/shm").stat().st_mode


@pytest.mark.parametrize("userns", [False, True])
def test_programs_run_in_it(rootfs: Path, userns: bool) -> None:
    with whole_tree(parse(rootfs, userns=userns)) as made:
        code, output = made.init.run("/bin/sh", "-c", "echo $$; cd /..; pwd; ls /proc/self/fd")
        assert (0, ["1", "/", "0", "1", "2", "3"]) == (code, output.split())  # the 3 is that of ls itself


def test_missing_mount_points_are_made(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    with whole_tree(parse(rootfs, [tmpfs("/a/b/c"), bind(tmp_path / "file", "/d/e/file")])) as made:
        os.umask(os.umask(0o022))
        assert "content" == made.path("/d/e/file").read_text()
        assert b"tmpfs" == made.mounts()["/a/b/c"].type
    assert 0o40755 == (rootfs / "a/b").stat().st_mode
    assert (0o100644, 0) == ((rootfs / "d/e/file").stat().st_mode, (rootfs / "d/e/file").stat().st_size)


def test_mount_points_are_usable_by_everybody_whatever_the_umask(rootfs: Path) -> None:
    old = os.umask(0o077)
    try:
        with whole_tree(parse(rootfs, [tmpfs("/a/b/c")])):
            pass
    finally:
        os.umask(old)
    assert 0o40755 == (rootfs / "a").stat().st_mode


def test_destination_is_resolved_in_the_root(rootfs: Path) -> None:
    (rootfs / "run").mkdir()
    (rootfs / "var/run").symlink_to("/run")
    (rootfs / "out").symlink_to("../../../../../tmp")
    with whole_tree(parse(rootfs, [tmpfs("/var/run"), tmpfs("/out/x"), tmpfs("relative")])) as made:
        assert {"/run", "/tmp/x", "/relative"} < set(made.mounts())


def test_second_mount_goes_on_top_and_into_the_first(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/below").mkdir()
    (tmp_path / "two").mkdir()
    mounts = [bind(tmp_path / "one", "/mnt"), tmpfs("/mnt/below"), bind(tmp_path / "two", "/mnt")]
    with whole_tree(parse(rootfs, mounts)) as made:
        assert [] == os.listdir(made.path("/mnt"))


class TestBind:
    """Bind mounts and their attributes."""

    def test_readonly_bind_is_readonly_and_the_host_is_not(self, rootfs: Path, tmp_path: Path) -> None:
        with whole_tree(parse(rootfs, [bind(tmp_path, "/mnt", "ro")])) as made:
            with pytest.raises(OSError, match="Read-only"):
                (made.path("/mnt") / "file").touch()
            (tmp_path / "file").touch()

    def test_attributes_of_the_source_stay_unless_named(
        self, rootfs: Path, tmp_path: Path, host: Host
    ) -> None:
        attributes = names.MOUNT_ATTR_NOSUID | names.MOUNT_ATTR_NOEXEC | names.MOUNT_ATTR_NOATIME
        source = host.tmpfs(tmp_path / "src", attributes=attributes)
        mounts = [bind(source, "/a", "ro"), bind(source, "/b", "exec", "nodev", "relatime")]
        with whole_tree(parse(rootfs, mounts)) as made:
            assert b"ro,nosuid,noexec,noatime" == made.mounts()["/a"].options
            assert b"rw,nosuid,nodev,relatime" == made.mounts()["/b"].options

    def test_recursive_readonly_reaches_mounts_below(self, rootfs: Path, tmp_path: Path, host: Host) -> None:
        source = os.fspath(host.tmpfs(tmp_path / "src"))
        host.tmpfs(tmp_path / "src/below")
        mounts = [
            {"destination": "/ro", "source": source, "options": ["rbind", "ro"]},
            {"destination": "/rro", "source": source, "options": ["rbind", "rro"]},
            {"destination": "/one", "source": source, "options": ["bind", "rro"]},
        ]
        with whole_tree(parse(rootfs, mounts)) as made:
            found = made.mounts()
            assert [b"ro", b"rw"] == [found[path].options[:2] for path in ("/ro", "/ro/below")]
            assert [b"ro", b"ro"] == [found[path].options[:2] for path in ("/rro", "/rro/below")]
            assert "/one/below" not in found

    def test_relative_source_is_below_the_bundle(self, rootfs: Path) -> None:
        (rootfs.parent / "data").mkdir()
        (rootfs.parent / "data/here").touch()
        with whole_tree(parse("rootfs", [bind("data", "/mnt")]), rootfs.parent) as made:
            assert ["here"] == os.listdir(made.path("/mnt"))

    def test_source_may_be_a_link_of_the_host(self, rootfs: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(rootfs / "etc")
        with whole_tree(parse(rootfs, [bind(tmp_path / "link", "/mnt")])) as made:
            assert "passwd" in os.listdir(made.path("/mnt"))

    def test_link_itself_is_bound_with_nofollow(self, rootfs: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("/somewhere")
        (rootfs / "there").symlink_to("/elsewhere")
        mount = bind(tmp_path / "link", "/there", "src-nofollow", "dest-nofollow")
        with whole_tree(parse(rootfs, [mount])) as made:
            assert (0, "/somewhere\n") == made.init.run("/bin/readlink", "/there")

    def test_source_that_init_could_not_reach_is_bound(self, rootfs: Path, tmp_path: Path) -> None:
        """In a user namespace: the parent opens it."""
        hidden = tmp_path / "hidden"
        (hidden / "data").mkdir(parents=True)
        (hidden / "data/file").write_text("content")
        hidden.chmod(0o700)
        os.chown(hidden, 4711, 4711)
        with whole_tree(parse(rootfs, [DEV, bind(hidden / "data", "/mnt")], userns=True)) as made:
            assert (0, "content") == made.init.run("/bin/cat", "/mnt/file")

    def test_missing_source_is_told(self, rootfs: Path) -> None:
        expected = 'mount "/nowhere/at/all" on "/mnt": No such file or directory'
        assert expected == error_of(rootfs, bind("/nowhere/at/all", "/mnt"))

    @pytest.mark.parametrize("destination", ["/etc/passwd", "/etc"])
    def test_file_and_directory_do_not_mix(self, rootfs: Path, tmp_path: Path, destination: str) -> None:
        source = tmp_path if destination == "/etc/passwd" else rootfs / "etc/group"
        assert f'mount "{source}" on "{destination}": Not a directory' == error_of(
            rootfs, bind(source, destination)
        )


class TestTmpfs:
    """What is special about tmpfs."""

    def test_mode_is_that_of_the_directory_that_is_hidden(self, rootfs: Path) -> None:
        (rootfs / "private").mkdir()
        (rootfs / "private").chmod(0o2750)
        with whole_tree(
            parse(rootfs, [tmpfs("/private"), tmpfs("/missing"), tmpfs("/tmp", "mode=0711")])
        ) as made:
            assert 0o42750 == made.path("/private").stat().st_mode
            assert 0o41777 == made.path("/missing").stat().st_mode
            assert 0o40711 == made.path("/tmp").stat().st_mode

    def test_readonly_one_is_locked_after_the_mounts_in_it_are_made(self, rootfs: Path) -> None:
        with whole_tree(
            parse(rootfs, [PROC, {**DEV, "options": ["ro", "mode=755"]}, tmpfs("/dev/shm")])
        ) as made:
            assert made.mounts()["/dev"].options.startswith(b"ro")
            assert made.mounts()["/dev/shm"].options.startswith(b"rw")
            assert stat.S_ISCHR(made.path("/dev/null").stat().st_mode)

    def test_unknown_option_is_told_with_the_kernels_reason(self, rootfs: Path) -> None:
        expected = 'mount "tmpfs" on "/t": option "nonsense=1": Invalid argument'
        assert expected == error_of(rootfs, tmpfs("/t", "nonsense=1"))

    def test_unknown_filesystem_is_told(self, rootfs: Path) -> None:
        unknown = {"destination": "/t", "type": "nosuchfs", "source": "x"}
        assert 'mount "x" on "/t": No such device' == error_of(rootfs, unknown)


def test_atime_options_take_effect(rootfs: Path) -> None:
    mounts = [tmpfs("/a", "noatime", "nodiratime"), tmpfs("/b", "strictatime"), tmpfs("/c", "nosymfollow")]
    with whole_tree(parse(rootfs, mounts)) as made:
        found = made.mounts()
        assert [b"rw,noatime,nodiratime", b"rw", b"rw,relatime,nosymfollow"] == [
            found[path].options for path in ("/a", "/b", "/c")
        ]


def test_remount_changes_what_is_mounted(rootfs: Path, tmp_path: Path) -> None:
    mounts = [
        tmpfs("/t", "size=1m", "nosuid"),
        {"destination": "/t", "options": ["remount", "size=2m", "noexec"]},
        bind(tmp_path, "/b"),
        {"destination": "/b", "options": ["remount", "bind", "ro"]},
    ]
    with whole_tree(parse(rootfs, mounts)) as made:
        found = made.mounts()
        assert b"rw,nosuid,noexec,relatime" == found["/t"].options
        assert 2 << 20 == os.statvfs(made.path("/t")).f_blocks * os.statvfs(made.path("/t")).f_frsize
        assert found["/b"].options.startswith(b"ro")


def test_propagation_options_are_applied(rootfs: Path) -> None:
    mounts = [tmpfs("/a", "shared"), tmpfs("/b", "unbindable"), tmpfs("/c", "shared", "slave")]
    with whole_tree(parse(rootfs, mounts)) as made:
        found = made.mounts()
        assert re.fullmatch(rb"shared:\d+", found["/a"].propagation[0])
        assert (b"unbindable",) == found["/b"].propagation
        assert () == found["/c"].propagation


def test_file_below_proc_is_replaced_by_one_of_lxcfs(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\n")
    with whole_tree(parse(rootfs, [PROC, bind(tmp_path / "meminfo", "/proc/meminfo")])) as made:
        assert (0, "MemTotal: 1 kB\n") == made.init.run("/bin/cat", "/proc/meminfo")


def test_procfs_of_the_host_may_be_bound_on_proc_and_nothing_else(rootfs: Path, tmp_path: Path) -> None:
    whole = {"destination": "/proc", "source": "/proc", "options": ["rbind"]}
    with whole_tree(parse(rootfs, [whole])) as made:
        assert made.path("/proc/1").exists()
    for source in (tmp_path, "/proc/self", "/sys"):
        with pytest.raises(ConfigError), tree(parse(rootfs, [{**whole, "source": os.fspath(source)}])):
            pass


def test_rootfs_that_is_no_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"root\.path"), tree(parse(tmp_path / "file", [])):
        pass
    with (
        pytest.raises(CallFailed, match=r"root\.path: open .*missing.: No such file"),
        tree(parse("/missing", [])),
    ):
        pass


def test_rootfs_may_be_reached_by_a_link_and_hold_mounts(rootfs: Path, tmp_path: Path, host: Host) -> None:
    (tmp_path / "link").symlink_to(rootfs)
    (host.tmpfs(rootfs / "src") / "inside").touch()
    with whole_tree(parse(tmp_path / "link", [])) as made:
        assert ["inside"] == os.listdir(made.path("/src"))


def test_many_mounts_take_several_batches(rootfs: Path, tmp_path: Path) -> None:
    mounts = [bind(tmp_path, f"/{'/'.join(['deep'] * 40)}/{i}") for i in range(80)]
    with whole_tree(parse(rootfs, mounts)) as made:
        assert 81 == len(made.mounts())


def test_failure_leaves_the_sources_closed(rootfs: Path) -> None:
    before = os.listdir("/proc/self/fd")
    parsed = parse(rootfs, [bind("/etc", "/a"), bind("/nowhere", "/b")])
    with pytest.raises(CallFailed):
        open_sources(Here(), plan(parsed))
    assert before == os.listdir("/proc/self/fd")


def test_sources_are_what_they_were_when_opened(rootfs: Path, tmp_path: Path) -> None:
    """What is mounted is what was opened, though its path leads elsewhere by now."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/right").touch()
    with tree(parse(rootfs, [bind(tmp_path / "src", "/mnt")])) as made:
        (tmp_path / "src").rename(tmp_path / "moved")
        (tmp_path / "src").symlink_to("/etc")
        made.mount()
        assert ["right"] == os.listdir(made.path("/mnt"))


def test_init_opens_the_sources_itself_without_roots_rights(rootfs: Path, tmp_path: Path) -> None:
    """Rootless: the same functions, all carried out by init in its user namespace."""
    tmp_path.chmod(0o755)
    mounts = [*DEFAULT_MOUNTS, bind(tmp_path, "/mnt", "rbind", "ro")]
    parsed = parse(rootfs, mounts, userns=True, maskedPaths=["/proc/keys"])
    with new_init(USUAL, id_map=MAPPED) as init:
        made = Tree(init, parsed, b"/nowhere")
        made.sources = open_sources(init.x, made.plan)
        propagation.isolate(init.x)
        made.rootfs = root.attach_root(init.x, made.plan, made.sources)
        init.become_root()
        made.mount()
        made.make_devices()
        made.pivot()
        made.lock()
        made.sources.close(init.x)
        assert made.mounts()["/mnt"].options.startswith(b"ro")
        assert b"devtmpfs" == made.mounts()["/proc/keys"].type
        code, output = init.run("/bin/sh", "-c", "echo works > /dev/null && ls /mnt")
        assert (0, "rootfs\n") == (code, output)
