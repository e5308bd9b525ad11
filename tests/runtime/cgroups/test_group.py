"""Processes in a cgroup: how they get in, what limits do to them, and that none outlives it."""

from __future__ import annotations

import errno
import os
import resource
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.cgroups import (
    HOST,
    directories,
    directory,
    enter,
    let_go,
    made,
    plan,
    process,
    run_in,
    stop_self,
)
from support.inits import new_init

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.cgroups import freezer, group, kill, oom, stats, tree
from holdfast.runtime.cgroups.detect import V2
from holdfast.runtime.cgroups.place import Cgroup
from holdfast.runtime.cgroups.plan import CgroupPlan, DeviceProgram, PlannedPlace
from holdfast.runtime.puppet import puppet
from holdfast.runtime.sys import process as processes
from holdfast.runtime.sys.call import CallFailed, Passed, number_of
from holdfast.runtime.sys.executor import Here, here

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = pytest.mark.root

MIB = 1 << 20
HAS_CPUSET = any(HOST.holder("cpuset", version) for version in (1, V2))


def read(cgroup: Cgroup, controller: str, old: str, new: str) -> str:
    """Read the file of v1 or v2, whichever has the controller."""
    place = cgroup.holder(controller)
    assert place is not None
    return (directory(place) / (new if place.version == V2 else old)).read_text().strip()


# Entering


def test_process_puts_itself_into_the_hierarchies_of_v1(name: str) -> None:
    with made("/" + name) as cgroup, new_init() as init:
        group.enter_self(here, init.x, cgroup)
        old = {directory(place) for place in cgroup.places if place.version != V2}
        assert old == {one for one in old if f"{init.pid}\n" == (one / "cgroup.procs").read_text()}


def test_process_that_may_not_enter_is_told_with_the_cgroup(name: str) -> None:
    """A v1 cpuset without a memory node takes nobody."""
    with made("/" + name) as cgroup, new_init() as init:
        place = cgroup.holder("cpuset")
        if place is None or place.version == V2:
            group.enter_self(here, init.x, cgroup)  # nothing to enter
            return
        (directory(place) / "cpuset.mems").write_text("\n")
        with pytest.raises(
            CallFailed, match=f'^enter cgroup "{name}" in ".*/cpuset": No space left on device$'
        ):
            group.enter_self(here, init.x, cgroup)


def test_cgroup_that_is_gone_is_told_to_whoever_wants_to_enter_it(name: str) -> None:
    with made("/" + name) as cgroup:
        pass
    if any(place.version != V2 for place in cgroup.places):
        with new_init() as init, pytest.raises(HoldfastError, match=f'^cgroup "{name}" in ".*": is gone$'):
            group.enter_self(here, init.x, cgroup)


def test_process_is_born_in_the_cgroup_of_v2(name: str) -> None:
    with made("/" + name) as cgroup, group.birthplace(cgroup) as cgroup_fd:
        assert cgroup_fd is not None
        program_fd, null_fd = puppet.sealed_program(), os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        started = puppet.start(program_fd, (null_fd,) * 3)
        flags = processes.CLONE_PARENT | processes.CLONE_INTO_CGROUP
        call = processes.clone3(flags, channel=puppet.CHILD_CHANNEL, exit_signal=0, cgroup=Passed(cgroup_fd))
        pid = started.puppet.do(call)
        started.puppet.flush()
        assert cgroup.unified is not None
        assert f"{number_of(pid)}\n" == (directory(cgroup.unified) / "cgroup.procs").read_text()
        for one in (started.puppet, started.child):
            one.hang_up()
        for child in (started.pid, number_of(pid)):
            os.waitpid(child, 0)
        os.close(program_fd)
        os.close(null_fd)


def test_without_v2_nobody_is_born_in_a_cgroup() -> None:
    for nothing in (None, Cgroup()):
        with group.birthplace(nothing) as cgroup_fd:
            assert cgroup_fd is None


def test_birthplace_that_is_gone_is_told(name: str) -> None:
    with made("/" + name) as cgroup:
        pass
    with pytest.raises(HoldfastError, match="is gone"), group.birthplace(cgroup):
        pass


