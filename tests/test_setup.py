"""The README's first command, as far as it needs no network: when it sets up, what it says if it cannot.

A checkout is laid out with an environment that is none: a link to this Python, and a `holdfast` that tells
that it was started. Whether a set-up was begun is seen by its words; it fails, since PATH has no Python.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

TREE = Path(__file__).parent.parent
INPUTS = (
    "requirements/setup",
    "requirements/build.txt",
    "pyproject.toml",
    "setup.py",
    "runtime/puppet/puppet.c",
    "requirements/run.txt",
)
TOOLS = (
    "cat",
    "date",
    "env",
    "flock",
    "id",
    "ldd",
    "mkdir",
    "mv",
    "readlink",
    "rm",
    "sed",
    "sha256sum",
    "tail",
    "touch",
    "tr",
)
STARTED = '#!/bin/sh\necho "started with $*"\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Lay out what the set-up looks at, with an environment that is up to date."""
    tree = tmp_path / "checkout"
    for name in ("holdfast", "requirements/stamp", *INPUTS):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TREE / name, tree / name)
        os.utime(tree / name, (1_000_000_000, 1_000_000_000))
    (tree / ".venv/bin").mkdir(parents=True)
    (tree / ".venv/bin/python3").symlink_to(sys.executable)
    (tree / ".venv/bin/holdfast").write_text(STARTED)
    (tree / ".venv/bin/holdfast").chmod(0o755)
    stamp(tree)
    return tree


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return a folder for PATH with the tools of a minimal system; there is no Python and no compiler."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return folder


def stamp(tree: Path) -> None:
    """Say that the environment is up to date, as a set-up does at its end."""
    inputs = b"".join((tree / name).read_bytes() for name in INPUTS)
    total = subprocess.run(["sha256sum"], input=inputs, capture_output=True, check=True).stdout.decode()
    interpreter = (tree / ".venv/bin/python3").resolve()
    (tree / ".venv/set-up-run").write_text(f"{tree}\n{interpreter}\n{total}")


