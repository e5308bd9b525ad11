"""A container's lives: create, start, stop, start again; power cuts and killed shims."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from support.holdfast import Holdfast

pytestmark = pytest.mark.root

OTHER_BOOT = "00000000-0000-4000-8000-000000000000"


def shim_of(hf: Holdfast, name: str) -> int:
    """Return the pid of a container's shim: the parent of its first process."""
    pid = hf.state(name)["Pid"]
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])


def test_a_container_can_be_started_again_and_keeps_its_files(hf: Holdfast) -> None:
    hf.ok("create", "--name", "x", "--", "sh", "-c", "echo run >> /root/runs; wc -l < /root/runs; exit 4")
    assert "created" == hf.state("x")["Status"]
    for count in (1, 2, 3):
        result = hf("start", "-a", "x")
        assert (4, f"{count}\n") == (result.code, result.out)
    assert "1\n2\n3\n" == hf("logs", "x").out


def test_start_of_what_runs_changes_nothing(hf: Holdfast) -> None:
    hf.ok("run", "-d", "--name", "x", "--", "sleep", "1000")
    pid = hf.state("x")["Pid"]
    assert "x" == hf.ok("start", "x")
    assert pid == hf.state("x")["Pid"]
    assert 125 == hf("start", "-a", "x").code


def test_start_of_what_cannot_run_is_told_and_the_container_stays(hf: Holdfast) -> None:
    hf.ok("create", "--name", "x", "--", "no-such-command")
    assert 125 == hf("start", "x").code
    assert 127 == hf("start", "-a", "x").code
    assert "no-such-command" in hf.ok("ps", "-a", "--no-trunc")


def test_stop_asks_first_and_kills_then(hf: Holdfast) -> None:
    script = "trap 'echo asked; exit 3' TERM; while :; do sleep 0.1; done"
    hf.ok("run", "-d", "--name", "polite", "--", "sh", "-c", script)
    hf.ok("run", "-d", "--name", "deaf", "--", "sleep", "1000")
    hf.wait_for(lambda: hf.state("polite")["Running"])
    began = time.monotonic()
    assert "polite\ndeaf" == hf.ok("stop", "-t", "1", "polite", "deaf")
    assert time.monotonic() - began < 20
    assert (3, 137) == tuple(hf.state(name)["ExitCode"] for name in ("polite", "deaf"))
    assert "polite" == hf.ok("stop", "polite")


def test_stop_uses_the_signal_that_the_container_was_made_with(hf: Holdfast) -> None:
    script = "trap 'exit 5' USR1; echo ready; while :; do sleep 0.1; done"
    hf.ok("run", "-d", "--name", "x", "--stop-signal", "SIGUSR1", "--", "sh", "-c", script)
    hf.wait_for(lambda: hf("logs", "x").out == "ready\n")
    hf.ok("stop", "x")
    assert 5 == hf.state("x")["ExitCode"]


def test_kill_sends_any_signal_and_needs_something_that_runs(hf: Holdfast) -> None:
    script = "trap 'exit 6' HUP; echo ready; while :; do sleep 0.1; done"
    hf.ok("run", "-d", "--name", "x", "--", "sh", "-c", script)
    hf.wait_for(lambda: hf("logs", "x").out == "ready\n")
    assert "x" == hf.ok("kill", "-s", "hup", "x")
    assert "6" == hf.ok("wait", "x")
    result = hf("kill", "x")
    assert (1, 'holdfast: container "x": is not running, but exited\n') == (result.code, result.err)
    assert 125 == hf("kill", "-s", "NOPE", "x").code


def test_wait_is_answered_also_when_the_container_is_removed_at_its_end(hf: Holdfast) -> None:
    hf.ok("run", "-d", "--rm", "--name", "x", "--", "sh", "-c", "sleep 1; exit 9")
    waiting = [hf.begin("wait", "x") for _ in range(3)]
    for one in waiting:
        out, err = one.communicate(timeout=60)
        assert (0, b"9\n", b"") == (one.returncode, out, err)


def test_stop_does_not_wait_for_a_reader_that_sleeps(hf: Holdfast) -> None:
    """The shim stays with the output that nobody has taken; what counts is that the container has ended."""
    foreground = hf.begin("run", "--name", "x", "--", "yes")
    hf.wait_for(lambda: hf("inspect", "x").code == 0 and hf.state("x")["Running"])
    foreground.send_signal(signal.SIGSTOP)
    assert "x" == hf.ok("stop", "-t", "0", "x")
    assert 137 == hf.state("x")["ExitCode"]
    foreground.kill()
    foreground.communicate(timeout=60)


def test_removal_takes_what_a_killed_shim_has_left(hf: Holdfast) -> None:
    hf.ok("run", "-d", "--name", "x", "--", "sleep", "1000")
    shim = shim_of(hf, "x")
    os.kill(shim, signal.SIGKILL)
    os.waitpid(shim, 0)
    hf.ok("rm", "-f", "x")
    assert [] == os.listdir(hf.root / "run" / "containers")


