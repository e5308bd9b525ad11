"""The commands as somebody hostile starts them: S77, S78, S81, S83, S84, S92, S93 of the attack list.

These are the installed commands themselves, not functions of theirs: what is attacked is how they begin.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.oci import make_bundle, usual_config

if TYPE_CHECKING:
    from support.holdfast import Holdfast

pytestmark = pytest.mark.root

BIN = Path(sys.prefix) / "bin"
DOORS: dict[str, list[str | Path]] = {
    "holdfast": [BIN / "holdfast", "--root"],
    "holdfast-runtime": [BIN / "holdfast-runtime", "--root"],
}
MARK = "mark-of-the-module"
SOURCE = f"""\
import posix
posix.close(posix.open({{!r}} + "/{MARK}", posix.O_CREAT | posix.O_WRONLY))
"""
FDS = [closed for count in (1, 2, 3) for closed in combinations(range(3), count)]
INSIDE = "for fd in 0 1 2 3; do readlink /proc/self/fd/$fd; done; true"


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    """Give a directory with modules that leave a mark, by the names of what is imported first."""
    folder = tmp_path / "poisoned"
    names = (
        "json",
        "os",
        "msgspec",
        "trio",
        "socket",
        "signal",
        "sitecustomize",
        "usercustomize",
        "holdfast",
    )
    for name in (*names, "encodings/__init__", "holdfast/__init__"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(SOURCE.format(str(tmp_path)))
    return folder


def poison(folder: Path) -> dict[str, str]:
    """Return an environment that points to them in every way that Python knows."""
    return {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONSTARTUP": str(folder / "json.py"),
        "PYTHONHOME": str(folder),
        "PYTHONUSERBASE": str(folder),
        "PYTHONINSPECT": "1",
        "PYTHONWARNINGS": "error::json.Warning",
        "PYTHONBREAKPOINT": "json.x",
        "PYTHONPLATLIBDIR": str(folder),
        "PYTHONEXECUTABLE": str(folder / "json.py"),
    }


class TestPython:
    """S77."""

    @pytest.mark.parametrize("door", DOORS)
    def test_door_imports_nothing_of_its_callers(self, tmp_path: Path, poisoned: Path, door: str) -> None:
        words = ["ps"] if door == "holdfast" else ["list"]
        (tmp_path / "root").mkdir(mode=0o700)
        command: list[str | Path] = [*DOORS[door], tmp_path / "root", *words]
        done = subprocess.run(
            command, env=poison(poisoned), cwd=poisoned, capture_output=True, check=False, timeout=30
        )
        assert (0, b"") == (done.returncode, done.stderr)
        assert not (tmp_path / MARK).exists()

    @pytest.mark.parametrize("name", ["PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"])
    def test_environment_of_somebody_else_is_not_ours(self, tmp_path: Path, name: str) -> None:
        """Python finds its packages beside what these name, in spite of -I."""
        command = [*DOORS["holdfast"], tmp_path / "root", "ps"]
        env = {**os.environ, name: str(self.fake(tmp_path))}
        assert 0 == subprocess.run(command, env=env, capture_output=True, check=False, timeout=30).returncode
        assert not (tmp_path / MARK).exists()

    def fake(self, tmp_path: Path) -> Path:
        """Make a virtual environment with a marking holdfast in it. Returns the path of its Python."""
        fake, real = tmp_path / "environment", Path(sys.executable).resolve()
        package = fake / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/holdfast"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(SOURCE.format(str(tmp_path)))
        (fake / "bin").mkdir()
        (fake / "bin/python3").symlink_to(real)
        (fake / "pyvenv.cfg").write_text(f"home = {real.parent}\n")
        return fake / "bin/python3"

    def test_control_python_itself_takes_it_for_its_own(self, tmp_path: Path) -> None:
        env = {**os.environ, "PYTHONEXECUTABLE": str(self.fake(tmp_path))}
        command = [sys.executable, "-I", "-c", "import holdfast"]
        subprocess.run(command, env=env, capture_output=True, check=False, timeout=30)
        assert (tmp_path / MARK).exists()

    def test_control_python_itself_does(self, tmp_path: Path, poisoned: Path) -> None:
        env = {**os.environ, "PYTHONPATH": str(poisoned)}
        subprocess.run(
            [sys.executable, "-c", "import json"], env=env, capture_output=True, check=False, timeout=30
        )
        assert (tmp_path / MARK).exists()


class TestClosed:
    """S83: a descriptor among 0 to 2 that is closed is what the next file to be opened gets."""

    def start(self, closed: tuple[int, ...], *words: object) -> int:
        """Start a command with some of its streams closed, the rest on /dev/null. Returns its exit code."""
        command = [os.fsencode(str(word)) for word in words]
        null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in range(3)]
        closing = [(os.POSIX_SPAWN_CLOSE, fd) for fd in closed]
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=[*null, *closing])
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    @pytest.mark.parametrize("closed", FDS)
    def test_container_of_holdfast_has_streams_and_nothing_else(
        self, hf: Holdfast, tmp_path: Path, closed: tuple[int, ...]
    ) -> None:
        (tmp_path / "out").mkdir()
        script = f"exec > /out/fds; {INSIDE}"
        words = ("run", "--rm", "-v", f"{tmp_path}/out:/out", "--", "sh", "-c", script)
        assert 0 == self.start(closed, BIN / "holdfast", "--root", hf.root, *words)
        stdin, stdout, stderr, *more = (tmp_path / "out/fds").read_text().splitlines()
        assert ("/dev/null", "/out/fds", "pipe") == (stdin, stdout, stderr.partition(":")[0])
        assert [] == more

    @pytest.mark.parametrize("closed", FDS)
    def test_container_of_the_runtime_has_null_where_nothing_was(
        self, tmp_path: Path, closed: tuple[int, ...]
    ) -> None:
        config = usual_config("sh", "-c", f"{{ {INSIDE}; }} > /tmp/fds")
        bundle = os.fsdecode(make_bundle(tmp_path / "bundle", config))
        head = [BIN / "holdfast-runtime", "--root", tmp_path / "root"]
        name = f"closed-{os.getpid()}"
        try:
            assert 0 == self.start(closed, *head, "create", "--bundle", bundle, name)
            assert 0 == self.start(closed, *head, "start", name)
            wait_stopped(tmp_path / "root", name)
        finally:
            self.start((), *head, "delete", "--force", name)
        found = (tmp_path / "bundle/rootfs/tmp/fds").read_text().splitlines()
        assert ["/dev/null", "/tmp/fds", "/dev/null"] == found


def wait_stopped(root: Path, name: str) -> None:
    """Wait until a container of the runtime has ended."""
    command = [*DOORS["holdfast-runtime"], root, "state", name]
    while "stopped" != json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["status"]:
        pass


def modes(top: Path) -> dict[str, str]:
    """Return the mode of each file of a tree, by its path with what is random in it left out."""
    return {
        ("/".join(part if len(part) < 64 else "ID" for part in path.relative_to(top).parts)): stat.filemode(
            path.lstat().st_mode
        )
        for path in top.rglob("*")
    }


class TestUmask:
    """S84: the caller's umask opens nothing, and closes nothing."""

    def of_runtime(self, tmp_path: Path, umask: int) -> dict[str, str]:
        """Make a container under a umask and return the modes of all files outside and inside."""
        top = tmp_path / f"{umask:o}"
        top.mkdir(mode=0o755)
        made = "stat -c '%n %a' /made /made/here /dev /dev/null /dev/pts /dev/shm /tmp/x; umask"
        config = usual_config("sh", "-c", f"touch /tmp/x; {made}")
        config["process"]["cwd"] = "/made/here"
        config["mounts"] += [
            {"destination": f"/{name}", "type": "tmpfs", "source": "tmpfs", "options": []}
            for name in ("dev/shm", "mounted/here")
        ]
        bundle = os.fsdecode(make_bundle(top / "bundle", config))
        head: list[str | Path] = [*DOORS["holdfast-runtime"], top / "root"]
        name = f"umask-{os.getpid()}"
        before = set(modes(top))

        def run(*words: str) -> bytes:
            return subprocess.run([*head, *words], capture_output=True, check=True, umask=umask).stdout

        out = top / "out"
        try:
            with out.open("wb") as file:
                subprocess.run(
                    [*head, "create", "--bundle", bundle, "--pid-file", f"{top}/pid", name],
                    stdout=file,
                    check=True,
                    umask=umask,
                )
            run("start", name)
            wait_stopped(top / "root", name)
            found = {path: mode for path, mode in modes(top).items() if path not in before}
        finally:
            run("delete", "--force", name)
        return found | {"inside": out.read_text()}

    def test_modes_of_the_runtimes_files_do_not_depend_on_it(self, tmp_path: Path) -> None:
        usual = self.of_runtime(tmp_path, 0o022)
        assert usual == self.of_runtime(tmp_path, 0)
        assert usual == self.of_runtime(tmp_path, 0o777)
        name = f"umask-{os.getpid()}"
        assert "drwx------" == usual["root"] == usual[f"root/{name}"]
        assert "-rw-------" == usual[f"root/{name}/state.json"]
        assert "-rw-r--r--" == usual["pid"]
        assert "/dev/null 666\n" in usual["inside"]
        assert usual["inside"].endswith("\n0022\n")

    def test_modes_of_holdfasts_files_do_not_depend_on_it(self, hf: Holdfast) -> None:
        found = []
        for umask in (0o022, 0, 0o777):
            done = hf(
                "run", "--name", "x", "--", "sh", "-c", "umask; stat -c '%n %a' /* /etc/hosts", umask=umask
            )
            assert 0 == done.code, done
            found.append((done.out, modes(hf.root)))
            hf.ok("rm", "x")
        (out, usual), *others = found
        for other_out, other in others:
            # It may have more: what is kept for later.
            assert usual == {path: other.get(path) for path in usual}
            assert out == other_out
        ours = {mode for path, mode in usual.items() if "/rootfs" not in path and mode[0] != "l"}
        assert {"---"} == {mode[7:] for mode in ours}