def start(tree: Path, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ./holdfast with a PATH of one folder."""
    command = [str(tree / "holdfast"), *arguments]
    environment = {"PATH": str(path)}
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


def test_holdfast_when_set_up_starts_without_running_any_other_program(checkout: Path) -> None:
    done = start(checkout, Path("/nonexistent"), "run", "a b")
    assert (0, "started with run a b\n", "") == (done.returncode, done.stdout, done.stderr)


def test_holdfast_when_called_by_a_link_starts(checkout: Path, tools: Path, tmp_path: Path) -> None:
    (tmp_path / "holdfast").symlink_to(checkout / "holdfast")
    done = start(tmp_path, tools)
    assert (0, "started with \n", "") == (done.returncode, done.stdout, done.stderr)


def test_holdfast_when_git_wrote_the_same_files_anew_starts(checkout: Path, tools: Path) -> None:
    for name in INPUTS:
        os.utime(checkout / name)
    done = start(checkout, tools)
    assert (0, "started with \n", "") == (done.returncode, done.stdout, done.stderr)
    assert 0 == start(checkout, Path("/nonexistent")).returncode


def test_holdfast_when_git_wrote_the_same_files_anew_in_the_checkout_of_somebody_else_starts(
    checkout: Path, tools: Path
) -> None:
    """Who may not write is played by `touch`: for root, everything can be written to."""
    for name in INPUTS:
        os.utime(checkout / name)
    (tools / "touch").unlink()
    (tools / "touch").write_text("#!/bin/sh\necho cannot touch >&2; exit 1\n")
    (tools / "touch").chmod(0o755)
    done = start(checkout, tools)
    assert (0, "started with \n", "") == (done.returncode, done.stdout, done.stderr)


def other_python(tree: Path) -> None:
    """Have the interpreter be another one than that which was set up, as after an upgrade of the system."""
    (tree / ".venv/bin/python3").unlink()
    (tree / ".venv/bin/python3").symlink_to("/bin/sh")


def changed(name: str) -> Callable[[Path], None]:
    """Return what changes an input."""

    def change(tree: Path) -> None:
        with (tree / name).open("a") as file:
            file.write("\n")

    return change


def copied(tree: Path) -> None:
    """Have the environment be that of another place."""
    text = (tree / ".venv/set-up-run").read_text()
    (tree / ".venv/set-up-run").write_text(text.replace(str(tree), "/usr"))


def cut_short(tree: Path) -> None:
    """Leave what an interrupted set-up leaves."""
    (tree / ".venv/set-up-run").unlink()
    (tree / ".venv/unfinished").touch()


def absent(tree: Path) -> None:
    """Have no environment, as in a new checkout."""
    shutil.rmtree(tree / ".venv")


@pytest.mark.parametrize(
    "break_it", [absent, cut_short, copied, other_python, *(changed(name) for name in INPUTS)]
)
def test_holdfast_when_not_set_up_begins_with_that(
    checkout: Path, tools: Path, break_it: Callable[[Path], None]
) -> None:
    break_it(checkout)
    done = start(checkout, tools)
    sentence = (
        "Python 3.11 or newer is needed, as python3, python3.13, python3.12 or python3.11; install one"
    )
    assert (125, "", f"holdfast: set-up: {sentence}\n") == (done.returncode, done.stdout, done.stderr)


def test_setup_when_python_is_too_old_says_what_is_needed(checkout: Path, tools: Path) -> None:
    absent(checkout)
    (tools / "python3").write_text(
        "#!/bin/sh\nexit 1\n"
    )  # what an old one answers when asked for its version
    (tools / "python3").chmod(0o755)
    assert "Python 3.11 or newer is needed" in start(checkout, tools).stderr


def test_setup_when_the_checkout_cannot_be_written_to_says_who_can(checkout: Path, tools: Path) -> None:
    """Its log being a folder is what fails for root as well."""
    absent(checkout)
    (checkout / "build/setup.log").mkdir(parents=True)
    done = start(checkout, tools)
    sentence = "this checkout cannot be written to; run it as its owner"
    assert (125, "", f"holdfast: set-up: {sentence}\n") == (done.returncode, done.stdout, done.stderr)


def test_setup_when_a_package_is_missing_and_there_is_no_apt_names_it(checkout: Path, tools: Path) -> None:
    absent(checkout)
    (tools / "python3").symlink_to(sys.executable)
    done = start(checkout, tools)
    first, sentence = done.stderr.splitlines()
    assert "holdfast: setting up, which is needed only once" == first
    assert sentence.startswith("holdfast: set-up: missing, as Debian calls it: gcc")
    assert (125, "") == (done.returncode, done.stdout)


def test_setup_when_a_package_is_missing_and_the_user_is_not_root_says_what_to_do(
    checkout: Path, tools: Path
) -> None:
    """Who asks is told by `id`: another user could not reach a test's files, nor, often, this Python."""
    absent(checkout)
    (tools / "python3").symlink_to(sys.executable)
    (tools / "id").unlink()
    for name, text in (("id", "echo 1000"), ("apt-get", "exit 100")):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    sentence = 'missing: gcc; run "apt-get install gcc" as root, and then this again'
    assert f"holdfast: set-up: {sentence}" == start(checkout, tools).stderr.splitlines()[-1]


def test_setup_when_a_package_cannot_be_installed_says_what_to_do(checkout: Path, tools: Path) -> None:
    """The end of what apt said stands above the sentence, and all of it in the log."""
    absent(checkout)
    (tools / "python3").symlink_to(sys.executable)
    for name in ("apt-get", "dpkg"):
        (tools / name).write_text('#!/bin/sh\necho "$0: no network"; exit 100\n')
        (tools / name).chmod(0o755)
    done = start(checkout, tools)
    assert 125 == done.returncode
    assert done.stderr.endswith("see whether the network and the package sources work\n")
    assert "apt-get: no network\n" in done.stderr
    assert "apt-get: no network\n" in (checkout / "build/setup.log").read_text()


def test_second_of_two_set_ups_waits_and_finds_the_work_done(checkout: Path, tools: Path) -> None:
    absent(checkout)
    with (checkout / "requirements/setup").open() as script:
        fcntl.flock(script, fcntl.LOCK_EX)
        second = subprocess.Popen(
            [checkout / "holdfast"],
            env={"PATH": str(tools)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stderr
        assert "holdfast: waiting for another set-up of this checkout\n" == second.stderr.readline()
        (checkout / ".venv/bin").mkdir(parents=True)
        (checkout / ".venv/bin/python3").symlink_to(sys.executable)
        (checkout / ".venv/bin/holdfast").write_text(STARTED)
        (checkout / ".venv/bin/holdfast").chmod(0o755)
        stamp(checkout)
    output, errors = second.communicate(timeout=30)
    assert (0, "started with \n", "") == (second.returncode, output, errors)
