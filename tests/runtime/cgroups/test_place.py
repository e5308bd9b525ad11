"""A cgroup on record: found again, and nothing else than it (S45, S58)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.cgroups import HOST, directory, enter, made, process

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.cgroups import freezer, group, kill, oom, stats
from holdfast.runtime.cgroups.place import Cgroup, Place, opened
from holdfast.runtime.sys.executor import here

GOOD: dict[str, Any] = {"mount": "/sys/fs/cgroup", "version": 2, "path": "a/b", "number": 7, "made": 2}


def test_record_survives_the_way_to_disk_and_back() -> None:
    cgroup = Cgroup((Place(**GOOD, controllers=("cpu", "memory")), Place(**{**GOOD, "version": 1})))
    assert cgroup == msgspec.json.decode(msgspec.json.encode(cgroup), type=Cgroup)


@pytest.mark.parametrize(
    "tampered",
    [
        {"path": ""},
        {"path": "."},
        {"path": ".."},
        {"path": "a/.."},
        {"path": "/etc"},
        {"path": "a//b"},
        {"path": "a\nb"},
        {"mount": "sys/fs/cgroup"},
        {"mount": ""},
        {"version": 3},
        {"made": 3},
        {"made": -1},
    ],
)
def test_tampered_record_is_refused_as_it_is_read(tampered: dict[str, Any]) -> None:
    content = msgspec.json.encode({"places": [GOOD | tampered]})
    with pytest.raises(msgspec.ValidationError, match=r"\$\.places\[0\]"):
        msgspec.json.decode(content, type=Cgroup)


@pytest.mark.root
@pytest.mark.parametrize("mount", ["/", "/etc", "/proc/self/root", "/no/such/directory"])
def test_mount_point_that_is_none_of_cgroups_is_not_followed(mount: str) -> None:
    place = Place(**{**GOOD, "mount": mount, "path": "tmp", "made": 1, "number": os.stat("/tmp").st_ino})
    with opened(here, place) as fd:
        assert fd is None


@pytest.mark.root
def test_cgroup_that_another_one_has_replaced_is_left_alone(name: str) -> None:
    """It has the name of ours, but not its number; somebody is in there who is not ours to kill."""
    with made("/" + name) as old:
        pass
    with process() as pid, made("/" + name) as new:
        enter(new, pid)
        kill.signal_all(here, old, 9)
        freezer.resume(here, old)
        group.remove(here, old)
        assert {pid} == kill.processes(here, new)
        assert set() == kill.processes(here, old)
        assert not freezer.is_frozen(here, old)
        assert 0 == oom.oom_killed(here, old)
        assert stats.Stats() == stats.read_stats(here, old)
        assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None
        with pytest.raises(HoldfastError, match=f'^cgroup "{name}" in ".*": is gone$'):
            freezer.pause(here, old)


@pytest.mark.root
def test_tampered_path_cannot_leave_the_hierarchy(name: str) -> None:
    """Only the top of a mount could be above; the kernel does not even let a link or a mount be crossed."""
    mount = HOST.hierarchies[0].mount
    with made("/" + name) as cgroup:
        place = msgspec.structs.replace(cgroup.places[0], path=f"{name}/cgroup.procs")
        assert directory(cgroup.places[0]) == Path(mount, name)
        with pytest.raises(OSError, match="Not a directory"), opened(here, place):
            pass
