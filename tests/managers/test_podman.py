"""The distribution's Podman and conmon with holdfast-runtime below them: what they do all day."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.bundle import busybox_rootfs

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

RUNTIME = Path(sys.executable).parent / "holdfast-runtime"

CONFIG = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Podman:
    """Runs podman with a store of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        (directory / "containers.conf").write_text(CONFIG)
        self._environment = {**os.environ, "CONTAINERS_CONF": str(directory / "containers.conf")}

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        places = [f"--{name}={self._directory / name}" for name in ("root", "runroot", "tmpdir")]
        head = ["podman", "--runtime", str(RUNTIME), "--storage-driver", "vfs", *places]
        return subprocess.run(
            [*head, *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ok(self, *words: str) -> str:
        """Run a command that has to succeed; return its output without the last newline."""
        done = self(*words)
        assert 0 == done.returncode, done
        return done.stdout.removesuffix("\n")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a container to its end."""
        return self("run", "--rm", "--network", "none", *words)

    def status(self, name: str) -> str:
        """Return what podman says of a container's state."""
        return str(json.loads(self.ok("inspect", name))[0]["State"]["Status"])


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    for program in ("podman", "conmon"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    directory = tmp_path_factory.mktemp("podman")
    made = Podman(directory)
    rootfs = busybox_rootfs(directory / "rootfs")
    subprocess.run(["tar", "-C", rootfs, "-cf", directory / "image.tar", "."], check=True)
    made.ok("import", "--quiet", str(directory / "image.tar"), "busybox")
    yield made
    made("rm", "--all", "--force")
    for name in ("root", "runroot"):  # podman keeps its store mounted
        subprocess.run(["umount", "--recursive", directory / name], check=False, capture_output=True)
    _remove_parents()


def _remove_parents() -> None:
    """Remove the cgroup in which podman puts its containers, unless somebody else's are in it."""
    for path, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if "/libpod_parent" in path:
            with suppress(OSError):
                os.rmdir(path)


@pytest.fixture
def sleeping(podman: Podman) -> Iterator[str]:
    """Give the name of a container that sleeps."""
    name = f"hft-{os.getpid()}"
    podman.ok("run", "--detach", "--name", name, "--network", "none", "busybox", "sleep", "600")
    yield name
    podman.ok("rm", "--force", "--time", "0", name)


@pytest.mark.parametrize(
    ("command", "code", "out"),
    [
        (("echo", "hello"), 0, "hello\n"),
        (("sh", "-c", "exit 7"), 7, ""),
        (("sh", "-c", "echo before; kill -9 $$"), 137, "before\n"),
        (("no-such-program",), 127, ""),
        (("/no/such/program",), 127, ""),
        (("/etc",), 126, ""),
    ],
)
def test_run_gives_output_and_exit_code(
    podman: Podman, command: tuple[str, ...], code: int, out: str
) -> None:
    done = podman.run("--init" if "kill" in command[-1] else "--rm", "busybox", *command)
    assert (code, out) == (done.returncode, done.stdout), done


def test_limits_user_and_read_only_root_arrive(podman: Podman) -> None:
    words = (
        "--memory",
        "64m",
        "--pids-limit",
        "50",
        "--user",
        "1000:1000",
        "--cap-drop",
        "all",
        "--read-only",
    )
    script = "id -u; grep CapBnd /proc/self/status; ulimit -n; touch /x"
    done = podman.run(*words, "busybox", "sh", "-c", script)
    assert ["1000", "CapBnd:\t0000000000000000", "1024"] == done.stdout.splitlines()
    assert "Read-only file system" in done.stderr


def test_terminal_is_one(podman: Podman) -> None:
    assert "/dev/pts/0" == podman.run("--tty", "busybox", "tty").stdout.strip()


def test_exec_gives_output_and_exit_code(podman: Podman, sleeping: str) -> None:
    done = podman(
        "exec",
        "--user",
        "5",
        "--workdir",
        "/tmp",
        "--env",
        "A=b",
        sleeping,
        "sh",
        "-c",
        "id -u; pwd; echo $A; exit 3",
    )
    assert (3, "5\n/tmp\nb\n") == (done.returncode, done.stdout), done
    assert 127 == podman("exec", sleeping, "no-such-program").returncode
    assert 126 == podman("exec", sleeping, "/etc").returncode


def test_container_is_paused_stopped_started_and_killed(podman: Podman, sleeping: str) -> None:
    podman.ok("pause", sleeping)
    assert "paused" == podman.status(sleeping)
    podman.ok("unpause", sleeping)
    assert "running" == podman.status(sleeping)
    assert "sleep 600" in podman.ok("top", sleeping)
    podman.ok("stop", "--time", "0", sleeping)
    assert "exited" == podman.status(sleeping)
    podman.ok("start", sleeping)
    podman.ok("kill", sleeping)
    podman.ok("wait", sleeping)
    assert "exited" == podman.status(sleeping)