def test_birthplace_of_a_joiner_is_inits_where_the_container_passes_controllers_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made("/" + name) as cgroup, process() as init:
        assert cgroup.unified is not None
        top = directory(cgroup.unified)
        inner = top / "init.scope"
        inner.mkdir()
        (inner / "cgroup.procs").write_text(str(init))
        for passes_on, expected in ((False, top), (True, inner)):
            if passes_on:
                _pass_on(top, monkeypatch)
            with group.birthplace(cgroup, beside=init) as cgroup_fd:
                assert cgroup_fd is not None
                assert expected.stat().st_ino == os.fstat(cgroup_fd).st_ino
        monkeypatch.undo()
        os.kill(init, signal.SIGKILL)


def _pass_on(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a cgroup pass a controller on to those below; in name only, where v2 has none to pass on."""
    if (top / "cgroup.controllers").read_text().split():
        (top / "cgroup.subtree_control").write_text("+pids")
        return
    read_file = tree.read

    def passing_on(x: Here, fd: int, file: bytes) -> bytes | None:
        return b"pids\n" if file == b"cgroup.subtree_control" else read_file(x, fd, file)

    monkeypatch.setattr(tree, "read", passing_on)


# Limits, each as a process feels it


def allocate(size: int) -> Callable[[], int]:
    def work() -> int:
        block = bytearray(size)
        for place in range(0, size, 4096):
            block[place] = 1
        return 0

    return work


def test_process_that_takes_more_memory_than_allowed_is_killed_and_counted(name: str) -> None:
    with made("/" + name, {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}}) as cgroup:
        assert 0 == run_in(cgroup, allocate(8 * MIB)).code
        assert 0 == oom.oom_killed(here, cgroup)
        assert -signal.SIGKILL == run_in(cgroup, allocate(64 * MIB)).code
        assert 1 == oom.oom_killed(here, cgroup)
        assert 32 * MIB == stats.read_stats(here, cgroup).memory_limit_bytes


@pytest.mark.parametrize(
    "limits",
    [
        [{"limit": 64 * MIB, "swap": 64 * MIB}, {"limit": 128 * MIB, "swap": 160 * MIB}],
        [{"limit": 128 * MIB, "swap": 160 * MIB}, {"limit": 64 * MIB, "swap": 64 * MIB}],
        [{"limit": 64 * MIB, "swap": 64 * MIB}, {"limit": -1}],
        [{"limit": 64 * MIB, "swap": -1}, {"limit": 128 * MIB, "swap": 128 * MIB}],
    ],
)
def test_limits_of_memory_and_swap_can_go_up_and_down(name: str, limits: list[dict[str, int]]) -> None:
    """The kernel never lets that of memory be above that of both, so the order depends on what there is."""
    first, second = limits
    with made("/" + name, {"memory": first}) as cgroup:
        group.limit(here, cgroup, plan("/" + name, {"memory": second}))
        wanted = second["limit"] if second["limit"] > 0 else None
        assert wanted == stats.read_stats(here, cgroup).memory_limit_bytes


def busy(wall_s: float) -> Callable[[], int]:
    def work() -> int:
        end = time.monotonic() + wall_s
        while time.monotonic() < end:
            pass
        return 0

    return work


def test_process_gets_no_more_cpu_time_than_its_quota(name: str) -> None:
    """Of 0.6 s a tenth, and up to 40 ms more in each period, of a kernel that counts in ticks of 10 ms."""
    with made("/" + name, {"cpu": {"quota": 10000, "period": 100000}}) as cgroup:
        finished = run_in(cgroup, busy(0.6))
        assert 0 == finished.code
        assert finished.cpu_s < 0.45
        throttled = int(read(cgroup, "cpu", "cpu.stat", "cpu.stat").split("nr_throttled ")[1].split()[0])
        assert throttled >= 2
        assert (stats.read_stats(here, cgroup).cpu_ns or 0) > 20_000_000


def test_burst_is_taken_beside_a_quota(name: str) -> None:
    with made("/" + name, {"cpu": {"quota": 20000, "period": 100000, "burst": 10000}}) as cgroup:
        assert "10000" == read(cgroup, "cpu", "cpu.cfs_burst_us", "cpu.max.burst")


@pytest.mark.parametrize(
    "cpu",
    [
        {"quota": 2000, "period": 5000, "burst": 0},
        {"quota": 900000, "period": 1000000, "burst": 0},
        {"quota": -1, "period": 1000000, "burst": 0},
        {"quota": 500000, "period": 1000000, "burst": 400000},
    ],
)
def test_quota_and_period_can_be_changed_together_to_anything(name: str, cpu: dict[str, int]) -> None:
    before = {"quota": 20000, "period": 10000, "burst": 10000}
    for first, second in ((before, cpu), (cpu, before)):
        with made("/" + name, {"cpu": first}) as cgroup:
            group.limit(here, cgroup, plan("/" + name, {"cpu": second}))
            period = read(cgroup, "cpu", "cpu.cfs_period_us", "cpu.max").split()[-1]
            assert str(second["period"]) == period


def test_shares_are_the_kernels(name: str) -> None:
    with made("/" + name, {"cpu": {"shares": 512}}) as cgroup:
        assert read(cgroup, "cpu", "cpu.shares", "cpu.weight") in ("512", "59")


@pytest.mark.skipif(not HAS_CPUSET, reason="no hierarchy has the cpuset controller")
def test_process_is_confined_to_its_cpus(name: str) -> None:
    def work() -> int:
        return 0 if os.sched_getaffinity(0) == {0} else 1

    with made(f"/{name}/a", {"cpu": {"cpus": "0", "mems": "0"}}) as cgroup:
        assert 0 == run_in(cgroup, work).code


def test_cpuset_without_a_wish_has_the_cpus_of_the_one_above(name: str) -> None:
    with made(f"/{name}/a/b") as cgroup:
        assert 0 == run_in(cgroup, lambda: len(os.sched_getaffinity(0)) == 0).code


def forks(count: int) -> Callable[[], int]:
    """Fork so many processes that stay; the exit code is how many of them could be."""

    def work() -> int:
        waits, goes = os.pipe()
        for done in range(count):
            try:
                if not os.fork():
                    os.close(goes)
                    os.read(waits, 1)
                    os._exit(0)
            except OSError as error:
                return done if error.errno == errno.EAGAIN else 255
        return count

    return work


@pytest.mark.parametrize(("limit", "forked"), [(4, 3), (1, 0), (0, 0), (-1, 10)])
def test_container_has_no_more_processes_than_allowed(name: str, limit: int, forked: int) -> None:
    with made("/" + name, {"pids": {"limit": limit}}) as cgroup:
        assert forked == run_in(cgroup, forks(10)).code
        assert (limit if limit >= 0 else None) == stats.read_stats(here, cgroup).processes_limit


def test_limit_that_the_kernel_refuses_names_the_field(name: str) -> None:
    told = r'^linux\.resources\.cpu\.idle: write "2" to "cpu\.idle": .*$'
    with pytest.raises(CallFailed, match=told), made("/" + name, {"cpu": {"idle": 2}}):
        pass
    assert [] == directories(name)


def test_program_that_cannot_be_attached_is_an_error_unless_it_is_dispensable(name: str) -> None:
    (mount,) = (one.mount for one in HOST.hierarchies if one.version == V2)
    for is_optional in (True, False):
        program = DeviceProgram(b"\0" * 8, is_optional)
        place = PlannedPlace(mount=mount, version=V2, path=name, controllers=(), devices=program)
        planned = CgroupPlan(places=(place,))
        cgroup = group.make(here, planned)
        if is_optional:
            group.limit(here, cgroup, planned)
        else:
            with pytest.raises(
                CallFailed, match=r"^linux\.resources\.devices: limit cgroup .*: Invalid arg"
            ):
                group.limit(here, cgroup, planned)
        group.remove(here, cgroup)


# Removing


def tree_of_processes() -> int:
    """Leave some processes behind: stopped, deaf to signals, in a session of their own."""
    for behave in (signal.pause, stop_self, os.setsid):
        if not os.fork():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            behave()
            while True:
                signal.pause()
    return 0


def test_removal_kills_what_is_left(name: str) -> None:
    with made("/" + name) as cgroup:
        assert 0 == run_in(cgroup, tree_of_processes).code
        left = kill.processes(here, cgroup)
        assert 3 == len(left)
        group.remove(here, cgroup)
        assert [] == directories(name)
        assert not [pid for pid in left if _is_alive(pid)]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_removal_takes_cgroups_below_that_the_container_made(name: str) -> None:
    with made("/" + name) as cgroup:
        for place in cgroup.places:
            for path in ("a", "a/b", "c"):
                (directory(place) / path).mkdir()
        for place in cgroup.places:
            if "cpuset" not in place.controllers:
                with_process = directory(place) / "a/b/cgroup.procs"
                with_process.write_text(str(_orphan()))
        group.remove(here, cgroup)
        assert [] == directories(name)


def _orphan() -> int:
    """Start a process that falls to init at once, and return its id."""
    ours, theirs = os.pipe()
    if not (middle := os.fork()):
        if pid := os.fork():
            os.write(theirs, str(pid).encode())
            os._exit(0)
        signal.pause()
    os.waitpid(middle, 0)
    pid = int(os.read(ours, 20))
    os.close(ours)
    os.close(theirs)
    return pid


def test_removal_of_very_deep_cgroups_takes_few_descriptors(name: str) -> None:
    depth = 300
    with made("/" + name) as cgroup:
        place = cgroup.places[-1]
        fd = os.open(directory(place), os.O_RDONLY | os.O_CLOEXEC)
        for _ in range(depth):
            os.mkdir("d", dir_fd=fd)
            below = os.open("d", os.O_RDONLY | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = below
        os.close(fd)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        try:
            group.remove(here, cgroup)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [] == directories(name)


@pytest.mark.parametrize("way", ["ours", "v1"])
def test_removal_of_a_frozen_container_does_not_wait_for_ever(name: str, way: str) -> None:
    """S66: on v1 the frozen do not die before they are thawed; also if somebody else froze them."""
    with process() as pid, made("/" + name) as cgroup:
        enter(cgroup, pid)
        old = cgroup.holder("freezer")
        if way == "ours" or old is None:
            freezer.pause(here, cgroup)
        else:
            _freeze(directory(old))
        before = time.monotonic()
        group.remove(here, cgroup)
        assert time.monotonic() - before < 3
        assert [] == directories(name)


def _freeze(path: Path) -> None:
    (path / "freezer.state").write_text("FROZEN")
    deadline = time.monotonic() + 5
    while (path / "freezer.state").read_text() != "FROZEN\n":
        assert time.monotonic() < deadline


def test_removal_twice_and_of_nothing_is_fine(name: str) -> None:
    with made("/" + name) as cgroup:
        group.remove(here, cgroup)
        group.remove(here, cgroup)
    group.remove(here, Cgroup())


def test_removal_of_a_cgroup_that_was_there_kills_and_leaves_it(name: str) -> None:
    with made("/" + name), made("/" + name) as same:
        assert 0 == run_in(same, tree_of_processes).code
        group.remove(here, same)
        assert set() == kill.processes(here, same)
        assert len(HOST.hierarchies) == len(directories(name))


def test_removal_says_what_is_still_in_use(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here can survive a SIGKILL for ten seconds, so the kill is what is missing."""
    monkeypatch.setattr(kill, "kill_all", lambda *_: None)
    monkeypatch.setattr(group, "_REMOVAL_TIMEOUT_S", 0.05)
    with process() as pid, made("/" + name) as cgroup:
        enter(cgroup, pid)
        with pytest.raises(HoldfastError, match=f'^remove cgroup "{name}" in ".*": still in use after 0 s$'):
            group.remove(here, cgroup)
        monkeypatch.undo()


def test_fork_bomb_is_removed(name: str) -> None:
    with process(forks_later) as pid, made("/" + name, {"pids": {"limit": 100}}) as cgroup:
        enter(cgroup, pid)
        let_go(pid)
        deadline = time.monotonic() + 20
        while (stats.read_stats(here, cgroup).processes or 0) < 50:
            assert time.monotonic() < deadline
        group.remove(here, cgroup)
        assert [] == directories(name)


def forks_later() -> None:
    stop_self()
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.001)
