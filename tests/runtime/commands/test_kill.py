"""kill: to init and nobody else, or to all of a container."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING

import pytest
from support.containers import eventually, is_alive, reap
from support.oci import usual_config

from holdfast.protocol.errors import DoesNotExist, HoldfastError
from holdfast.protocol.oci.names import parse_signal
from holdfast.runtime.commands.kill import kill
from holdfast.runtime.commands.pause import pause

if TYPE_CHECKING:
    from support.containers import Box, Containers

pytestmark = pytest.mark.root

TRAP = "trap 'echo got {0}; exit 7' {0}; echo ready; while :; do sleep 0.01; done"


def ready(box: Box) -> None:
    """Wait until it has said something."""
    readable, _, _ = select.select([box.out_fd], [], [], 20)
    assert readable


@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "term", "15", "USR1", "10", "HUP"])
def test_signal_by_name_or_number_arrives(containers: Containers, name: str) -> None:
    number = parse_signal(name)
    box = containers.begin(usual_config("sh", "-c", TRAP.format(number)))
    ready(box)
    kill(box.root, box.id, number)
    assert (7, f"ready\ngot {number}\n") == box.finish()


@pytest.mark.parametrize("name", ["FOO", "", "-1", "65", "SIG", "9x", "1e1"])
def test_unknown_signal_is_told(name: str) -> None:
    with pytest.raises(HoldfastError, match="signal"):
        parse_signal(name)


def test_signal_0_only_asks(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    kill(box.root, box.id, 0)
    assert is_alive(box)


def test_created_container_can_be_killed(containers: Containers) -> None:
    box = containers.create(usual_config())
    kill(box.root, box.id, signal.SIGKILL)
    assert -signal.SIGKILL == box.wait()


@pytest.mark.parametrize("number", [0, signal.SIGTERM, signal.SIGKILL])
def test_kill_of_a_stopped_container_is_told(containers: Containers, number: int) -> None:
    box = containers.begin(usual_config())
    box.finish()
    with pytest.raises(HoldfastError, match=f'^container "{box.id}": container not running$'):
        kill(box.root, box.id, number)


def test_kill_of_a_zombie_is_told(containers: Containers) -> None:
    box = containers.begin(usual_config())
    eventually(lambda: box.status()["State"].startswith("Z"))
    with pytest.raises(HoldfastError, match="container not running"):
        kill(box.root, box.id, signal.SIGTERM)


def test_kill_of_an_unknown_container_is_told(containers: Containers) -> None:
    with pytest.raises(DoesNotExist):
        kill(containers.root, "nobody", signal.SIGTERM)


def test_kill_of_all_reaches_every_process_and_a_stopped_container_is_fine(containers: Containers) -> None:
    one = "sh -c \"trap 'echo got; exit' USR1; echo r; while :; do sleep 0.01; done\" &"
    script = f"trap : USR1; {one} {one} {one} wait; wait; wait; wait"
    box = containers.begin(usual_config("sh", "-c", script))
    heard = b""
    while heard.count(b"r\n") < 3:
        heard += os.read(box.out_fd, 100)
    kill(box.root, box.id, signal.SIGUSR1, every=True)
    ran = box.finish()
    assert 3 == ran.out.count("got")
    kill(box.root, box.id, signal.SIGTERM, every=True)


def test_sigkill_without_a_pid_namespace_takes_the_whole_container(containers: Containers) -> None:
    config = usual_config("sh", "-c", "sleep 60 & echo $!; wait")
    config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "pid"]
    box = containers.begin(config)
    other = int(os.read(box.out_fd, 100))
    pidfd = os.pidfd_open(other)
    try:
        kill(box.root, box.id, signal.SIGKILL)
        gone, _, _ = select.select([pidfd], [], [], 10)
        assert gone
    finally:
        os.close(pidfd)
    assert -signal.SIGKILL == reap(other)
    assert -signal.SIGKILL == box.wait()


def test_sigkill_of_a_paused_container_ends_it(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    pause(box.root, box.id)
    assert "paused" == box.state().status
    kill(box.root, box.id, signal.SIGKILL)
    assert -signal.SIGKILL == box.wait()


def test_number_that_belongs_to_another_process_by_now_is_not_signalled(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    box.write_record(start_time=box.record()["start_time"] - 1)
    with pytest.raises(HoldfastError, match="container not running"):
        kill(box.root, box.id, signal.SIGKILL)
    box.write_record(start_time=box.record()["start_time"] + 1)
    assert is_alive(box)
