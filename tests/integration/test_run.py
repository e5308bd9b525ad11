"""`holdfast run` as a person meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.bundle import busybox_rootfs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.holdfast import Holdfast

pytestmark = pytest.mark.root


def test_first_command_of_the_readme_says_hello_from_its_own_host_name(hf: Holdfast) -> None:
    result = hf("run", "--rm", "--", "sh", "-c", "echo hello from $(hostname)")
    assert 0 == result.code, result
    assert os.uname().nodename not in result.out
    assert result.out.startswith("hello from ")
    assert "" == result.err


def test_streams_come_out_unmixed_and_the_exit_code_is_the_containers(hf: Holdfast) -> None:
    result = hf("run", "--rm", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (7, "out\n", "err\n") == (result.code, result.out, result.err)


def test_many_lines_come_out_whole_and_in_order_twenty_times(hf: Holdfast) -> None:
    expected = "".join(f"{number}\n" for number in range(1, 200_001))
    for _ in range(20):
        result = hf("run", "--rm", "--", "sh", "-c", "seq 1 200000; exit 7")
        assert 7 == result.code
        assert expected == result.out


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 255"], 255),
        (["/bin/sh", "-c", "sh -c 'kill -SEGV $$'"], 139),
        (["no-such-command"], 127),
        (["/no/such/path"], 127),
        (["/etc"], 126),
        (["/etc/passwd"], 126),
    ],
)
def test_exit_codes_are_those_of_a_shell(hf: Holdfast, command: list[str], code: int) -> None:
    result = hf("run", "--rm", "--", *command)
    assert code == result.code, result
    if code in (126, 127):
        assert result.err.startswith("holdfast: ")
        assert 1 == result.err.count("\n")
    assert [] == hf.left()


def test_a_program_killed_by_a_signal_is_128_and_its_number(hf: Holdfast) -> None:
    running = hf.begin("run", "--name", "x", "--", "sh", "-c", "echo up; exec sleep 100")
    assert running.stdout is not None
    assert b"up\n" == running.stdout.readline()
    hf.ok("kill", "x")
    out, err = running.communicate(timeout=60)
    assert (137, b"", b"") == (running.returncode, out, err)
    assert ("exited", 137, 9) == tuple(hf.state("x")[key] for key in ("Status", "ExitCode", "Signal"))


def test_stdin_goes_in_only_when_asked_for(hf: Holdfast) -> None:
    assert "typed\n" == hf("run", "--rm", "-i", "--", "cat", stdin=b"typed\n").out
    assert "" == hf("run", "--rm", "--", "cat", stdin=b"typed\n").out


def test_much_stdin_goes_through_and_back(hf: Holdfast) -> None:
    content = os.urandom(8 << 20)
    assert content == hf("run", "--rm", "-i", "--", "cat", stdin=content).raw


def test_output_that_nobody_reads_any_more_ends_the_container(hf: Holdfast) -> None:
    running = hf.begin("run", "--rm", "--", "yes")
    assert running.stdout is not None
    assert b"y\n" == running.stdout.readline()
    running.stdout.close()
    assert 137 == running.wait(60)
    for stream in (running.stdin, running.stderr):
        if stream is not None:
            stream.close()


def test_signals_reach_the_container(hf: Holdfast) -> None:
    script = "trap 'echo got TERM; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    running = hf.begin("run", "--rm", "--", "sh", "-c", script)
    assert running.stdout is not None
    assert b"ready\n" == running.stdout.readline()
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=60)
    assert (5, b"got TERM\n") == (running.returncode, out)


def test_detached_prints_the_id_and_outlives_its_launchers_process_group(
    hf: Holdfast, tmp_path: Path
) -> None:
    """A shell launches it, and is killed with its whole group, as a terminal that is closed does."""
    launch = [
        *hf.argv("run", "-d", "--name", "x", "--", "sh", "-c", "while :; do echo tick; sleep 0.1; done")
    ]
    ids = tmp_path / "id"
    script = 'id=$("$@"); echo "$id" > "$OUT"; sleep 100'
    shell = subprocess.Popen(
        ["sh", "-c", script, "sh", *launch], start_new_session=True, env={**os.environ, "OUT": str(ids)}
    )
    hf.wait_for(lambda: ids.exists() and ids.read_text().endswith("\n"))
    os.killpg(shell.pid, signal.SIGHUP)
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()
    assert hf.state("x")["Running"]
    before = hf.ok("logs", "x").count("tick")
    hf.wait_for(lambda: hf.ok("logs", "x").count("tick") > before + 3)
    assert ids.read_text().strip() == hf.ok("ps", "-q", "--no-trunc")
    assert "x" == hf.ok("stop", "-t", "1", "x")


def test_detached_failure_is_told_at_once_and_leaves_nothing(hf: Holdfast) -> None:
    result = hf("run", "-d", "--", "no-such-command")
    assert (127, "") == (result.code, result.out)
    assert 'exec: "no-such-command": executable file not found' in result.err
    assert [] == hf.left()


def test_detached_with_rm_is_removed_by_its_shim(hf: Holdfast) -> None:
    hf.ok("run", "-d", "--rm", "--name", "x", "--", "sleep", "0.2")
    hf.wait_for(lambda: hf.left() == [])


def test_nothing_of_the_host_can_be_changed_and_nothing_private_is_seen(hf: Holdfast) -> None:
    script = """
        for path in /usr /bin /lib /sbin /etc/alternatives; do
            if touch $path/planted 2>/dev/null; then echo wrote to $path; fi
        done
        ls -A /home /root /tmp /run /var/log
        test -e /etc/shadow && echo shadow
        echo mine > /etc/mine && echo mine > /root/mine && cat /root/mine
    """
    assert "mine" in (out := hf.ok("run", "--rm", "--", "sh", "-c", script))
    assert "wrote to" not in out
    assert "shadow" not in out
    assert not os.path.exists("/etc/mine")


@pytest.fixture
def canaries() -> Iterator[None]:
    """Plant files below /usr, two of which not everybody may read, and one more in a directory like that."""
    modes = {"600": 0o600, "640": 0o640, "644": 0o644}
    directory = Path("/usr/lib/hf-canary-dir")
    directory.mkdir(mode=0o700)
    (directory / "inside").write_text("canary inside\n")
    for name, mode in modes.items():
        path = Path(f"/usr/lib/hf-canary-{name}")
        path.write_text(f"canary {name}\n")
        path.chmod(mode)
    yield
    for name in modes:
        Path(f"/usr/lib/hf-canary-{name}").unlink()
    (directory / "inside").unlink()
    directory.rmdir()


LOOK_FOR_CANARIES = "id -u; cat /usr/lib/hf-canary-6* /usr/lib/hf-canary-dir/*"


@pytest.mark.usefixtures("canaries")
def test_what_not_everybody_may_read_is_not_read_inside(hf: Holdfast) -> None:
    """Root inside has CAP_DAC_OVERRIDE, and is nobody to these files."""
    result = hf("run", "--rm", "--", "sh", "-c", LOOK_FOR_CANARIES)
    assert "0\ncanary 644\n" == result.out
    assert "hf-canary-600: Permission denied" in result.err


@pytest.mark.usefixtures("canaries")
def test_what_not_everybody_may_read_is_hidden_where_ids_cannot_be_mapped(hf: Holdfast) -> None:
    """Have it remembered that no path can be mounted with mapped ids, as on a filesystem that can't."""
    hf.ok("run", "--rm", "--", "true")
    remembered = hf.root / "run/mappable.json"
    known = json.loads(remembered.read_text())
    assert "/usr" in known["paths"]
    remembered.write_text(json.dumps({**known, "paths": []}))
    result = hf("run", "--rm", "--", "sh", "-c", LOOK_FOR_CANARIES)
    assert "0\ncanary 644\n" == result.out


