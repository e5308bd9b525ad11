"""Being told that the kernel has killed for want of memory, and how often it has."""

from __future__ import annotations

import os
import select
import signal

import pytest
from support.cgroups import made, run_in

from holdfast.runtime.cgroups import oom, stats
from holdfast.runtime.cgroups.place import Cgroup
from holdfast.runtime.sys.executor import here

pytestmark = pytest.mark.root

MIB = 1 << 20
LIMIT = {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}}


def take_too_much() -> int:
    return len(bytes(bytearray(b"x") * 64 * MIB)) and 1


def is_readable(fd: int, timeout_s: float) -> bool:
    return bool(select.select([fd], [], [], timeout_s)[0])


def test_watch_becomes_readable_when_a_process_is_killed_and_counts(name: str) -> None:
    with made("/" + name, LIMIT) as cgroup:
        watch = oom.watch(here, cgroup)
        assert watch is not None
        assert not is_readable(watch.fd, 0)
        for count in (1, 2):
            assert -signal.SIGKILL == run_in(cgroup, take_too_much).code
            assert is_readable(watch.fd, 5)
            # The kill may come a moment after the first news that memory has run out.
            assert count == watch.count() or (is_readable(watch.fd, 5) and count == watch.count())
        watch.close()


def test_watch_of_a_cgroup_that_is_gone_keeps_the_last_count(name: str) -> None:
    """v1 also gives news of the removal itself, which is no kill."""
    with made("/" + name, LIMIT) as cgroup:
        watch = oom.watch(here, cgroup)
        assert watch is not None
        assert -signal.SIGKILL == run_in(cgroup, take_too_much).code
        assert 1 == watch.count()
    is_readable(watch.fd, 1)
    assert 1 == watch.count()
    assert 0 == oom.oom_killed(here, cgroup)
    watch.close()


def test_process_killed_by_somebody_is_not_counted(name: str) -> None:
    def die() -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    with made("/" + name, LIMIT) as cgroup:
        assert -signal.SIGKILL == run_in(cgroup, die).code
        assert 0 == oom.oom_killed(here, cgroup)


def test_container_whose_memory_nobody_counts_cannot_be_watched(name: str) -> None:
    assert oom.watch(here, Cgroup()) is None
    assert 0 == oom.oom_killed(here, Cgroup())
    with made("/" + name, LIMIT) as cgroup:
        pass
    assert oom.watch(here, cgroup) is None


def test_stats_are_those_of_the_container(name: str) -> None:
    with made("/" + name, {**LIMIT, "pids": {"limit": 7}}) as cgroup:
        before = stats.read_stats(here, cgroup)
        assert (16 * MIB, 7, 0) == (before.memory_limit_bytes, before.processes_limit, before.processes)

        def work() -> int:
            block = bytearray(8 * MIB)
            now = stats.read_stats(here, cgroup)
            block[0] = 1
            return int(now.processes == 1 and (now.memory_bytes or 0) >= 8 * MIB)

        assert 1 == run_in(cgroup, work).code
        assert (stats.read_stats(here, cgroup).cpu_ns or 0) > (before.cpu_ns or 0)


def test_stats_of_an_unlimited_container_have_no_limits(name: str) -> None:
    with made("/" + name) as cgroup:
        now = stats.read_stats(here, cgroup)
        assert (None, None) == (now.memory_limit_bytes, now.processes_limit)
        assert stats.Stats() == stats.read_stats(here, Cgroup())