@pytest.fixture
def shims(hf: Holdfast) -> list[int]:
    """Give the shims of a container and of an exec, each launched by somebody who had secrets."""
    secrets = ["-e", "TOKEN=s3cret-arg", "-e", "FROM_ENV"]
    env = {**os.environ, "FROM_ENV": "s3cret-env"}
    assert 0 == hf("run", "-d", "--name", "x", *secrets, "--", "sleep", "1000", env=env).code
    assert 0 == hf("exec", "-d", *secrets, "x", "sleep", "1000", env=env).code
    pid = int(hf.ok("inspect", "-f", "{{.State.Pid}}", "x"))
    return [parent_of(each) for each in (pid, *others_inside(pid))]


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


def others_inside(pid: int) -> list[int]:
    """Return the processes that share the pid namespace of a container's init."""
    inode = os.readlink(f"/proc/{pid}/ns/pid")
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{name}/ns/pid") == inode and int(name) != pid:
                found.append(int(name))
        except OSError:  # it has ended, or is not for us to see
            continue
    return found


def test_arguments_of_a_shim_hold_no_secret(shims: list[int]) -> None:
    """S93: everybody can read them, for as long as the container lives."""
    assert 2 == len(shims)
    for pid in shims:
        assert b"s3cret" not in Path(f"/proc/{pid}/cmdline").read_bytes()


