"""What goes wrong: one sentence, the right exit code, and nothing left."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support.bundle import busybox_rootfs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.holdfast import Holdfast

pytestmark = pytest.mark.root

CONFIG: dict[str, Any] = {
    "ociVersion": "1.0.2",
    "root": {"path": "rootfs"},
    "process": {"cwd": "/", "args": ["/bin/sh", "-c", "exit 5"], "user": {"uid": 0, "gid": 0}},
    "linux": {"namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts", "network")]},
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Give a bundle that works."""
    busybox_rootfs(tmp_path / "bundle/rootfs")
    (tmp_path / "bundle/config.json").write_text(json.dumps(CONFIG))
    return tmp_path / "bundle"


def break_(bundle: Path, **changes: object) -> None:
    (bundle / "config.json").write_text(json.dumps({**CONFIG, **changes}))


def no_bundle(bundle: Path) -> None:
    bundle.rename(bundle.with_name("elsewhere"))


def no_config(bundle: Path) -> None:
    (bundle / "config.json").unlink()


def no_json(bundle: Path) -> None:
    (bundle / "config.json").write_text("{")


def deep_json(bundle: Path) -> None:
    (bundle / "config.json").write_text("[" * 100_000)


def huge_config(bundle: Path) -> None:
    with (bundle / "config.json").open("wb") as file:
        file.truncate(20 << 20)


def fifo_config(bundle: Path) -> None:
    (bundle / "config.json").unlink()
    os.mkfifo(bundle / "config.json")


def wrong_shape(bundle: Path) -> None:
    break_(bundle, process={**CONFIG["process"], "cwd": 7})


def no_rootfs(bundle: Path) -> None:
    (bundle / "rootfs").rename(bundle / "other")


def file_for_rootfs(bundle: Path) -> None:
    no_rootfs(bundle)
    (bundle / "rootfs").touch()


def no_command(bundle: Path) -> None:
    break_(bundle, process={**CONFIG["process"], "args": ["/bin/no-such"]})


def closed_command(bundle: Path) -> None:
    (bundle / "rootfs/closed").touch(mode=0o600)
    break_(bundle, process={**CONFIG["process"], "args": ["/closed"]})


@pytest.mark.parametrize(
    ("damage", "code", "sentence"),
    [
        (no_bundle, 125, "No such file or directory"),
        (no_config, 125, "config.json: No such file or directory"),
        (no_json, 125, "config.json"),
        (deep_json, 125, "config.json"),
        (huge_config, 125, "more than 16777216 bytes"),
        (fifo_config, 125, "config.json"),
        (wrong_shape, 125, "process.cwd"),
        (no_rootfs, 125, "root.path"),
        (file_for_rootfs, 125, "root.path"),
        (no_command, 127, "/bin/no-such"),
        (closed_command, 126, "/closed"),
    ],
)
def test_a_bundle_that_is_wrong_is_told(
    hf: Holdfast, bundle: Path, damage: Callable[[Path], None], code: int, sentence: str
) -> None:
    damage(bundle)
    for flags in ([], ["-d"]):
        result = hf("run", *flags, "--bundle", bundle)
        assert code == result.code, result
        assert result.err.startswith("holdfast: "), result
        assert 1 == result.err.count("\n"), result
        assert sentence in result.err, result
        assert [] == hf.left()


def test_control_the_bundle_works(hf: Holdfast, bundle: Path) -> None:
    assert 5 == hf("run", "--rm", "--bundle", bundle).code
    assert "other\n" == hf("run", "--rm", "--bundle", bundle, "--", "/bin/echo", "other").out


