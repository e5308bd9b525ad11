"""What is built from this tree, and what an installation of it is like.

Source: PEP 427, "The Wheel Binary Package Format"; elf(5).
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from holdfast import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

TREE = Path(__file__).parent.parent
PUPPET = "holdfast/runtime/puppet/puppet"
PT_DYNAMIC, PT_INTERP = 2, 3


class Built(NamedTuple):
    """What a build has made."""

    sdist: Path
    wheel: Path
    wheel_of_sdist: Path


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; nothing of the caller's Python or compiler comes in by the environment."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "CC", "COVERAGE"))
    }
    return subprocess.run(
        command,
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def build(tree: Path, kind: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Have setuptools build, as pip would, a "wheel" or an "sdist" into the tree's dist/."""
    code = f"from setuptools import build_meta; build_meta.build_{kind}('dist')"
    return run(sys.executable, "-I", "-W", "ignore", "-c", code, cwd=tree, **environment)


def build_well(tree: Path, kind: str, suffix: str) -> Path:
    """Do so, and return the file."""
    (tree / "dist").mkdir(exist_ok=True)
    done = build(tree, kind)
    assert 0 == done.returncode, done.stderr
    (made,) = (tree / "dist").glob(f"*{suffix}")
    return made


def copy_tree(to: Path) -> Path:
    """Copy what a build is made from, with its links, and with a puppet that an earlier build has left."""
    to.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(TREE / name, to)
    for name in ("src", "protocol", "runtime", "shim"):
        shutil.copytree(TREE / name, to / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (to / "runtime/puppet/puppet").write_bytes(b"stale")
    return to


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build an sdist and a wheel from the tree, and a wheel from that sdist."""
    tree = copy_tree(tmp_path_factory.mktemp("packaging") / "tree")
    sdist = build_well(tree, "sdist", ".tar.gz")
    unpacked = tree.parent / "unpacked"
    unpacked.mkdir()
    assert 0 == run("tar", "-xf", sdist, cwd=unpacked).returncode
    (of_sdist,) = unpacked.iterdir()
    return Built(sdist, build_well(tree, "wheel", ".whl"), build_well(of_sdist, "wheel", ".whl"))


class Installed(NamedTuple):
    """An environment into which the wheel was installed. It sees our dependencies, but not our checkout."""

    prefix: Path

    def command(self, name: str) -> Path:
        """Return the path of a command in it."""
        return self.prefix / "bin" / name

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run Python code in it, away from the checkout."""
        return run(self.command("python3"), "-I", "-c", code, cwd=self.prefix)


@pytest.fixture(scope="module")
def installed(built: Built) -> Installed:
    """Install the wheel that was built from the sdist, which is what users get."""
    prefix = built.sdist.parent.parent.parent / "installed"
    made = run(sys.executable, "-I", "-m", "venv", "--without-pip", prefix, cwd=built.sdist.parent)
    assert 0 == made.returncode, made.stderr
    install = ("-m", "pip", "--python", prefix, "install", "--no-index", "--no-deps", built.wheel_of_sdist)
    done = run(sys.executable, "-I", *install, cwd=built.sdist.parent)
    assert 0 == done.returncode, done.stderr
    (packages,) = prefix.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(ours))
    return Installed(prefix)