@pytest.mark.usefixtures("canaries")
def test_control_a_plain_mount_shows_them(hf: Holdfast) -> None:
    script = LOOK_FOR_CANARIES.replace("/usr/lib", "/mnt")
    result = hf("run", "--rm", "-v", "/usr/lib:/mnt:ro", "--", "sh", "-c", script)
    assert "0\ncanary 600\ncanary 640\ncanary 644\ncanary inside\n" == result.out


def test_a_rootfs_of_ones_own_is_used_and_written_to(hf: Holdfast, tmp_path: Path) -> None:
    rootfs = busybox_rootfs(tmp_path / "rootfs")
    assert "uid=1000" in hf.ok("run", "--rm", "--rootfs", rootfs, "-u", "user", "--", "/bin/id")
    hf.ok("run", "--rm", "--rootfs", rootfs, "--", "/bin/sh", "-c", "echo kept > /root/file")
    assert "kept\n" == (rootfs / "root/file").read_text()


def test_flags_reach_the_program(hf: Holdfast, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("on the volume\n")
    out = hf.ok(
        "run", "--rm", "-h", "pearl", "-e", "A=b c", "-w", "/tmp/new", "-u", "daemon",
        "-v", f"{tmp_path}/data:/data:ro",
        "--umask", "27", "--cap-drop", "ALL", "--tmpfs", "/scratch:size=1m",
        "--", "sh", "-c",
        "hostname; echo $A; pwd; id -un; cat /data/file; umask; grep CapBnd /proc/self/status;"
        "grep -c ' /scratch ' /proc/self/mounts; touch /data/x 2>/dev/null || echo read-only",
    )  # fmt: skip
    expected = [
        "pearl",
        "b c",
        "/tmp/new",
        "daemon",
        "on the volume",
        "0027",
        "CapBnd:\t0000000000000000",
        "1",
        "read-only",
    ]
    assert expected == out.split("\n")


def test_limits_reach_the_program(hf: Holdfast) -> None:
    script = (
        "ulimit -Sn; ulimit -Hn; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true"
    )
    out = hf.ok("run", "--rm", "--ulimit", "nofile=64:65", "--pids-limit", "77", "--", "sh", "-c", script)
    assert ["64", "65", "77"] == out.split("\n")


def test_nothing_of_the_callers_environment_gets_in(hf: Holdfast) -> None:
    environment = {
        **os.environ,
        "SECRET": "s3cret",
        "LD_PRELOAD": "",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    result = hf("run", "--rm", "-e", "TAKEN", "--", "env", env={**environment, "TAKEN": "yes"})
    names = {line.split("=")[0] for line in result.out.splitlines()}
    assert {"PATH", "HOSTNAME", "container", "HOME", "TAKEN"} == names


def test_only_loopback_is_there_without_the_hosts_network(hf: Holdfast) -> None:
    assert ["lo:"] == hf.ok(
        "run", "--rm", "--", "sh", "-c", "tail -n +3 /proc/net/dev | cut -d' ' -f5- | awk '{print $1}'"
    ).split()
    host = hf.ok("run", "--rm", "--network", "host", "--", "readlink", "/proc/self/ns/net")
    assert os.readlink("/proc/self/ns/net") == host


def test_a_read_only_root_cannot_be_written_to(hf: Holdfast) -> None:
    result = hf("run", "--rm", "--read-only", "--", "sh", "-c", "touch /file || touch /dev/shm/file")
    assert 0 == result.code
    assert "Read-only file system" in result.err


def test_explain_tells_each_step_on_stderr_and_nothing_else_changes(hf: Holdfast) -> None:
    result = hf("run", "--rm", "--explain", "--", "echo", "hi")
    assert "hi\n" == result.out
    assert "reserve the id" in result.err
    assert "µs" in result.err


def test_with_standard_descriptors_closed_nothing_takes_their_place(hf: Holdfast) -> None:
    for closed in ("<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        script = f'"$@" {closed}'
        argv = hf.argv(
            "run", "--rm", "--", "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; ls -l /proc/self/fd/0"
        )
        done = subprocess.run(
            ["sh", "-c", script, "sh", *argv], capture_output=True, timeout=60, check=False
        )
        assert 0 == done.returncode, (closed, done)
        if ">&-" not in closed.split():
            assert done.stdout.startswith(b"0 1 2 3 "), (closed, done)
            assert b"/dev/null" in done.stdout


@pytest.mark.parametrize("umask", [0, 0o777])
def test_the_callers_umask_changes_nothing(hf: Holdfast, umask: int) -> None:
    before = os.umask(umask)
    try:
        out = hf.ok(
            "run", "--rm", "--name", "x", "--", "sh", "-c", "umask; stat -c %a / /tmp /etc /etc/passwd"
        )
    finally:
        os.umask(before)
    assert ["0022", "755", "1777", "755", "644"] == out.split()


def test_a_poisoned_working_directory_is_not_imported_from(hf: Holdfast, tmp_path: Path) -> None:
    for name in ("json", "msgspec", "trio", "encodings", "prctl"):
        (tmp_path / f"{name}.py").write_text("import os; os.write(2, b'p0isoned')")
    result = hf("run", "--rm", "--bundle", ".", "--", "true", cwd=tmp_path)
    assert "p0isoned" not in result.err


def test_an_argument_that_is_no_utf8_is_told(hf: Holdfast) -> None:
    result = hf("run", "--", "echo", b"a\xffb")
    assert 125 == result.code
    assert '"a\\xffb": is not UTF-8' in result.err
    assert [] == hf.left()


def test_time_from_command_to_program_is_short(hf: Holdfast) -> None:
    """No figure to boast of, only a fence: something that takes seconds would not be noticed otherwise."""
    hf.ok("run", "--rm", "--", "true")
    began = time.monotonic()
    hf.ok("run", "--rm", "--", "true")
    assert time.monotonic() - began < 3
