"""holdfast-runtime's command line, as managers use it: real processes, exit codes, texts, files."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.caller import read_until
from support.containers import eventually, reap
from support.oci import usual_config
from support.runtime import containers, rt

from holdfast.shim.cli.runtime.main import main

if TYPE_CHECKING:
    from support.runtime import Runtime

__all__ = ["containers", "rt"]

pytestmark = pytest.mark.root

NO_SYSTEMD = "--systemd-cgroup: not in this version; allowed: cgroups by cgroupfs"
SLEEP = ("sleep", "60")
COMMANDS = (
    "create", "start", "run", "exec", "state", "list", "ps", "kill", "pause", "resume", "delete", "spec",
    "features",
)  # fmt: skip


# The program itself


@pytest.mark.parametrize("flag", ["--version", "-v", "-version"])
def test_version_has_the_name_first_and_needs_nothing(rt: Runtime, flag: str) -> None:
    first, *others = rt.ok(flag).splitlines()
    assert re.fullmatch(r"holdfast-runtime version \d+\.\d+.*", first)
    assert "spec: 1.3.0" in others
    assert not Path(rt.root).exists()


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_lists_all_commands(rt: Runtime, words: tuple[str, ...]) -> None:
    text = rt.ok(*words)
    for name in COMMANDS:
        assert re.search(rf"^  {name} +[A-Z]", text, re.MULTILINE), name


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_and_refuses_unknown_flags(rt: Runtime, name: str) -> None:
    assert rt.ok(name, "--help").startswith(f"Usage: holdfast-runtime {name} ")
    told = rt.failure(name, "--no-such-flag", code=255 if name == "exec" else 1)
    assert f'{name}: unknown option "--no-such-flag"; see "holdfast-runtime {name} --help"' == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("checkpoint", "--help"), '"checkpoint" is not a command; see "holdfast-runtime --help"'),
        (("create",), 'create: ID is missing; see "holdfast-runtime create --help"'),
        (("create", "a", "b"), 'create: unexpected word "b"; see "holdfast-runtime create --help"'),
        (("--nope", "list"), 'unknown option "--nope"; see "holdfast-runtime --help"'),
        (("--log-format", "xml", "list"), ': --log-format: "xml" is not allowed; allowed: text, json'),
        (("--systemd-cgroup", "list"), NO_SYSTEMD),
        (("--cgroup-manager=systemd", "list"), NO_SYSTEMD),
        (("--cgroup-manager=x", "list"), '--cgroup-manager: "x" is not allowed; allowed: cgroupfs'),
        (("--root", "/", "list"), '--root: "/" is not allowed; allowed: a directory of its own'),
        (("--root", "/no/such", "list"), '--root: "/no/such" is not a directory'),
        (("state", "a/b"), 'invalid container ID format: invalid character "/" in container ID "a/b"'),
        (("kill", "nobody", "FOO"), 'unknown signal "FOO"'),
    ],
)  # fmt: skip
def test_misuse_is_told_with_exit_code_1(rt: Runtime, words: tuple[str, ...], told: str) -> None:
    assert told == rt.failure(*words)


@pytest.mark.parametrize("name", ["start", "state", "kill", "delete", "pause", "resume", "ps"])
def test_unknown_container_is_told_as_managers_read_it(rt: Runtime, name: str) -> None:
    assert 'container "nobody": container does not exist' == rt.failure(name, "nobody")


def test_root_of_somebody_else_is_below_the_runtime_directory(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert 1 == main(["list"])
    told = "holdfast-runtime: XDG_RUNTIME_DIR: is not set; needed: a directory of yours, or --root\n"
    assert told == capfd.readouterr().err
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "holdfast-runtime/half").mkdir(parents=True, mode=0o700)
    assert 0 == main(["list", "-q"])


# The life of a container


def test_container_lives_from_create_to_delete(rt: Runtime) -> None:
    container_id = rt.create(usual_config(*SLEEP), "--pid-file", f"{rt.directory}/pid")
    state = rt.state(container_id)
    assert ("created", container_id, rt.bundle) == (state["status"], state["id"], state["bundle"])
    assert str(state["pid"]) == Path(f"{rt.directory}/pid").read_text()
    assert "" == rt.ok("start", container_id)
    assert "running" == rt.state(container_id)["status"]
    told = rt.failure("delete", container_id)
    assert f'cannot delete container "{container_id}" that is not stopped: running' == told
    assert "" == rt.ok("kill", container_id, "KILL")
    rt.await_status(container_id, "stopped")
    assert "" == rt.ok("delete", container_id)
    assert [] == json.loads(rt.ok("list", "--format", "json"))


def test_bundle_is_the_current_directory_if_none_is_given(rt: Runtime) -> None:
    rt.made.bundle(usual_config(*SLEEP))
    rt.ok("create", rt.made.new_id(), cwd=rt.bundle)


def test_environment_of_a_manager_is_enough(rt: Runtime) -> None:
    rt.made.bundle(usual_config())
    assert 0 == rt("run", "-b", rt.bundle, rt.made.new_id(), env={}).code


def test_streams_of_the_container_are_the_callers(rt: Runtime) -> None:
    rt.made.bundle(usual_config("sh", "-c", "cat; echo to stderr >&2"))
    said = rt("run", "-b", rt.bundle, rt.made.new_id(), stdin="from stdin\n")
    assert (0, "from stdin\n", "to stderr\n") == (said.code, said.out, said.err)


def test_flags_may_have_one_dash_or_two_and_an_equals_sign(rt: Runtime) -> None:
    rt.made.bundle(usual_config(*SLEEP))
    name = rt.made.new_id()
    words = [
        "-log-format=json",
        f"-log={rt.directory}/log",
        "create",
        f"-bundle={rt.bundle}",
        "-no-new-keyring",
        name,
    ]
    rt.ok(*words)
    assert "created" == rt.state(name)["status"]
    assert not Path(f"{rt.directory}/log").exists()


def test_list_prints_a_table_json_or_ids(rt: Runtime) -> None:
    assert "[]\n" == rt.ok("list", "-f", "json") if Path(rt.root).exists() else True
    names = sorted(rt.create(usual_config(*SLEEP)) for _ in range(2))
    assert names == rt.ok("list", "-q").split()
    assert names == [one["id"] for one in json.loads(rt.ok("list", "--format=json"))]
    head, *rows = rt.ok("list").splitlines()
    assert ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"] == head.split()
    assert names == [row.split()[0] for row in rows]
    assert head.index("STATUS") == rows[0].index("created")


def test_list_tells_of_a_broken_container_and_goes_on(rt: Runtime) -> None:
    names = [rt.create(usual_config(*SLEEP)) for _ in range(2)]
    record = Path(rt.root) / names[0] / "state.json"
    kept = record.read_bytes()
    record.write_bytes(b"{")
    said = rt("list", "-q")
    record.write_bytes(kept)
    assert (0, f"{names[1]}\n") == (said.code, said.out)
    assert names[0] in said.err


@pytest.mark.parametrize("word", ["TERM", "sigterm", "15"])
def test_kill_takes_names_and_numbers(rt: Runtime, word: str) -> None:
    script = "trap 'exit 3' TERM; touch /tmp/ready; while :; do sleep 0.01; done"
    name = rt.begin(usual_config("sh", "-c", script))
    eventually((rt.made.rootfs / "tmp/ready").exists)
    rt.ok("kill", name, word)
    rt.await_status(name, "stopped")
    assert f'container "{name}": container not running' == rt.failure("kill", name, word)
    rt.ok("kill", "--all", name, word)


def test_delete_with_force_is_silent_whatever_there_is(rt: Runtime) -> None:
    rt.ok("delete", "--force", "nobody")
    name = rt.begin(usual_config(*SLEEP))
    rt.ok("delete", "-f", name)
    rt.ok("delete", "-f", name)
    assert 'invalid container ID format: container ID ".." means a directory' == rt.failure(
        "delete", "-f", ".."
    )


def test_pause_and_resume(rt: Runtime) -> None:
    name = rt.begin(usual_config(*SLEEP))
    rt.ok("pause", name)
    assert "paused" == rt.state(name)["status"]
    told = rt.failure("exec", name, "true", code=255)
    assert f'container "{name}": cannot exec in a paused container (use --ignore-paused to override)' == told
    rt.ok("resume", name)
    assert "running" == rt.state(name)["status"]
    assert f'container "{name}": container not paused' == rt.failure("resume", name)


def test_ps_lists_the_processes(rt: Runtime) -> None:
    name = rt.begin(usual_config("sh", "-c", "sleep 61 & sleep 62; wait"))
    eventually(lambda: 3 == len(json.loads(rt.ok("ps", "--format", "json", name))))
    pids = json.loads(rt.ok("ps", "-f", "json", name))
    assert rt.state(name)["pid"] in pids
    head, *rows = rt.ok("ps", name).splitlines()
    assert "PID" in head.split()
    assert sorted(pids) == sorted(int(row.split()[1]) for row in rows)
    head, *rows = rt.ok("ps", name, "-e", "-o", "pid,args").splitlines()
    assert {"sleep 61", "sleep 62"} < {row.split(maxsplit=1)[1] for row in rows}
    rt.ok("kill", name, "KILL")
    rt.await_status(name, "stopped")
    assert "[]\n" == rt.ok("ps", "-f", "json", name)


# What goes wrong


def test_missing_command_is_told_with_the_words_for_create_and_in_the_log(rt: Runtime) -> None:
    rt.made.bundle(usual_config("no-such"))
    log = Path(f"{rt.directory}/log")
    name = rt.made.new_id()
    told = rt.failure("--log", str(log), "--log-format", "json", "create", "-b", rt.bundle, name)
    assert (
        "holdfast-runtime create failed: unable to start container process: "
        'exec: "no-such": executable file not found in $PATH'
    ) == told
    (line,) = log.read_text().splitlines()
    logged = json.loads(line)
    assert ("error", told) == (logged["level"], logged["msg"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", logged["time"])
    assert f'container "{name}": container does not exist' == rt.failure("state", name)


def test_log_as_text_has_the_sentence_too(rt: Runtime) -> None:
    log = Path(f"{rt.directory}/log")
    told = rt.failure("--log", str(log), "state", "nobody")
    assert log.read_text().endswith(f" error: {told}\n")


def test_log_that_cannot_be_written_is_told_besides(rt: Runtime) -> None:
    said = rt("--log", "/no/such/log", "state", "nobody")
    assert 1 == said.code
    first, second = said.err.splitlines()
    assert "container does not exist" in first
    assert 'holdfast-runtime: --log "/no/such/log": No such file or directory' == second


@pytest.mark.timeout(30)
def test_log_that_is_a_fifo_without_a_reader_holds_nobody_up(rt: Runtime) -> None:
    os.mkfifo(f"{rt.directory}/log")
    assert 1 == rt("--log", f"{rt.directory}/log", "state", "nobody").code


def test_missing_bundle_is_told(rt: Runtime) -> None:
    told = rt.failure("create", "-b", "/no/such", rt.made.new_id())
    assert 'bundle "/no/such": config.json: No such file or directory' == told


def test_missing_interpreter_is_told_by_start(rt: Runtime) -> None:
    script = rt.made.rootfs / "script"
    script.write_text("#!/no/such\n")
    script.chmod(0o755)
    name = rt.create(usual_config("/script"))
    assert 'exec "/script": No such file or directory' == rt.failure("start", name)
    rt.ok("delete", name)


SLOW_CREATE = """
import os, time
import holdfast.runtime.create as creating
from holdfast.runtime.setup import parking
from holdfast.shim.cli.boot import holdfast_runtime

