"""`holdfast exec`: another program in a container that runs."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.holdfast import Holdfast

pytestmark = pytest.mark.root


@pytest.fixture
def box(hf: Holdfast) -> str:
    """Give a container that runs until it is told to end."""
    hf.ok(
        "run", "-d", "--name", "box", "-e", "OF=container", "-w", "/tmp", "-h", "box", "--", "sleep", "1000"
    )
    return "box"


def test_exec_joins_the_container_with_its_own_streams_and_exit_code(hf: Holdfast, box: str) -> None:
    result = hf("exec", box, "sh", "-c", "hostname; echo $OF; pwd; echo err >&2; cat /proc/1/comm; exit 9")
    assert (9, "box\ncontainer\n/tmp\nsleep\n", "err\n") == (result.code, result.out, result.err)


def test_exec_takes_stdin_environment_user_and_directory(hf: Holdfast, box: str) -> None:
    assert "typed\n" == hf("exec", "-i", box, "--", "cat", stdin=b"typed\n").out
    out = hf.ok(
        "exec", "-e", "OF=exec", "-u", "daemon:adm", "-w", "/usr", box, "--", "sh", "-c", "echo $OF; id; pwd"
    )
    assert ["exec", "uid=1(daemon) gid=4(adm) groups=4(adm)", "/usr"] == out.split("\n")


@pytest.mark.parametrize(
    ("command", "code"),
    [(["no-such"], 127), (["/no/such"], 127), (["/etc"], 126), (["sh", "-c", "kill -9 $$"], 137)],
)
def test_exec_has_the_exit_codes_of_a_shell(hf: Holdfast, box: str, command: list[str], code: int) -> None:
    result = hf("exec", box, *command)
    assert code == result.code, result


def test_exec_has_no_more_rights_than_the_container(hf: Holdfast, box: str) -> None:
    script = "grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status"
    inside = hf.ok("exec", box, "sh", "-c", script)
    assert inside == hf.ok("run", "--rm", "--", "sh", "-c", script)
    assert "0 1 2 3" == " ".join(hf.ok("exec", box, "ls", "/proc/self/fd").split())


def test_exec_detached_runs_on(hf: Holdfast, box: str) -> None:
    assert "" == hf.ok("exec", "-d", box, "sh", "-c", "echo done > /tmp/file")
    hf.wait_for(lambda: hf("exec", box, "cat", "/tmp/file").out == "done\n")
    assert 127 == hf("exec", "-d", box, "no-such").code


def test_signals_reach_the_exec_process_and_only_that(hf: Holdfast, box: str) -> None:
    running = hf.begin("exec", box, "sh", "-c", "trap 'exit 6' INT; echo ready; while :; do sleep 0.1; done")
    assert running.stdout is not None
    assert b"ready\n" == running.stdout.readline()
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert 6 == running.returncode
    assert hf.state(box)["Running"]


def test_many_execs_at_once_are_each_answered(hf: Holdfast, box: str) -> None:
    running = [hf.begin("exec", box, "sh", "-c", f"echo {number}; exit {number}") for number in range(12)]
    for number, one in enumerate(running):
        out, err = one.communicate(timeout=60)
        assert (number, f"{number}\n".encode(), b"") == (one.returncode, out, err)
    assert [] == os.listdir(hf.root / "run/exec")


def test_exec_where_nothing_runs_is_told(hf: Holdfast, box: str) -> None:
    hf.ok("stop", "-t", "0", box)
    result = hf("exec", box, "true")
    assert (125, 'holdfast: container "box": is not running, but exited\n') == (result.code, result.err)
    assert 125 == hf("exec", "nobody", "true").code


def test_a_running_exec_ends_with_the_container(hf: Holdfast, box: str) -> None:
    running = hf.begin("exec", box, "sh", "-c", "echo ready; sleep 1000")
    assert running.stdout is not None
    assert b"ready\n" == running.stdout.readline()
    hf.ok("stop", "-t", "0", box)
    running.communicate(timeout=60)
    assert 137 == running.returncode
    hf.wait_for(lambda: os.listdir(hf.root / "run/exec") == [])


def test_users_of_the_image_are_looked_up_in_the_image(hf: Holdfast, box: str) -> None:
    passwd = hf.record_dir(box) / "rootfs/etc/passwd"
    passwd.write_text("root:x:0:0::/:/bin/sh\nonly-here:x:4242:4343::/tmp:/bin/sh\n0:x:1:1::/:/bin/sh\n")
    assert "4242 4343" == hf.ok("exec", "-u", "only-here", box, "sh", "-c", "echo $(id -u) $(id -g)")
    assert "0" == hf.ok("exec", "-u", "0", box, "id", "-u")
    for user, sentence in (
        ("daemon", 'no "daemon"'),
        ("01", "is not an id"),
        ("1:", "is not one"),
        ("-1", "is not an id"),
    ):
        result = hf("exec", "-u", user, box, "true")
        assert 125 == result.code
        assert sentence in result.err
    passwd.unlink()
    os.mkfifo(passwd)
    assert 125 == hf("exec", "-u", "root", box, "true").code
    assert 0 == hf("exec", "-u", "0", box, "true").code
