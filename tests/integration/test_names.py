"""Containers as things with a name: ps, inspect, rm, and two that want the same at once."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.holdfast import Holdfast

pytestmark = pytest.mark.root

EVIL = "\x1b]52;c;aGk=\x07\u202e"
NO_ONE = [
    "nobody",
    "",
    ".",
    "..",
    "../names",
    "a/b",
    "x" * 300,
    "x\ny",
    "\u0430",
    "f" * 64,
    b"a\xffb",
    "--",
    "-",
]


def test_of_two_that_want_a_name_at_once_one_runs(hf: Holdfast) -> None:
    running = [hf.begin("run", "-d", "--name", "x", "--", "sleep", "1000") for _ in range(6)]
    results = [(one.communicate(timeout=60), one.returncode) for one in running]
    assert [0, 125, 125, 125, 125, 125] == sorted(code for _, code in results)
    (winner,) = [out.decode().strip() for (out, _), code in results if code == 0]
    for (_, err), code in results:
        if code:
            assert f'holdfast: container name "x": is taken by container {winner}\n' == err.decode()
    assert winner == hf.ok("ps", "-q", "--no-trunc")


def test_of_two_that_start_a_container_at_once_one_does(hf: Holdfast) -> None:
    hf.ok("create", "--name", "x", "--", "sleep", "1000")
    running = [hf.begin("start", "x") for _ in range(4)]
    for one in running:
        one.communicate(timeout=60)
        assert 0 == one.returncode
    assert 1 == len(os.listdir(hf.root / "run/runtime"))


def test_rm_during_stop(hf: Holdfast) -> None:
    """`rm` is told that it still runs, `rm -f` ends it, and `stop` finds that it has got what it wanted."""
    hf.ok("run", "-d", "--name", "x", "--", "sleep", "1000")
    stopping = hf.begin("stop", "-t", "30", "x")
    result = hf("rm", "x")
    assert (1, 'holdfast: container "x": is running; stop it first, or use -f\n') == (
        result.code,
        result.err,
    )
    assert "x" == hf.ok("rm", "-f", "x")
    out, err = stopping.communicate(timeout=60)
    assert (0, b"x\n", b"") == (stopping.returncode, out, err)
    assert [] == hf.left()


@pytest.mark.parametrize("name", NO_ONE)
def test_an_unknown_name_is_told_by_every_command(hf: Holdfast, name: str | bytes) -> None:
    hf.ok("create", "--name", "other", "--", "true")
    own_code = {"exec": 125, "attach": 125, "wait": 125}
    for command in ("start", "stop", "kill", "rm", "logs", "inspect", "restart", "attach", "wait", "exec"):
        more = ["true"] if command == "exec" else []
        result = hf(command, "--", name, *more)
        assert own_code.get(command, 1) == result.code, (command, result)
        assert "no such container" in result.err, (command, result)
        assert result.err.removesuffix("\n").isprintable()
    assert 0 == hf("rm", "-f", "--", name).code
    assert "other" == hf.ok("ps", "-a", "--format", "{{.Names}}")


@pytest.mark.parametrize("name", ["", "-x", "a b", "../x", "x\n", "x" * 200, "e" * 64, EVIL, b"a\xff"])
def test_a_bad_name_is_refused_before_anything_is_made(hf: Holdfast, name: str | bytes) -> None:
    result = hf("run", "--name", name, "--", "true")
    assert 125 == result.code
    assert "invalid container name" in result.err
    assert result.err.removesuffix("\n").isprintable()
    assert [] == hf.left()


def test_ps_lists_what_runs_and_with_all_what_has_ended(hf: Holdfast) -> None:
    running = hf.ok("run", "-d", "--name", "runs", "--label", "a=b", "--", "sleep", "1000")
    hf("run", "--name", "ended", "--", "sh", "-c", "exit 3")
    hf.ok("create", "--name", "made", "--", "true")
    assert running[:12] == hf.ok("ps", "-q")
    head, line = hf.ok("ps").split("\n")
    assert ["CONTAINER", "ID", "COMMAND", "CREATED", "STATUS", "NAMES"] == head.split()
    assert line.startswith(running[:12])
    assert "Up " in line
    assert ["made Created", "ended Exited (3) ago", "runs Up"] == [
        " ".join(
            word
            for word in row.split()
            if word in ("made", "ended", "runs", "Created", "Exited", "(3)", "ago", "Up")
        )
        for row in hf.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}").split("\n")
    ]
    assert "ended" == hf.ok("ps", "--filter", "exited=3", "--format", "{{.Names}}")
    assert "runs" == hf.ok("ps", "-f", "label=a", "-f", "status=running", "--format", "{{.Names}}")
    assert "made" == hf.ok("ps", "-l", "--format", "{{.Names}}")
    found = json.loads(hf.ok("ps", "-a", "--format", "json"))
    assert ["made", "ended", "runs"] == [one["Names"] for one in found]
    assert ["created", "exited", "running"] == [one["State"] for one in found]
    assert 125 == hf("ps", "--filter", "color=red").code


def test_what_acts_on_a_terminal_is_nowhere_in_lists(hf: Holdfast) -> None:
    hf.ok("create", "--name", "x", "--label", f"note={EVIL}", "--", "echo", EVIL)
    for words in (
        ["ps", "-a"],
        ["ps", "-a", "--format", "json"],
        ["ps", "-a", "--format", "{{.Labels}} {{.Command}}"],
        ["inspect", "x"],
        ["inspect", "-f", "{{.Config.Labels}}", "x"],
    ):
        assert not {char for char in EVIL if not char.isprintable()} & set(hf.ok(*words)), words
    assert EVIL == json.loads(hf.ok("inspect", "x"))[0]["Config"]["Labels"]["note"]


def test_inspect_answers_the_paths_that_scripts_ask_for(hf: Holdfast) -> None:
    container_id = hf.ok(
        "run", "-d", "--name", "x", "--memory", "64m", "--cpus", "0.5", "--", "sleep", "1000"
    )
    pid = hf.ok("inspect", "-f", "{{.State.Pid}}", "x")
    assert b"sleep\0001000\0" == Path(f"/proc/{pid}/cmdline").read_bytes()
    assert f"{container_id} x true running" == hf.ok(
        "inspect", "-f", "{{.Id}} {{.Name}} {{.State.Running}} {{.State.Status}}", "x"
    )
    found = json.loads(hf.ok("inspect", "x"))[0]
    assert (64 << 20, 500_000_000) == (found["HostConfig"]["Memory"], found["HostConfig"]["NanoCpus"])
    assert os.path.exists(found["LogPath"])
    hf.ok("stop", "-t", "0", "x")
    assert "137 false exited" == hf.ok(
        "inspect", "-f", "{{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Status}}", "x"
    )
    assert 125 == hf("inspect", "-f", "{{.Nope}}", "x").code
    assert 125 == hf("inspect", "-f", "{{range .}}", "x").code


def test_rm_removes_what_has_ended_and_tries_all(hf: Holdfast) -> None:
    hf.ok("create", "--name", "a", "--", "true")
    hf.ok("run", "--name", "b", "--", "true")
    result = hf("rm", "a", "nobody", "b")
    assert (1, "a\nb\n") == (result.code, result.out)
    assert [] == hf.left()
    assert 125 == hf("rm").code


def test_rm_does_not_follow_what_the_container_has_left(hf: Holdfast, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    script = (
        f"ln -s {tmp_path}/precious /link; ln -s /../../../../..{tmp_path} /up; mkdir -p $(seq -s/ 1 500)"
    )
    hf.ok("run", "--name", "x", "--", "sh", "-c", script)
    hf.ok("rm", "x")
    assert "data" == (tmp_path / "precious").read_text()


def test_rm_refuses_where_something_is_mounted(hf: Holdfast, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("data")
    hf.ok("create", "--name", "x", "--", "true")
    target = hf.record_dir("x") / "rootfs/mnt"
    subprocess.run(["mount", "--bind", tmp_path / "precious", target], check=True)
    try:
        result = hf("rm", "-f", "x")
        assert 125 == result.code
        assert "is mounted; unmount it first" in result.err
    finally:
        subprocess.run(["umount", target], check=True)
    assert "data" == (tmp_path / "precious/file").read_text()
    hf.ok("rm", "x")