def contents(wheel: Path) -> Mapping[str, bytes]:
    """Return what a wheel holds, by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_wheel_from_the_sdist_is_the_wheel_from_the_tree(built: Built) -> None:
    ours, theirs = contents(built.wheel), contents(built.wheel_of_sdist)
    assert sorted(ours) == sorted(theirs)
    assert [] == [name for name in ours if ours[name] != theirs[name]]


def test_sdist_holds_the_source_of_the_puppet_and_no_build_of_it(built: Built) -> None:
    names = run("tar", "-tf", built.sdist, cwd=built.sdist.parent).stdout.split()
    ours = [name.partition("/")[2] for name in names if "/puppet/puppet" in name]
    assert [f"src/{PUPPET}.c", f"src/{PUPPET}.py"] == sorted(ours)


def test_wheel_holds_each_module_and_the_puppet(built: Built) -> None:
    modules = {
        f"holdfast/{file.relative_to(TREE)}"
        for package in ("protocol", "runtime", "shim")
        for file in (TREE / package).rglob("*.py")
    }
    others = {name for name in contents(built.wheel) if ".dist-info/" not in name and ".data/" not in name}
    assert modules | {"holdfast/__init__.py", "holdfast/py.typed", PUPPET} == others


def test_wheel_is_for_this_platform_and_any_python_3(built: Built) -> None:
    version, python, abi, platform = built.wheel.stem.removeprefix("holdfast-").split("-")
    assert (__version__, "py3", "none") == (version, python, abi)
    assert platform.endswith(os.uname().machine)


def test_puppet_in_the_wheel_needs_no_other_file(built: Built) -> None:
    """A static program has no segment that names an interpreter or libraries."""
    program = contents(built.wheel)[PUPPET]
    assert b"\x7fELF\x02" == program[:5]
    offset, size, count = *struct.unpack_from("=Q", program, 32), *struct.unpack_from("=HH", program, 54)
    types = {struct.unpack_from("=I", program, offset + size * i)[0] for i in range(count)}
    assert not {PT_DYNAMIC, PT_INTERP} & types


def test_import_of_the_installed_packages_when_below_holdfast_works(installed: Installed) -> None:
    done = installed.python("import holdfast.shim, holdfast.runtime.puppet.puppet as p; print(p.__file__)")
    assert "" == done.stderr
    assert done.stdout.startswith(str(installed.prefix))


@pytest.mark.parametrize("name", ["shim", "runtime", "protocol"])
def test_import_of_the_installed_packages_when_not_below_holdfast_fails(
    installed: Installed, name: str
) -> None:
    assert f"ModuleNotFoundError: No module named '{name}'\n" in installed.python(f"import {name}").stderr


@pytest.mark.parametrize("name", ["holdfast", "holdfast-runtime"])
def test_command_when_installed_tells_its_version(installed: Installed, name: str) -> None:
    done = run(installed.command(name), "--version", cwd=installed.prefix)
    assert (0, "") == (done.returncode, done.stderr)
    assert __version__ in done.stdout


@pytest.mark.parametrize("name", ["holdfast", "holdfast-runtime"])
def test_command_when_called_by_a_link_tells_its_version(
    installed: Installed, tmp_path: Path, name: str
) -> None:
    (tmp_path / "link").symlink_to(installed.command(name))
    done = run(tmp_path / "link", "--version", cwd=tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    assert __version__ in done.stdout


@pytest.mark.parametrize("name", ["holdfast", "holdfast-runtime"])
def test_command_when_environment_and_folder_are_poisoned_is_itself(
    installed: Installed, tmp_path: Path, name: str
) -> None:
    """Whoever controls the folder it is called in, or PYTHON*, must not get code of theirs run by it."""
    for module in ("json", "os", "gc", "msgspec", "holdfast", "sitecustomize", "usercustomize"):
        (tmp_path / f"{module}.py").write_text("print('poisoned')\n")
    poison = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONHOME": str(tmp_path),
        "PYTHONSTARTUP": str(tmp_path / "json.py"),
        "PYTHONINSPECT": "1",
        "PYTHONUSERBASE": str(tmp_path),
        "PYTHONWARNINGS": "error",
    }
    clean = run(installed.command(name), "--version", cwd=Path("/"))
    poisoned = run(installed.command(name), "--version", cwd=tmp_path, **poison)
    assert (clean.returncode, clean.stdout, "") == (poisoned.returncode, poisoned.stdout, poisoned.stderr)


def test_poison_when_python_is_not_isolated_works(installed: Installed, tmp_path: Path) -> None:
    """The control of the test above: without `-I` such a module does get in."""
    (tmp_path / "json.py").write_text("print('poisoned')\n")
    done = run(installed.command("python3"), "-c", "import json", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert "poisoned\n" == done.stdout


def test_build_when_there_is_no_compiler_says_what_to_do(tmp_path: Path) -> None:
    done = build(copy_tree(tmp_path / "tree"), "wheel", CC="no-such-compiler -O2")
    assert 0 != done.returncode
    assert done.stderr.endswith(
        '"no-such-compiler", which $CC names, is not there; '
        'install one ("apt install gcc libc6-dev") or set CC\n'
    )
    assert "Traceback" not in done.stderr