def test_restart_ends_and_starts(hf: Holdfast) -> None:
    hf.ok("run", "-d", "--name", "x", "--", "sleep", "1000")
    pid = hf.state("x")["Pid"]
    assert "x" == hf.ok("restart", "-t", "0", "x")
    assert hf.state("x")["Running"]
    assert pid != hf.state("x")["Pid"]


def test_after_a_power_cut_it_is_stopped_and_can_be_started_again(hf: Holdfast) -> None:
    """State of another boot: the run directory is empty, the record has another boot's id, nothing runs."""
    hf.ok("run", "-d", "--name", "x", "--", "sh", "-c", "echo up; sleep 1000")
    os.kill(hf.state("x")["Pid"], signal.SIGKILL)
    hf.ok("wait", "x")
    record = hf.record_dir("x") / "container.json"
    content = msgspec.json.decode(record.read_bytes())
    record.write_bytes(msgspec.json.encode({**content, "boot_id": OTHER_BOOT}))
    (record.parent / "exit.json").unlink()
    state = hf.state("x")
    assert ("stopped", None, 0) == (state["Status"], state["ExitCode"], state["Pid"])
    assert "Stopped (exit code unknown)" in hf.ok("ps", "-a")
    assert 125 == hf("wait", "x").code
    assert 1 == hf("kill", "x").code
    assert "x" == hf.ok("stop", "x")
    assert "x" == hf.ok("start", "x")
    assert hf.state("x")["Running"]


def test_a_shim_that_was_killed_leaves_a_container_that_can_still_be_ended(hf: Holdfast) -> None:
    hf.ok("run", "-d", "--name", "x", "--", "sleep", "1000")
    shim = shim_of(hf, "x")
    os.kill(shim, signal.SIGKILL)
    os.waitpid(shim, 0)  # it has become ours: the test is a subreaper
    assert hf.state("x")["Running"]
    assert 125 == hf("attach", "x").code
    assert "x" == hf.ok("stop", "-t", "0", "x")
    assert "stopped" == hf.state("x")["Status"]
    assert "x" == hf.ok("start", "x")
    assert "x" == hf.ok("rm", "-f", "x")


def test_prune_sweeps_orphans_and_nothing_else(hf: Holdfast) -> None:
    hf.ok("run", "-d", "--name", "runs", "--", "sleep", "1000")
    hf.ok("run", "--name", "ended", "--", "true")
    assert "" == hf.ok("system", "prune")
    orphan = "ab" * 32
    (hf.root / f"lib/containers/{orphan}/rootfs/x").mkdir(parents=True, mode=0o700)
    (hf.root / "lib/names/gone").symlink_to("../containers/" + "cd" * 32)
    (hf.root / f"run/containers/{orphan}").mkdir(mode=0o700)
    (hf.root / f"run/exec/{orphan}").mkdir(mode=0o700, parents=True)
    assert {
        f"removed directory of container {orphan}",
        "removed name gone",
        f"removed sockets of containers/{orphan}",
        f"removed sockets of exec/{orphan}",
    } == set(hf.ok("system", "prune").split("\n"))
    assert "" == hf.ok("system", "prune")
    assert ["ended", "runs"] == sorted(hf.ok("ps", "-a", "--format", "{{.Names}}").split("\n"))
    assert hf.state("runs")["Running"]


def test_the_first_command_after_a_boot_sweeps(hf: Holdfast) -> None:
    hf.ok("create", "--name", "x", "--", "true")
    (hf.root / "lib/names/gone").symlink_to("../containers/" + "cd" * 32)
    hf.ok("ps")
    assert (hf.root / "lib/names/gone").is_symlink()
    (hf.root / "run/swept").unlink()
    hf.ok("ps")
    assert not (hf.root / "lib/names/gone").is_symlink()


def test_a_paused_container_does_nothing_until_it_goes_on(hf: Holdfast) -> None:
    hf.ok(
        "run",
        "-d",
        "--name",
        "x",
        "--",
        "sh",
        "-c",
        "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done",
    )
    hf.wait_for(lambda: hf("logs", "x").out != "")
    assert "x" == hf.ok("pause", "x")
    state = hf.state("x")
    assert ("paused", True, True) == (state["Status"], state["Running"], state["Paused"])
    assert "(paused)" in hf.ok("ps")
    hf.wait_for(lambda: hf("logs", "x").out == hf("logs", "x").out)
    before = hf("logs", "x").out
    assert 125 == hf("exec", "x", "true").code
    assert 1 == hf("pause", "x").code
    assert before == hf("logs", "x").out
    assert "x" == hf.ok("unpause", "x")
    hf.wait_for(lambda: hf("logs", "x").out != before)
    assert 1 == hf("unpause", "x").code


def test_a_paused_container_can_be_stopped_and_removed(hf: Holdfast) -> None:
    script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    hf.ok("run", "-d", "--name", "x", "--", "sh", "-c", script)
    hf.wait_for(lambda: hf("logs", "x").out == "ready\n")
    hf.ok("pause", "x")
    hf.ok("stop", "x")
    assert 3 == hf.state("x")["ExitCode"]
    hf.ok("run", "-d", "--name", "y", "--", "sleep", "1000")
    hf.ok("pause", "y")
    hf.ok("rm", "-f", "y")
