"""Resource limits and the OOM score: set from outside, also such as init could not set itself."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest
from support.oci import usual_config

from holdfast.protocol.oci.names import RLIMITS

if TYPE_CHECKING:
    from support.containers import Containers

pytestmark = pytest.mark.root


def test_limits_are_those_of_the_config(containers: Containers) -> None:
    rlimits = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_NPROC", "soft": 50, "hard": 60},
    ]
    text = containers.sh("cat /proc/self/limits", rlimits=rlimits, user={"uid": 1000, "gid": 1000})
    found = {line[:26].strip(): line[26:].split()[:2] for line in text.splitlines()}
    assert ["100", "200"] == found["Max open files"]
    assert ["0", "0"] == found["Max core file size"]
    assert ["50", "60"] == found["Max processes"]


def test_exec_has_limits_of_its_own(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    rlimits = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 77}]
    assert "77\n" == box.execute("sh", "-c", "ulimit -n", rlimits=rlimits).out


@pytest.mark.parametrize(
    "name", ["RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_NOFILE", "RLIMIT_FSIZE"]
)
def test_small_limit_does_not_hinder_the_setup(containers: Containers, name: str) -> None:
    """The program may die of it, but create succeeds."""
    size = 8 if name == "RLIMIT_NOFILE" else 1 << 20
    config = usual_config()
    config["process"]["rlimits"] = [{"type": name, "soft": size, "hard": size}]
    box = containers.create(config)
    assert (size, size) == resource.prlimit(box.pid, RLIMITS[name])


def test_unlimited_is_unlimited(containers: Containers) -> None:
    config = usual_config()
    if resource.getrlimit(resource.RLIMIT_CPU)[1] != resource.RLIM_INFINITY:
        pytest.skip("the test itself is limited")
    config["process"]["rlimits"] = [{"type": "RLIMIT_CPU", "soft": 2**64 - 1, "hard": 2**64 - 1}]
    box = containers.create(config)
    assert (resource.RLIM_INFINITY,) * 2 == resource.prlimit(box.pid, resource.RLIMIT_CPU)


def test_limit_that_cannot_be_raised_is_told_by_its_field(containers: Containers) -> None:
    config = usual_config()
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 2**40, "hard": 2**40}]
    told = containers.refusal(config)  # more than fs.nr_open, so nobody may
    assert f"process.rlimits[0]: set soft {2**40}, hard {2**40}: Operation not permitted" == told


@pytest.mark.parametrize("score", [0, 100, 1000])
def test_oom_score_is_that_of_the_config(containers: Containers, score: int) -> None:
    assert str(score) == containers.sh("cat /proc/self/oom_score_adj", oomScoreAdj=score)


def test_oom_score_is_the_callers_if_none_is_given(containers: Containers) -> None:
    config = usual_config("cat", "/proc/self/oom_score_adj")
    del config["process"]["oomScoreAdj"]
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        assert file.read() == containers.run(config).out
