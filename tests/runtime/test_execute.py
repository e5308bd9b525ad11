"""exec: one more process, in everything that init is in, and gone with it."""

from __future__ import annotations

import os
import re
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.containers import eventually, reap, status_of
from support.oci import usual_config

from holdfast.protocol.errors import ConfigError, DoesNotExist, HoldfastError
from holdfast.protocol.oci.config import parse_process
from holdfast.runtime import execute as executing
from holdfast.runtime.commands.pause import pause, resume
from holdfast.runtime.execute import ExecRequest, execute
from holdfast.runtime.setup import session
from holdfast.runtime.steps import JOIN

if TYPE_CHECKING:
    from support.containers import Box, Containers

pytestmark = pytest.mark.root


@pytest.fixture
def box(containers: Containers) -> Box:
    return containers.begin(usual_config("sleep", "600"))


def request(box: Box, *args: str, **more: object) -> ExecRequest:
    described = {"args": list(args), "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
    return ExecRequest(
        root=box.root, id=box.id, process=parse_process(msgspec.json.encode({**described, **more}))
    )


def test_exec_is_in_the_cgroups_of_init(box: Box) -> None:
    with box.executing("sleep", "60") as (pid, _):
        of_init, of_exec = (Path(f"/proc/{one}/cgroup").read_text() for one in (box.pid, pid))
        assert of_init == of_exec
        os.kill(pid, signal.SIGKILL)
        reap(pid)


def test_exec_is_our_child_and_leads_a_session(box: Box) -> None:
    with box.executing("sleep", "60") as (pid, _):
        status = status_of(pid)
        assert str(os.getpid()) == status["PPid"]
        assert pid == os.getsid(pid)
        os.kill(pid, signal.SIGKILL)
        assert -signal.SIGKILL == reap(pid)


def test_exec_dies_with_init(box: Box) -> None:
    with box.executing("sleep", "60") as (pid, _):
        pidfd = os.pidfd_open(pid)
        os.kill(box.pid, signal.SIGKILL)
        gone, _, _ = select.select([pidfd], [], [], 20)
        os.close(pidfd)
        assert gone
        assert -signal.SIGKILL == reap(pid)


def test_program_of_an_exec_has_nothing_open_but_stdio(box: Box) -> None:
    assert ["0", "1", "2", "3"] == box.execute("ls", "/proc/self/fd").out.split()


def test_exec_sees_the_containers_files_and_processes(box: Box) -> None:
    assert re.search(r"^ +1 .*sleep 600", box.execute("ps").out, re.MULTILINE)
    assert "inside\n" == box.execute("hostname").out


def test_pid_file_has_the_pid_of_the_exec(box: Box, tmp_path: Path) -> None:
    asked = request(box, "sleep", "60")
    asked.pid_file = os.fsencode(tmp_path / "pid")
    pid = execute(asked)
    assert str(pid) == (tmp_path / "pid").read_text()
    os.kill(pid, signal.SIGKILL)
    reap(pid)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("no-such",), 'exec: "no-such": executable file not found in $PATH'),
        (("/no/such",), 'exec: "/no/such": stat /no/such: no such file or directory'),
        (("/etc",), 'exec: "/etc": permission denied'),
        (("/script",), 'exec "/script": No such file or directory'),
    ],
)
def test_program_that_cannot_be_run_is_told_and_nothing_is_left(
    containers: Containers, box: Box, args: tuple[str, ...], told: str
) -> None:
    script = containers.rootfs / "script"
    script.write_text("#!/no/such\n")
    script.chmod(0o755)
    before = containers.seen()
    with pytest.raises((HoldfastError, OSError)) as error:
        execute(request(box, *args))
    assert told == str(error.value)
    assert set() == containers.seen() - before
    pids = box.execute("ps", "-o", "pid").out.split()[1:]
    assert 2 == len(pids)  # sleep and ps


@pytest.mark.parametrize(
    "change", [{"args": []}, {"cwd": "relative"}, {"rlimits": [{"type": "X", "soft": 1, "hard": 1}]}]
)
def test_process_that_is_none_is_told(box: Box, change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"^process\."):
        execute(request(box, "true", **change))


def test_what_this_version_cannot_do_is_told(box: Box) -> None:
    with pytest.raises(ConfigError, match=r"^process\.selinuxLabel: "):
        execute(request(box, "true", selinuxLabel="a:b:c"))
    with pytest.raises(ConfigError, match=r"^process\.execCPUAffinity\.initial: "):
        execute(request(box, "true", execCPUAffinity={"initial": "0"}))


def test_exec_in_a_stopped_container_is_told(box: Box) -> None:
    os.kill(box.pid, signal.SIGKILL)
    box.wait()
    with pytest.raises(HoldfastError, match="cannot exec in a stopped container"):
        execute(request(box, "true"))


def test_exec_in_an_unknown_container_is_told(box: Box) -> None:
    asked = request(box, "true")
    asked.id = "nobody"
    with pytest.raises(DoesNotExist):
        execute(asked)


def test_exec_that_fails_on_its_way_leaves_no_process(
    containers: Containers, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise HoldfastError("on its way")

    steps = (step._replace(do=fail) if step.do is session.find_program else step for step in JOIN)
    monkeypatch.setattr(executing, "JOIN", tuple(steps))
    before = containers.seen()
    with pytest.raises(HoldfastError, match="on its way"):
        execute(request(box, "true"))
    eventually(lambda: not containers.seen() - before)


def test_process_starts_in_a_paused_container_once_it_goes_on(box: Box) -> None:
    pause(box.root, box.id)
    pid = os.fork()
    if not pid:
        asked = request(box, "true")
        asked.ignore_paused = True
        try:
            reap(execute(asked))
        finally:
            os._exit(0)
    assert "paused" == box.state().status
    resume(box.root, box.id)
    assert 0 == reap(pid)
