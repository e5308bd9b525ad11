"""Paths below a rootfs, each test both in this process and through a puppet."""

from __future__ import annotations

import errno
import os
import random
import stat
import threading
from typing import TYPE_CHECKING

import pytest
from support.inits import new_init

from holdfast.runtime.paths import Rootfs, components, in_order
from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import Call, CallFailed, Out, number_of
from holdfast.runtime.sys.executor import Here
from holdfast.runtime.sys.numbers import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdfast.runtime.sys.call import Executor, Value


@pytest.fixture(params=["here", "puppet"])
def x(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """Give an executor of each kind."""
    if request.param == "here":
        yield Here()
    else:
        with new_init(0) as init:
            yield init.x


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Give a directory to be the rootfs, beside one that stands for the host."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host/secret").write_text("secret")
    (tmp_path / "top").mkdir()
    return tmp_path / "top"


def rootfs_of(x: Executor, top: Path) -> Rootfs:
    return Rootfs(x, files.open_path(x, os.fsencode(top), files.O_DIRECTORY_PATH))


def inode_of(x: Executor, fd: Value | None) -> int:
    assert fd is not None
    status = files.new_stat()
    x.do(files.statx(fd, b"", status))
    x.flush()
    return files.Stat.of(status).inode


def test_absolute_link_stays_inside(x: Executor, top: Path) -> None:
    (top / "etc").mkdir()
    (top / "etc/passwd").write_text("inside")
    (top / "link").symlink_to("/etc")
    fd = rootfs_of(x, top).open(b"/link/passwd", files.O_PATH)
    assert (top / "etc/passwd").stat().st_ino == inode_of(x, fd)


@pytest.mark.parametrize("path", [b"up/host/secret", b"../host/secret", b"away/secret", b"/../../host"])
def test_way_out_leads_nowhere(x: Executor, top: Path, path: bytes) -> None:
    (top / "up").symlink_to("../../..")
    (top / "away").symlink_to(top.parent / "host")
    with pytest.raises(CallFailed) as failure:
        rootfs_of(x, top).open(path, files.O_PATH)
    assert errno.ENOENT == failure.value.errno


def test_magic_link_is_not_followed(x: Executor) -> None:
    rootfs = Rootfs(x, files.open_path(x, b"/proc", files.O_DIRECTORY_PATH))
    with pytest.raises(CallFailed) as failure:
        rootfs.open(b"self/root/etc", files.O_PATH)
    assert errno.ELOOP == failure.value.errno


def test_missing_directories_are_made_inside(x: Executor, top: Path) -> None:
    (top / "real").mkdir()
    (top / "link").symlink_to("/real")
    made = inode_of(x, rootfs_of(x, top).directory(b"/link/one/./two/"))
    assert (top / "real/one/two").stat().st_ino == made


def test_directory_with_no_name_is_the_top(x: Executor, top: Path) -> None:
    rootfs = rootfs_of(x, top)
    fd = rootfs.directory(b"/")
    assert top.stat().st_ino == inode_of(x, fd)
    x.do(files.close(fd))
    assert top.stat().st_ino == inode_of(x, rootfs.fd)


def test_directory_is_not_made_through_a_dangling_link(x: Executor, top: Path) -> None:
    (top / "link").symlink_to(top.parent / "host/made")
    rootfs = rootfs_of(x, top)
    with pytest.raises(CallFailed):
        inode_of(x, rootfs.directory(b"link/below"))
    assert ["secret"] == os.listdir(top.parent / "host")
    assert ["link"] == os.listdir(top)


def test_missing_file_is_made_and_present_one_is_left(x: Executor, top: Path) -> None:
    rootfs = rootfs_of(x, top)
    made = inode_of(x, rootfs.file(b"etc/hosts"))
    (top / "etc/hosts").write_text("content")
    assert made == inode_of(x, rootfs.file(b"/etc/hosts"))
    assert "content" == (top / "etc/hosts").read_text()
    assert stat.S_ISREG((top / "etc/hosts").stat().st_mode)


def test_file_is_not_made_through_a_dangling_link(x: Executor, top: Path) -> None:
    (top / "file").symlink_to(top.parent / "host/made")
    rootfs = rootfs_of(x, top)
    with pytest.raises(CallFailed):
        inode_of(x, rootfs.file(b"file"))
    assert ["secret"] == os.listdir(top.parent / "host")


def test_find_all_tells_what_is_missing(x: Executor, top: Path) -> None:
    (top / "one").mkdir()
    found = rootfs_of(x, top).find_all([b"/one", b"/two", b"/two/three"])
    assert found[0] is not None
    assert (top / "one").stat().st_ino == inode_of(x, found[0].fd) == found[0].stat.inode
    assert [None, None] == found[1:]


