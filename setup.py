"""Builds what pyproject.toml cannot say: one native program, and the commands that start Holdfast.

The puppet (runtime/puppet/puppet.c) is a program, not an extension of Python: static, without libc, the
same for every version of Python. So a wheel is for one platform and for any Python 3, and an editable
install puts the program beside its source, where git does not look.

The commands are written here and not by the installer, since an installer's script honours PYTHON* and the
user's site, and imports `re`, wanted or not (3 ms of a start). Ours start Python with `-I`. An installer
fills the interpreter's path into a script's first line, but drops its options; so sh reads the script first,
for 0.6 ms.

Sources: setuptools' "Extending or customizing setuptools"; PEP 427 on tags and scripts; gcc(1).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

PUPPET_SOURCE = "src/holdfast/runtime/puppet/puppet.c"
PUPPET_PROGRAM = "holdfast/runtime/puppet/puppet"

COMPILERS = ("cc", "gcc", "clang")

FLAGS = (
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Os",
    "-ffreestanding",  # it has its own entry point, and nothing that a libc would set up
    "-nostdlib",
    "-static",
    "-fno-pie",
    "-fno-stack-protector",  # whose guard a libc keeps
    "-fno-asynchronous-unwind-tables",
    "-Wl,-z,noexecstack",
    "-Wl,--build-id=none",
    "-s",
)
FLAGS_IF_KNOWN = ("-fcf-protection=none",)  # x86 only; its marks and notes serve nobody without a libc

COMMANDS = {"holdfast": "holdfast", "holdfast-runtime": "holdfast_runtime"}
"""Name of a command → the function of holdfast.shim.cli.boot that it calls."""

COMMAND = """\
#!/bin/sh
''':'
# sh reads down to the exec, Python takes it for a string. The interpreter is the one beside this file, as
# in a virtual environment, or else the system's; -I keeps it from PYTHON* and from modules in the current
# directory. Two variables it heeds all the same: they say where Python is, and so where its packages are.
unset PYTHONEXECUTABLE __PYVENV_LAUNCHER__
self=$0
[ ! -L "$self" ] || self=$(command -p readlink -f -- "$self")
python=${{self%/*}}/python3
[ -x "$python" ] || python=/usr/bin/python3
exec "$python" -I "$self" "$@"
'''
from holdfast.shim.cli.boot import {function}

{function}()
"""


class Platform(Distribution):
    """A distribution whose wheel is for one platform, because a native program is in it."""

    def has_ext_modules(self) -> bool:
        """Say that there is native code, which is what decides whether a wheel is tagged as pure."""
        return True


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and every Python 3: the puppet knows nothing of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags for Python, its binary interface, and the platform."""
        return "py3", "none", super().get_tag()[2]


class BuildPuppet(Command):
    """Compile the puppet: into what becomes a wheel, or beside its source for an editable install."""

    description = "compile the puppet"
    user_options: ClassVar = [("build-lib=", "d", "where the packages are built")]
    build_lib: str | None
    editable_mode: bool

    def initialize_options(self) -> None:
        """Set options to what means "not said"."""
        self.build_lib = None
        self.editable_mode = False

    def finalize_options(self) -> None:
        """Take over what the build command was told."""
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self) -> None:
        """Compile it. Raises SystemExit with a sentence where that cannot be done."""
        compile_static(PUPPET_SOURCE, self._program())

    def get_outputs(self) -> list[str]:
        """Return what is built."""
        return [self._program()]

    def get_output_mapping(self) -> dict[str, str]:
        """Return which file of the tree each built file stands for: none, it has no source to link to."""
        return {}

    def get_source_files(self) -> list[str]:
        """Return what a source distribution must hold for it."""
        return [PUPPET_SOURCE]

    def _program(self) -> str:
        return f"{'src' if self.editable_mode else self.build_lib}/{PUPPET_PROGRAM}"


class Build(build):
    """The usual build, and the puppet."""

    sub_commands: ClassVar = [*build.sub_commands, ("build_puppet", None)]


class BuildCommands(Command):
    """Write the commands, where the usual build_scripts would copy scripts from the tree."""

    description = "write the commands"
    user_options: ClassVar = [("build-dir=", "d", "where the scripts are built")]
    build_dir: str | None

    def initialize_options(self) -> None:
        """Set options to what means "not said"."""
        self.build_dir = None

    def finalize_options(self) -> None:
        """Take over what the build command was told."""
        self.set_undefined_options("build", ("build_scripts", "build_dir"))

    def run(self) -> None:
        """Write each command into the folder of scripts."""
        folder = Path(str(self.build_dir))
        folder.mkdir(parents=True, exist_ok=True)
        for name, function in COMMANDS.items():
            (folder / name).write_text(COMMAND.format(function=function))
            (folder / name).chmod(0o755)

    def get_source_files(self) -> list[str]:
        """Return what a source distribution must hold for them: nothing but this file."""
        return []


def compile_static(source: str, program: str) -> None:
    """Compile one C file into a static program without libc, and put it in place in one step.

    So nobody ever finds half of one. Raises SystemExit with a sentence.
    """
    compiler = find_compiler()
    target = Path(program)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".puppet-", dir=target.parent) as folder:
        made = Path(folder, target.name)
        known = [flag for flag in FLAGS_IF_KNOWN if knows(compiler, flag)]
        command = [*compiler, *FLAGS, *known, source, "-o", str(made)]
        code = subprocess.run(command, check=False).returncode
        if code != 0:
            sys.exit(f'compile "{source}": "{shlex.join(compiler)}" ended with {code}; its output is above')
        made.chmod(0o755)
        made.replace(target)


def find_compiler() -> list[str]:
    """Return the start of a command line: $CC, or the first compiler that is there. Raises SystemExit."""
    asked = shlex.split(os.environ.get("CC", ""))
    for words in [asked] if asked else [[name] for name in COMPILERS]:
        if shutil.which(words[0]):
            return words
    missing = f'"{asked[0]}", which $CC names, is not there' if asked else "there is no C compiler"
    sys.exit(f'compile "{PUPPET_SOURCE}": {missing}; install one ("apt install gcc libc6-dev") or set CC')


def knows(compiler: list[str], flag: str) -> bool:
    """Tell whether a compiler accepts a flag."""
    command = [*compiler, "-Werror", "-fsyntax-only", flag, "-x", "c", os.devnull]
    run = subprocess.run(command, check=False, capture_output=True)
    return run.returncode == 0


setup(
    distclass=Platform,
    scripts=list(COMMANDS),
    cmdclass={
        "bdist_wheel": PlatformWheel,
        "build": Build,
        "build_puppet": BuildPuppet,
        "build_scripts": BuildCommands,
    },
)
