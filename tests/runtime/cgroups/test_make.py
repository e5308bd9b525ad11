"""Making a cgroup: what of its path is made, what is used, what is refused; and a v2 tree of plain files."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.cgroups import HOST, directories, directory, enter, made, plan, process

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.cgroups import freezer, group, tree
from holdfast.runtime.cgroups.detect import UNIFIED, V2, Hierarchy, Host
from holdfast.runtime.cgroups.plan import CgroupPlan, PlannedPlace
from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import ACCEPT_ANY, CallFailed, Out, operation_of
from holdfast.runtime.sys.executor import Here, here

if TYPE_CHECKING:
    from holdfast.runtime.cgroups.place import Cgroup
    from holdfast.runtime.sys.call import Call

root = pytest.mark.root


@root
def test_cgroup_is_in_each_hierarchy_and_gone_after_its_removal(name: str) -> None:
    with made(f"/{name}/a/b") as cgroup:
        assert [Path(one.mount, name, "a/b") for one in HOST.hierarchies] == [
            directory(place) for place in cgroup.places
        ]
        assert all(directory(place).is_dir() for place in cgroup.places)
        assert {3} == {place.made for place in cgroup.places}
    assert [] == directories(name)


@root
def test_relative_cgroup_is_below_that_of_the_runtime(name: str) -> None:
    if HOST.mode == UNIFIED:
        expected = {Path(one.mount, *Path(one.own or "").parts[:-1], name) for one in HOST.hierarchies}
    else:
        expected = {Path(one.mount, one.own or "", name) for one in HOST.hierarchies}
    with made(name) as cgroup:
        assert expected == {directory(place) for place in cgroup.places}
    assert not any(path.exists() for path in expected)


@root
def test_what_was_there_stays(name: str) -> None:
    with made("/" + name), made(f"/{name}/a") as inner:
        assert {1} == {place.made for place in inner.places}
        group.remove(here, inner)
        assert len(HOST.hierarchies) == len(directories(name))


@root
def test_directory_that_another_container_has_moved_into_stays(name: str) -> None:
    first = group.make(here, plan(f"/{name}/a"))
    second = group.make(here, plan(f"/{name}/b"))
    group.remove(here, first)
    assert all(directory(place).is_dir() for place in second.places)
    group.remove(here, second)
    for top in directories(name):
        top.rmdir()  # which the first one made, and could not remove


@root
def test_empty_cgroup_that_is_there_is_used_and_stays(name: str) -> None:
    with made("/" + name) as mine, made("/" + name) as same:
        assert [place.number for place in mine.places] == [place.number for place in same.places]
        assert {0} == {place.made for place in same.places}
        group.remove(here, same)
        assert len(HOST.hierarchies) == len(directories(name))


@root
def test_cgroup_with_a_process_in_it_is_refused_even_if_it_is_below(name: str) -> None:
    with process() as pid, made(f"/{name}/a") as inner:
        enter(inner, pid)
        with pytest.raises(
            HoldfastError, match=rf'make cgroup "{name}" in .*: container\'s cgroup is not empty: 1 p'
        ):
            group.make(here, plan("/" + name))
        assert all(directory(place).is_dir() for place in inner.places)


@root
@pytest.mark.parametrize("path", ["/{}", "/{}/a"])
def test_frozen_cgroup_is_refused_and_so_is_one_below_it(name: str, path: str) -> None:
    """A process on its way in would stop, and the runtime wait for it."""
    with made("/" + name) as cgroup:
        freezer.pause(here, cgroup)
        with pytest.raises(HoldfastError, match="container's cgroup unexpectedly frozen"):
            group.make(here, plan(path.format(name)))
        freezer.resume(here, cgroup)
        group.remove(here, group.make(here, plan(path.format(name))))


@root
def test_others_may_look_at_the_cgroup_whatever_the_callers_mask_is(name: str) -> None:
    mask = os.umask(0o077)
    try:
        with made("/" + name) as cgroup:
            assert {0o755} == {stat.S_IMODE(directory(place).stat().st_mode) for place in cgroup.places}
        assert 0o077 == os.umask(0o077)
    finally:
        os.umask(mask)


@root
def test_file_of_the_kernel_is_no_place_for_a_cgroup(name: str) -> None:
    told = r'^make cgroup ".*/cgroup\.procs" in ".*": Not a directory$'
    with made("/" + name), pytest.raises(CallFailed, match=told):
        group.make(here, plan(f"/{name}/cgroup.procs"))


@root
def test_mount_point_without_cgroups_is_told(tmp_path: Path) -> None:
    places = (PlannedPlace(mount=str(tmp_path), version=1, path="a", controllers=()),)
    with pytest.raises(HoldfastError, match="there is no cgroup filesystem any more"):
        group.make(here, CgroupPlan(places=places))
    assert [] == list(tmp_path.iterdir())


class Hindering(Here):
    """Takes the upper directory of a path away, some times, before the lower one is made."""

    def __init__(self, name: str, times: int) -> None:
        super().__init__()
        self.name = name
        self.times = times

    def do(self, call: Call) -> int:
        if call.name == "mkdirat" and call.about == f'"{self.name}/a"' and self.times:
            for path in directories(self.name):
                path.rmdir()
                self.times -= 1
        return super().do(call)


@root
def test_cgroup_is_made_though_another_container_takes_away_a_part_of_its_path(name: str) -> None:
    """That container's runtime made it, and it leaves as this one comes."""
    x = Hindering(name, 3)
    cgroup = group.make(x, plan(f"/{name}/a"))
    assert 0 == x.times
    assert {2} == {place.made for place in cgroup.places}
    group.remove(here, cgroup)


