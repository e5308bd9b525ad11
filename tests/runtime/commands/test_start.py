"""start: once, of a created container, telling what init could not do."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from support.containers import eventually, is_alive, reap
from support.oci import usual_config

from holdfast.protocol.errors import DoesNotExist, HoldfastError
from holdfast.runtime.commands.start import start
from holdfast.runtime.container import open_container

if TYPE_CHECKING:
    from support.containers import Box, Containers

pytestmark = pytest.mark.root


def failure(box: Box) -> str:
    with pytest.raises(HoldfastError) as told:
        box.start()
    return str(told.value)


def test_start_returns_once_the_program_runs(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    assert "sleep" == box.status()["Name"]
    assert "running" == box.state().status


def test_start_of_an_unknown_container_is_told(containers: Containers) -> None:
    with pytest.raises(DoesNotExist, match="container does not exist"):
        start(containers.root, "nobody")


def test_start_of_a_running_container_is_told_and_it_runs_on(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    assert f'container "{box.id}": cannot start an already running container' == failure(box)
    assert is_alive(box)


def test_start_of_a_stopped_container_is_told(containers: Containers) -> None:
    box = containers.begin(usual_config())
    box.finish()
    assert f'container "{box.id}": cannot start a container that has stopped' == failure(box)


def test_start_of_a_container_whose_init_was_killed_is_told(containers: Containers) -> None:
    box = containers.create(usual_config())
    os.kill(box.pid, signal.SIGKILL)
    os.waitid(os.P_PID, box.pid, os.WEXITED | os.WNOWAIT)
    assert f'container "{box.id}": cannot start a container that has stopped' == failure(box)


def test_missing_interpreter_is_told_by_start(containers: Containers) -> None:
    script = containers.rootfs / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    box = containers.create(usual_config("/script"))
    assert 'exec "/script": No such file or directory' == failure(box)
    assert "stopped" == box.state().status
    box.delete()


def test_file_that_is_no_program_is_told_by_start(containers: Containers) -> None:
    junk = containers.rootfs / "junk"
    junk.write_bytes(b"\x7fELF, or not")
    junk.chmod(0o755)
    box = containers.create(usual_config("/junk"))
    assert 'exec "/junk": Exec format error' == failure(box)


def test_program_that_vanished_since_create_is_told_by_start(containers: Containers) -> None:
    box = containers.create(usual_config("/bin/vi"))
    (containers.rootfs / "bin/vi").unlink()
    assert 'exec "/bin/vi": No such file or directory' == failure(box)


def test_of_many_starts_at_once_exactly_one_wins(containers: Containers) -> None:
    box = containers.create(usual_config("sleep", "60"))
    go = os.pipe()
    children = [_fork_start(box, go) for _ in range(4)]
    os.close(go[0])
    os.close(go[1])  # lets them go
    assert [0, 1, 1, 1] == sorted(reap(child) for child in children)
    assert "running" == box.state().status


def _fork_start(box: Box, go: tuple[int, int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(go[1])
        os.read(go[0], 1)
        box.start()
        os._exit(0)
    except HoldfastError as error:
        os._exit(1 if "cannot start an already running" in str(error) else 2)
    finally:
        os._exit(3)


def test_start_that_was_killed_on_its_way_leaves_a_container_that_counts_as_running(
    containers: Containers,
) -> None:
    box = containers.create(usual_config("sleep", "60"))
    os.link(box.state_dir / "start", box.state_dir / "kept")
    box.start()
    os.rename(box.state_dir / "kept", box.state_dir / "start")  # as if it had not come to removing it
    assert "running" == box.state().status
    with pytest.raises(HoldfastError, match="that is not stopped: running"):
        box.delete()
    assert f'container "{box.id}": cannot start an already running container' == failure(box)


def test_start_waits_for_whoever_changes_the_container(containers: Containers) -> None:
    box = containers.create(usual_config("sleep", "60"))
    asked, go = os.pipe()
    holder = os.fork()
    if not holder:
        try:
            with open_container(box.root, box.id) as opened:
                opened.lock()
                os.write(go, b"!")
                signal.pause()
        finally:
            os._exit(1)
    os.read(asked, 1)
    starting = threading.Thread(target=box.start)
    starting.start()
    starting.join(0.2)
    assert starting.is_alive()
    assert "created" == box.state().status
    os.kill(holder, signal.SIGKILL)
    reap(holder)
    starting.join(10)
    eventually(lambda: "running" == box.state().status)
    for fd in (asked, go):
        os.close(fd)