def slow(making):
    os.write(2, b"!")
    time.sleep(60)

steps = creating.SETUP
creating.SETUP = tuple(step._replace(do=slow) if step.do is parking.park else step for step in steps)
holdfast_runtime()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_during_create_walks_it_back(rt: Runtime, number: int) -> None:
    config = usual_config(*SLEEP)
    rt.made.bundle(config)
    name = rt.made.new_id()
    argv = [sys.executable, "-I", "-c", SLOW_CREATE, "--root", rt.root, "create", "-b", rt.bundle, name]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as creating:
        assert creating.stderr is not None
        assert b"!" == creating.stderr.read(1)
        creating.send_signal(number)
        text = creating.stderr.read().decode()
        assert 1 == creating.wait(20)
    name_of = signal.Signals(number).name
    assert f"holdfast-runtime: create: ended by {name_of}; nothing is left of it\n" == text
    assert [] == os.listdir(rt.root)


# run


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_run_gives_the_programs_exit_code_and_deletes_the_container(
    rt: Runtime, script: str, code: int
) -> None:
    config = usual_config("sh", "-c", script)
    config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "pid"]
    rt.made.bundle(config)
    name = rt.made.new_id()
    assert code == rt("run", "-b", rt.bundle, name).code
    assert "does not exist" in rt.failure("state", name)