@root
def test_path_of_which_a_part_is_always_taken_away_is_told(name: str) -> None:
    with pytest.raises(
        HoldfastError, match=rf'^make cgroup "{name}/a" in ".*": others keep removing a part'
    ):
        group.make(Hindering(name, 1000), plan(f"/{name}/a"))


@root
def test_two_containers_come_and_go_below_one_directory(name: str) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def come_and_go(last: str) -> None:
        try:
            while not stop.is_set():
                group.remove(Here(), group.make(Here(), plan(f"/{name}/{last}")))
        except BaseException as error:  # noqa: BLE001  # told below
            failures.append(error)

    threads = [threading.Thread(target=come_and_go, args=(last,)) for last in "ab"]
    mask = os.umask(0o022)  # which each of them sets for a moment, and is the whole process's
    for thread in threads:
        thread.start()
    stop.wait(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    os.umask(mask)
    assert [] == failures
    for top in directories(name):
        top.rmdir()  # made by the one, in use by the other when the one left


class Failing(Here):
    """Fails one system call, the nth of those that can fail and may not."""

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.left = nth

    def do(self, call: Call) -> int:
        if call.name not in ("close", "umask") and call.accept != ACCEPT_ANY:
            self.left -= 1
            if not self.left:
                raise CallFailed(errno.EIO, operation_of(call, self.subject), call)
        return super().do(call)


@root
def test_nothing_is_left_whichever_call_fails(name: str) -> None:
    planned = plan(f"/{name}/a", {"pids": {"limit": 5}})
    for nth in range(1, 500):
        x = Failing(nth)
        cgroup: Cgroup | None = None
        try:
            cgroup = group.make(x, planned)
        except (OSError, HoldfastError):
            assert [] == directories(name), f"call {nth}"
        if cgroup is not None:
            group.remove(here, cgroup)
            assert [] == directories(name), f"call {nth}"
        if x.left > 0:
            break
    else:
        pytest.fail("the calls do not end")


# Without root's rights, as an ordinary user meets a hierarchy that is root's


@root
def test_container_goes_without_a_cgroup_where_there_is_no_permission_and_nothing_is_asked() -> None:
    host = Host(mode=HOST.mode, hierarchies=HOST.hierarchies, is_rootless=True)
    for error in (errno.EACCES, errno.EPERM, errno.EROFS):
        x = Denied(error)
        assert () == group.make(x, plan("", {}, host)).places


@root
def test_limits_or_a_path_without_permission_are_told(name: str) -> None:
    host = Host(mode=HOST.mode, hierarchies=HOST.hierarchies, is_rootless=True)
    words = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups"
    for planned in (plan("/" + name, {}, host), plan("", {"memory": {"limit": 2**30}}, host)):
        with pytest.raises(HoldfastError, match="^" + words.replace("+", r"\+")):
            group.make(Denied(errno.EACCES), planned)


@root
def test_root_without_permission_is_told_by_the_kernels_words() -> None:
    with pytest.raises(CallFailed, match=r'^make cgroup ".*some-id" in ".*": Read-only file system$'):
        group.make(Denied(errno.EROFS), plan(""))


class Denied(Here):
    """Stands for a user to whom the hierarchies do not belong."""

    def __init__(self, error: int) -> None:
        super().__init__()
        self.error = error

    def do(self, call: Call) -> int:
        if call.name != "mkdirat":
            return super().do(call)
        if call.accept == ACCEPT_ANY:
            return -self.error
        raise CallFailed(self.error, operation_of(call, self.subject), call)


# A tree of plain files in place of the unified hierarchy, which has no controllers of its own where v1 has
# them. So these tests show what is written where, not what a kernel makes of it.


@pytest.fixture
def v2_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a directory that passes for a mount of cgroup2, with a/b below it."""
    monkeypatch.setitem(tree.MAGIC, V2, _magic(tmp_path))
    for path in (tmp_path, tmp_path / "a", tmp_path / "a/b"):
        path.mkdir(exist_ok=True)
        (path / "cgroup.controllers").write_text("cpu memory pids\n")
        for file in ("cgroup.subtree_control", "cgroup.procs", "cgroup.threads", "cgroup.type"):
            (path / file).touch()
    return tmp_path


def _magic(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    here.do(files.fstatfs(fd, out := Out(files.STATFS_SIZE)))
    os.close(fd)
    return files.filesystem_of(out)


def planned_in(top: Path, *needed: str, enables_all: bool = True, owner: int | None = None) -> CgroupPlan:
    place = PlannedPlace(mount=str(top), version=V2, path="a/b", controllers=needed, enables_all=enables_all)
    return CgroupPlan(places=(place,), owner=owner)


def test_controllers_are_passed_on_downwards_but_not_by_the_containers_own_cgroup(v2_tree: Path) -> None:
    (place,) = group.make(here, planned_in(v2_tree, "memory")).places
    assert ("cpu", "memory", "pids") == place.controllers
    assert ["+cpu +memory +pids", "+cpu +memory +pids", ""] == [
        (path / "cgroup.subtree_control").read_text() for path in (v2_tree, v2_tree / "a", v2_tree / "a/b")
    ]


def test_controllers_that_are_passed_on_already_are_not_written(v2_tree: Path) -> None:
    (v2_tree / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (v2_tree / "a/cgroup.subtree_control").write_text("memory cpu\n")
    group.make(here, planned_in(v2_tree))
    assert "cpu memory pids\n" == (v2_tree / "cgroup.subtree_control").read_text()
    assert (v2_tree / "a/cgroup.subtree_control").read_text().startswith("+pids")


def test_only_what_is_needed_is_passed_on_beside_v1(v2_tree: Path) -> None:
    group.make(here, planned_in(v2_tree, "pids", enables_all=False))
    assert "+pids" == (v2_tree / "cgroup.subtree_control").read_text()


class Refusing(Here):
    """A kernel that does not take some writes."""

    def __init__(self, error: int, *refused: str) -> None:
        super().__init__()
        self.error = error
        self.refused = [f'"{one}"' for one in refused]
        self.written: list[str] = []

    def do(self, call: Call) -> int:
        if call.name == "write":
            self.written.append(call.about.strip('"'))
            if call.about in self.refused:
                return -self.error
        return super().do(call)


def test_controllers_are_passed_on_one_by_one_if_not_all_can_be(v2_tree: Path) -> None:
    x = Refusing(errno.EINVAL, "+cpu +memory +pids")
    group.make(x, planned_in(v2_tree))
    assert ["+cpu +memory +pids", "+memory", "+cpu", "+pids"] * 2 == x.written


def test_cgroup_with_processes_is_asked_for_no_more_than_is_needed(v2_tree: Path) -> None:
    """To pass on what is for threads would make it a threaded one."""
    x = Refusing(errno.EBUSY, "+cpu +memory +pids")
    group.make(x, planned_in(v2_tree, "pids"))
    assert ["+cpu +memory +pids", "+pids"] * 2 == x.written


def test_nothing_more_is_changed_once_a_needed_controller_cannot_be_passed_on(v2_tree: Path) -> None:
    x = Refusing(errno.EBUSY, "+cpu +memory +pids", "+memory")
    group.make(x, planned_in(v2_tree, "cpu", "memory"))
    assert ["+cpu +memory +pids", "+memory"] * 2 == x.written


def test_controller_that_does_not_arrive_is_named(v2_tree: Path) -> None:
    (v2_tree / "a/b/cgroup.controllers").write_text("cpu pids\n")
    with pytest.raises(
        HoldfastError, match='controller "memory" not available; the cgroups above do not pass'
    ):
        group.make(here, planned_in(v2_tree, "pids", "memory"))


def test_cgroup_below_a_threaded_one_becomes_threaded_if_it_can(v2_tree: Path) -> None:
    (v2_tree / "a/b/cgroup.type").write_text("domain invalid\n")
    group.make(here, planned_in(v2_tree, "pids", "cpu"))
    assert (v2_tree / "a/b/cgroup.type").read_text().startswith("threaded")


def test_cgroup_below_a_threaded_one_cannot_limit_memory(v2_tree: Path) -> None:
    (v2_tree / "a/b/cgroup.type").write_text("domain invalid\n")
    with pytest.raises(HoldfastError, match='controller "memory" not available below a threaded cgroup'):
        group.make(here, planned_in(v2_tree, "memory"))


@root
def test_owner_gets_the_directory_and_what_manages_cgroups_below_it(v2_tree: Path) -> None:
    group.make(here, planned_in(v2_tree, owner=4711))
    owned = {path.name for path in (v2_tree / "a/b").iterdir() if path.stat().st_uid == 4711}
    assert {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} == owned
    status = (v2_tree / "a/b").stat()
    assert (4711, 0) == (status.st_uid, status.st_gid)
    assert 0 == (v2_tree / "a").stat().st_uid


@root
def test_hierarchy_with_its_own_name_is_joined_too(name: str) -> None:
    """As a manager that keeps its books in one expects: `name=systemd`."""
    named = [one for one in HOST.hierarchies if one.name]
    assert HOST.mode == UNIFIED or all(isinstance(one, Hierarchy) for one in named)
    with process() as pid, made("/" + name) as cgroup:
        enter(cgroup, pid)
        for one in named:
            assert f"{pid}\n" == Path(one.mount, name, "cgroup.procs").read_text()