def test_flags_that_only_a_config_of_ours_can_do_are_told_with_a_bundle(hf: Holdfast, bundle: Path) -> None:
    for flags in (["--memory", "64m"], ["-e", "A=B"], ["--read-only"], ["--rootfs", "/"]):
        result = hf("run", *flags, "--bundle", bundle)
        assert 125 == result.code
        assert "does not go with --bundle" in result.err
    assert [] == hf.left()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--memory", "1m"], "--memory: 1048576 bytes are too few"),
        (["--memory", "64x"], 'run: --memory: "64x" is not a size'),
        (["--cpus", "0"], "is not a number of processors"),
        (["--pids-limit", "\u0661"], "is not a number"),
        (["--user", "nobody-here"], "no such user|in the container's /etc/passwd"),
        (["--network", "bridge"], '"bridge" is not a network'),
        (["--cap-add", "SUPERPOWER"], "is not a capability"),
        (["-v", "/no/such:/x"], 'source "/no/such": No such file or directory'),
        (["--rootfs", "/no/such"], '--rootfs "/no/such": No such file or directory'),
        (["--log-driver", "syslog"], '"syslog" is not one'),
        (["--security-opt", "apparmor=docker"], "is not supported"),
        (["--detach-keys", "alt-x"], "is not a key"),
        (["--stop-signal", "NOPE"], 'unknown signal "NOPE"'),
        (["--env-file", "/no/such"], "No such file or directory"),
        (["--workdir", "relative"], "is not an absolute path"),
        (["--nope"], 'unknown option "--nope"; see "holdfast run --help"'),
        (["--sysctl", "kernel.core_pattern=x"], "kernel.core_pattern"),
        (["--cidfile", "/etc/passwd"], "File exists"),
        (["-e", "=x"], "is not NAME=VALUE"),
    ],
)
def test_a_flag_that_is_wrong_is_told(hf: Holdfast, flags: list[str], sentence: str) -> None:
    result = hf("run", *flags, "--", "true")
    assert 125 == result.code, result
    assert 1 == result.err.count("\n"), result
    assert any(part in result.err for part in sentence.split("|")), result
    assert [] == hf.left()


def test_no_command_is_told(hf: Holdfast) -> None:
    result = hf("run")
    assert (125, 'holdfast: run: COMMAND is missing; see "holdfast run --help"\n') == (
        result.code,
        result.err,
    )
    assert 125 == hf("nonsense").code


def test_an_ordinary_user_is_told_what_to_do(hf: Holdfast) -> None:
    """The modules are imported before: this Python may be one that only root can read."""
    script = (
        "import os; from holdfast.shim.cli.holdfast import main, ps\n"
        "os.setresuid(65534, 65534, 65534); os._exit(main.main(['ps']))"
    )
    done = subprocess.run([hf.argv()[0], "-I", "-c", script], capture_output=True, text=True, check=False)
    sentence = 'holdfast: ps: needs root in this version; try "sudo holdfast ps"\n'
    assert (125, sentence) == (done.returncode, done.stderr)


def test_a_secret_of_the_environment_is_in_no_error(hf: Holdfast) -> None:
    for words in (
        ["run", "-e", "SECRET", "--", "no-such"],
        ["run", "-e", "SECRET", "--workdir", "x", "--", "true"],
    ):
        result = hf(*words, env={**os.environ, "SECRET": "s3cret"})
        assert result.code >= 125
        assert "s3cret" not in result.err


@pytest.mark.parametrize("plant", ["link", "fifo", "directory"])
def test_something_else_in_place_of_the_log_is_told(hf: Holdfast, tmp_path: Path, plant: str) -> None:
    hf.ok("create", "--name", "x", "--", "true")
    log = hf.record_dir("x") / "ctr.log"
    precious = tmp_path / "precious"
    precious.write_text("data")
    if plant == "link":
        log.symlink_to(precious)
    elif plant == "fifo":
        os.mkfifo(log)
    else:
        log.mkdir()
    result = hf("start", "-a", "x")
    assert 125 == result.code
    assert "ctr.log" in result.err
    assert "data" == precious.read_text()
    assert "created" in hf.ok("ps", "-a", "--format", "{{.State}}") or "stopped" in hf.ok(
        "ps", "-a", "--format", "{{.State}}"
    )


def test_a_full_disk_under_the_log_loses_no_exit_code(hf: Holdfast, tmp_path: Path) -> None:
    small = tmp_path / "hf"
    small.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "none", small], check=True)
    try:
        result = hf("run", "--name", "x", "--", "sh", "-c", "seq 1 1000000; exit 7")
        assert 7 == result.code
        assert 1_000_000 == result.out.count("\n")
        assert 7 == hf.state("x")["ExitCode"] or hf.state("x")["Status"] == "stopped"
        hf.ok("rm", "x")
    finally:
        hf.tidy()
        subprocess.run(["umount", small], check=True)


def test_a_root_directory_of_somebody_else_is_refused(hf: Holdfast) -> None:
    hf.root.mkdir(mode=0o777)
    hf.root.chmod(0o777)
    result = hf("ps")
    assert 125 == result.code
    assert "has mode 0777; allowed: 0700" in result.err
    hf.root.chmod(0o700)