def test_run_with_keep_leaves_it_stopped(rt: Runtime) -> None:
    rt.made.bundle(usual_config())
    name = rt.made.new_id()
    rt.ok("run", "--keep", "-b", rt.bundle, name)
    assert "stopped" == rt.state(name)["status"]


def test_run_detached_returns_with_the_container_running(rt: Runtime) -> None:
    rt.made.bundle(usual_config(*SLEEP))
    name = rt.made.new_id()
    rt.ok("run", "-d", "--pid-file", f"{rt.directory}/pid", "-b", rt.bundle, name)
    state = rt.state(name)
    assert ("running", Path(f"{rt.directory}/pid").read_text()) == (state["status"], str(state["pid"]))


def test_run_that_cannot_start_leaves_nothing(rt: Runtime) -> None:
    script = rt.made.rootfs / "script"
    script.write_text("#!/no/such\n")
    script.chmod(0o755)
    rt.made.bundle(usual_config("/script"))
    name = rt.made.new_id()
    assert 'exec "/script": No such file or directory' == rt.failure("run", "-b", rt.bundle, name)
    assert [] == os.listdir(rt.root)


def test_run_passes_signals_on(rt: Runtime) -> None:
    rt.made.bundle(usual_config("sh", "-c", "trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done"))
    argv = rt.argv("run", "-b", rt.bundle, rt.made.new_id())
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        read_until(running.stdout.fileno(), b"ready")
        running.send_signal(signal.SIGUSR1)
        assert 9 == running.wait(20)