class TestBytes:
    """S81: arguments, variables and paths need not be text."""

    ODD = b"a\xffb"
    STRANGE = "a\u202eb\x1b[31m \n'\"\\ü"

    def test_what_a_config_cannot_hold_is_told(self, hf: Holdfast, tmp_path: Path) -> None:
        folder = os.fsencode(tmp_path) + b"/" + self.ODD
        os.mkdir(folder)
        commands: tuple[list[str | bytes], ...] = (
            ["--", "echo", self.ODD],
            ["-e", b"X=" + self.ODD, "--", "true"],
            ["-v", folder + b":/v", "--", "true"],
            ["-w", b"/" + self.ODD, "--", "true"],
        )
        for words in commands:
            result = hf("run", *words)
            assert 125 == result.code, result
            assert "is not UTF-8" in result.err
            assert result.err.removesuffix("\n").isprintable()
        assert [] == hf.left()

    def test_other_strange_text_arrives_as_it_was(self, hf: Holdfast, tmp_path: Path) -> None:
        folder = tmp_path / self.STRANGE
        (folder / "here").mkdir(parents=True)
        script = 'printf %s "$1"; printf %s "$X"; cd "/$1"; pwd; ls'
        volume = ["-v", f"{folder}:/{self.STRANGE}"]
        result = hf(
            "run", "--rm", "-e", f"X={self.STRANGE}", *volume, "--", "sh", "-c", script, "sh", self.STRANGE
        )
        assert f"{self.STRANGE * 2}/{self.STRANGE}\nhere\n" == result.out, result

    def test_id_that_is_no_text_is_told(self, tmp_path: Path) -> None:
        command = [
            os.fsencode(word) for word in (*DOORS["holdfast-runtime"], tmp_path / "root", "state", self.ODD)
        ]
        done = subprocess.run(command, capture_output=True, check=False)
        assert 1 == done.returncode
        assert 1 == done.stderr.count(b"\n")
        assert done.stderr.decode().removesuffix("\n").isprintable()


def test_hostile_tmpdir_is_not_used(hf: Holdfast, tmp_path: Path) -> None:
    """S92: it may lie anywhere, be anybody's, and be watched."""
    (tmp_path / "tmp").mkdir()
    before = os.stat(tmp_path / "tmp")
    env = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(tmp_path / "tmp"))}
    assert 0 == hf("run", "--rm", "--", "true", env=env).code
    after: Any = os.stat(tmp_path / "tmp")
    assert before.st_mtime_ns == after.st_mtime_ns
    assert [] == os.listdir(tmp_path / "tmp")


def test_variables_of_the_container_mean_nothing_to_us(hf: Holdfast, tmp_path: Path) -> None:
    """S78: LD_PRELOAD, PATH and PYTHON* of the container are for its program alone."""
    evil = {
        "LD_PRELOAD": "/no/such.so",
        "PATH": "/nowhere:/bin",
        "PYTHONPATH": str(tmp_path),
        "HOME": "/\n/",
    }
    words = [word for name, value in evil.items() for word in ("-e", f"{name}={value}")]
    result = hf("run", "--rm", *words, "--", "/bin/sh", "-c", "/bin/busybox true || exec /usr/bin/env")
    assert 0 == result.code, result
    assert "holdfast" not in result.err