def test_find_all_with_another_error_fails(x: Executor, top: Path) -> None:
    (top / "loop").symlink_to("loop")
    with pytest.raises(CallFailed) as failure:
        rootfs_of(x, top).find_all([b"loop"])
    assert errno.ELOOP == failure.value.errno


def test_read_file_reads_a_regular_file_up_to_the_limit(x: Executor, top: Path) -> None:
    (top / "file").write_bytes(b"0123456789")
    rootfs = rootfs_of(x, top)
    assert b"0123456789" == rootfs.read_file(b"file", 100)
    assert b"0123" == rootfs.read_file(b"file", 4)


@pytest.mark.parametrize("plant", ["missing", "fifo", "directory", "device"])
def test_read_file_of_anything_else_is_empty(x: Executor, top: Path, plant: str) -> None:
    if plant == "fifo":
        os.mkfifo(top / "file")
    elif plant == "directory":
        (top / "file").mkdir()
    elif plant == "device":
        os.mknod(top / "file", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    assert b"" == rootfs_of(x, top).read_file(b"file", 100)


def test_components_drop_what_means_nothing() -> None:
    assert [b"a", b"..", b"b"] == components(b"//a/./../b/")


class Unsure:
    """An executor of whose lookups a part gives EAGAIN, as the kernel's do while something is renamed."""

    def __init__(self, x: Executor, share: float) -> None:
        self.x, self.share, self.chance = x, share, random.Random(1)  # noqa: S311  # chance, no secret
        self.subject = ""
        ends = Out(8)
        x.do(Call(NUMBERS["pipe2"], "pipe2", (ends, os.O_NONBLOCK)))
        x.flush()
        self._empty_pipe_fd = int.from_bytes(ends.data[:4], "little")

    @property
    def pending(self) -> int:
        return self.x.pending

    def do(self, call: Call) -> Value:
        if call.name == "openat2" and self.chance.random() < self.share:
            again = files.read(self._empty_pipe_fd, Out(1))
            call = again._replace(name="openat2", accept=call.accept)
        return self.x.do(call)

    def flush(self) -> None:
        self.x.flush()


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_in_order_goes_on_behind_a_lookup_that_said_again(x: Executor, top: Path, share: float) -> None:
    unsure = Unsure(x, share)
    rootfs = rootfs_of(unsure, top)

    def unit(name: bytes) -> Value:
        fd = rootfs.directory(b"below/" + name)
        unsure.do(files.mkdirat(fd, b"once", 0o755))  # a second time it would be EEXIST
        return unsure.do(files.close(fd))

    names = [b"%d" % i for i in range(100)]
    in_order(unsure, [lambda name=name: unit(name) for name in names])  # type: ignore[misc]
    assert 100 == len(os.listdir(top / "below"))


def test_in_order_gives_up_in_the_end(x: Executor, top: Path) -> None:
    unsure = Unsure(x, share=1)
    rootfs = rootfs_of(unsure, top)
    with pytest.raises(CallFailed) as failure:
        in_order(unsure, [lambda: rootfs.directory(b"a")])
    assert errno.EAGAIN == failure.value.errno


def test_lookups_succeed_while_others_rename(x: Executor, top: Path) -> None:
    """The kernel's own EAGAIN: links with `..` are resolved while directories are renamed all the time."""
    (top / "a/b").mkdir(parents=True)
    (top / "a/link").symlink_to("../a/../a/b/../../a/b")
    (top / "x").mkdir()
    stop = threading.Event()

    def rename() -> None:
        while not stop.is_set():
            os.rename(top / "x", top / "y")
            os.rename(top / "y", top / "x")

    thread = threading.Thread(target=rename)
    thread.start()
    try:
        rootfs = rootfs_of(x, top)

        def unit(i: int) -> Value:
            return x.do(files.close(rootfs.directory(b"a/link/%d" % i)))

        in_order(x, [lambda i=i: unit(i) for i in range(300)])  # type: ignore[misc]
        for i in range(300):
            x.do(files.close(rootfs.open(b"a/link/%d" % i, files.O_PATH)))
        x.flush()
    finally:
        stop.set()
        thread.join()
    assert 300 == len(os.listdir(top / "a/b"))


def test_in_order_sends_more_units_than_a_batch_holds(x: Executor, top: Path) -> None:
    rootfs = rootfs_of(x, top)
    deep = b"/".join([b"d"] * 60)

    def unit(i: int) -> Value:
        return x.do(files.close(rootfs.directory(deep + b"/%d" % i)))

    in_order(x, [lambda i=i: unit(i) for i in range(70)])  # type: ignore[misc]
    assert 70 == len(os.listdir(os.path.join(top, os.fsdecode(deep))))
    assert number_of(rootfs.fd) >= 0