# exec


def test_exec_has_what_the_containers_process_has(rt: Runtime) -> None:
    config = usual_config(*SLEEP)
    config["process"] |= {"cwd": "/tmp", "env": ["PATH=/bin", "A=1"], "user": {"uid": 7, "gid": 8}}
    name = rt.begin(config)
    script = "pwd; echo $A; id -u; id -g; grep NoNewPrivs /proc/self/status"
    assert ["/tmp", "1", "7", "8", "NoNewPrivs:", "1"] == rt.ok("exec", name, "sh", "-c", script).split()


def test_exec_has_what_it_is_told(rt: Runtime) -> None:
    config = usual_config(*SLEEP)
    config["process"] |= {"env": ["PATH=/bin", "A=1", "B=1"], "noNewPrivileges": False}
    name = rt.begin(config)
    script = "pwd; echo $A $B $C; id -u; id -g; grep -E 'NoNewPrivs|Groups' /proc/self/status"
    words = ["--cwd", "/tmp", "-e", "A=2", "--env=C=3", "-u", "5:6", "-g", "9", "--no-new-privs"]
    lines = rt.ok("exec", *words, name, "sh", "-c", script).splitlines()
    assert ["/tmp", "2 1 3", "5", "6"] == lines[:4]
    assert {"NoNewPrivs:\t1", "Groups:\t9 "} == set(lines[4:])


def test_exec_with_a_capability_has_it_besides(rt: Runtime) -> None:
    name = rt.begin(usual_config(*SLEEP))
    show = ("grep", "CapEff", "/proc/self/status")
    before = int(rt.ok("exec", name, *show).split()[1], 16)
    assert before | 1 << 13 == int(rt.ok("exec", "-c", "CAP_NET_RAW", name, *show).split()[1], 16)


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -15 $$", 143), ("exit 255", 255)]
)
def test_exec_gives_the_programs_exit_code(rt: Runtime, script: str, code: int) -> None:
    name = rt.begin(usual_config(*SLEEP))
    assert code == rt("exec", name, "sh", "-c", script).code


def test_exec_takes_the_process_from_a_file_or_a_pipe(rt: Runtime) -> None:
    name = rt.begin(usual_config(*SLEEP))
    process = {
        "args": ["echo", "from a file"],
        "cwd": "/",
        "env": ["PATH=/bin"],
        "user": {"uid": 0, "gid": 0},
    }
    Path(f"{rt.directory}/process.json").write_text(json.dumps(process))
    assert "from a file\n" == rt.ok("exec", "--process", f"{rt.directory}/process.json", name)
    assert "from a file\n" == rt.ok("exec", "-p", "/dev/stdin", name, stdin=json.dumps(process))


def test_exec_detached_leaves_it_running_and_writes_its_pid(rt: Runtime) -> None:
    name = rt.begin(usual_config(*SLEEP))
    rt.ok("exec", "-d", "--pid-file", f"{rt.directory}/pid", name, "sleep", "77")
    pid = int(Path(f"{rt.directory}/pid").read_text())
    assert b"sleep\x0077\x00" == Path(f"/proc/{pid}/cmdline").read_bytes()
    assert pid in json.loads(rt.ok("ps", "-f", "json", name))
    os.kill(pid, signal.SIGKILL)
    reap(pid)  # the test is its parent by now, and the pid namespace ends only when all in it are reaped


def test_exec_is_possible_in_a_created_container(rt: Runtime) -> None:
    name = rt.create(usual_config(*SLEEP))
    assert "hello\n" == rt.ok("exec", name, "echo", "hello")
    assert "created" == rt.state(name)["status"]


def test_failed_exec_is_told_with_its_words_and_255(rt: Runtime) -> None:
    name = rt.begin(usual_config(*SLEEP))
    prefix = "exec failed: unable to start container process: "
    told = rt.failure("exec", name, "no-such", code=255)
    assert f'{prefix}exec: "no-such": executable file not found in $PATH' == told
    assert f'{prefix}exec: "/etc": permission denied' == rt.failure("exec", name, "/etc", code=255)
    assert "exec: COMMAND is missing; needed: a command, or --process" == rt.failure("exec", name, code=255)
    assert "exec: a terminal needs --console-socket" == rt.failure("exec", "-t", name, "true", code=255)
    assert "does not exist" in rt.failure("exec", "nobody", "true", code=255)
    for wrong in ("x", "1:", "-1", "4294967296"):
        assert "exec: --user: " in rt.failure("exec", f"--user={wrong}", name, "true", code=255)
    rt.ok("kill", name, "KILL")
    rt.await_status(name, "stopped")
    told = rt.failure("exec", name, "true", code=255)
    assert f'container "{name}": cannot exec in a stopped container' == told


def test_what_a_process_asks_for_and_cannot_have_is_told(rt: Runtime) -> None:
    name = rt.begin(usual_config(*SLEEP))
    process = {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "apparmorProfile": "strict"}
    told = rt.failure("exec", "-p", "/dev/stdin", name, stdin=json.dumps(process), code=255)
    assert 'process.apparmorProfile: "strict" is not allowed; allowed: nothing, in this version' == told


# Descriptors and sockets


def test_terminal_goes_to_the_console_socket(rt: Runtime) -> None:
    config = usual_config("tty")
    config["process"]["terminal"] = True
    rt.made.bundle(config)
    told = rt.failure("create", "-b", rt.bundle, rt.made.new_id())
    assert "process.terminal: a console socket is needed" == told
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{rt.directory}/console")
        listener.listen()
        rt.begin(config, "--console-socket", f"{rt.directory}/console")
        connection, _ = listener.accept()
        with connection:
            _, (ptm_fd,), _, _ = socket.recv_fds(connection, 10, 1)
    read_until(ptm_fd, b"/dev/pts/0")
    os.close(ptm_fd)


def test_console_socket_where_nobody_listens_is_told(rt: Runtime) -> None:
    rt.made.bundle(usual_config())
    told = rt.failure("create", "-b", rt.bundle, "--console-socket", "/no/such", rt.made.new_id())
    assert '--console-socket "/no/such": No such file or directory' == told


def from_shell(rt: Runtime, redirections: str, *words: str, env: dict[str, str] | None = None) -> str:
    """Run a command whose descriptors a shell has opened; return what it says."""
    shell = f'exec "$@" {redirections}'
    argv = ["/bin/sh", "-c", shell, "sh", *rt.argv(*words)]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(env or {})}
    )
    return done.stdout + done.stderr


@pytest.fixture
def files(rt: Runtime) -> str:
    """Open two files at 3 and 4."""
    for name in ("three", "four"):
        Path(f"{rt.directory}/{name}").write_text(f"{name}\n")
    return f"3<{rt.directory}/three 4<{rt.directory}/four"


def test_preserved_descriptors_arrive_in_their_order(rt: Runtime, files: str) -> None:
    rt.made.bundle(usual_config("sh", "-c", "cat <&3; cat <&4; ls /proc/self/fd | tr '\\n' ' '"))
    said = from_shell(rt, files, "run", "--preserve-fds", "2", "-b", rt.bundle, rt.made.new_id())
    assert ["three", "four", "0 1 2 3 4 5 "] == said.splitlines()


def test_descriptors_that_are_not_preserved_do_not_arrive(rt: Runtime, files: str) -> None:
    rt.made.bundle(usual_config("sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"))
    assert "0 1 2 3 " == from_shell(rt, files, "run", "-b", rt.bundle, rt.made.new_id())


def test_many_descriptors_arrive(rt: Runtime) -> None:
    rt.made.bundle(usual_config("sh", "-c", "ls /proc/self/fd | wc -l"))
    redirections = " ".join(f"{fd}</dev/null" for fd in range(3, 10))
    said = from_shell(rt, redirections, "run", "--preserve-fds", "7", "-b", rt.bundle, rt.made.new_id())
    assert "11\n" == said


def test_preserved_descriptor_that_is_not_open_is_told(rt: Runtime, files: str) -> None:
    rt.made.bundle(usual_config())
    said = from_shell(rt, files, "create", "--preserve-fds", "3", "-b", rt.bundle, rt.made.new_id())
    assert "holdfast-runtime: preserved fd 5 is not open\n" == said


def test_activated_sockets_are_announced_by_the_pid_that_the_program_has(rt: Runtime, files: str) -> None:
    script = "cat <&3; cat <&4; echo $LISTEN_FDS $LISTEN_FDNAMES; echo $LISTEN_PID $$"
    env = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web", "LISTEN_PID": "1"}
    for kept in (True, False):
        config = usual_config("sh", "-c", script)
        config["linux"]["namespaces"] = [
            one for one in config["linux"]["namespaces"] if kept or one["type"] != "pid"
        ]
        rt.made.bundle(config)
        words = ["run", "--preserve-fds", "1", "-b", rt.bundle, rt.made.new_id()]
        *lines, pids = from_shell(rt, files, *words, env=env).splitlines()
        assert ["three", "four", "1 web"] == lines
        announced, own = pids.split()
        assert own == announced
        assert kept == ("1" == own)


# spec and features


@pytest.mark.parametrize("rootless", [False, True])
def test_spec_writes_a_config_that_runs(rt: Runtime, rootless: bool) -> None:
    (rt.made.directory / "bundle/config.json").unlink()
    rt.ok("spec", "--bundle", rt.bundle, *(["--rootless"] if rootless else []))
    path = rt.made.directory / "bundle/config.json"
    config = json.loads(path.read_text())
    assert {"ociVersion", "process", "root", "hostname", "mounts", "linux"} == set(config)
    told = rt.failure("spec", "-b", rt.bundle)
    assert f'write "{path}": File exists' == told
    config["process"] |= {"terminal": False, "args": ["hostname"]}
    path.write_text(json.dumps(config))
    assert "holdfast\n" == rt.ok("run", "-b", rt.bundle, rt.made.new_id())


def test_features_names_what_managers_look_for(rt: Runtime) -> None:
    features = json.loads(rt.ok("features", root=False))
    assert ("1.0.0", "1.3.0") == (features["ociVersionMin"], features["ociVersionMax"])
    assert {"rro", "idmap", "bind", "rprivate"} <= set(features["mountOptions"])
    assert features["mountOptions"] == sorted(features["mountOptions"])
    assert features["linux"]["mountExtensions"]["idmap"]["enabled"] is True
    assert features["linux"]["seccomp"]["enabled"] is True
    assert "CAP_CHECKPOINT_RESTORE" in features["linux"]["capabilities"]


def test_explain_tells_the_steps_on_stderr(rt: Runtime) -> None:
    rt.made.bundle(usual_config())
    said = rt("run", "--explain", "-b", rt.bundle, rt.made.new_id())
    assert 0 == said.code
    assert " 1 parent reserve the id" in said.err
    assert "source: pivot_root(2)" in said.err
