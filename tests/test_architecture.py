"""The rules that no single file shows: which package may import which, and what none of them may use.

They are read from the syntax tree, so that an import inside a function or under TYPE_CHECKING counts as
well. What a module drags in behind its own imports is seen by importing it in a fresh interpreter.

Sources: docs/design.md on the three layers. The bans: CVE-2019-14271 is what a look-up of names by the
container's own libraries comes to; a path that is opened as a string is resolved anew each time, by links
that the container plants.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = Path(__file__).parent.parent

EVENT_LOOPS = ("trio", "asyncio", "structlog")

MAY_IMPORT = {
    "protocol": ("protocol",),
    "runtime": ("protocol", "runtime"),
    "shim": ("protocol", "runtime", "shim"),
}

# What turns bytes into code, or runs a program to find a library. No door of ours has a use for it.
NEVER = frozenset(("pickle", "cPickle", "marshal", "shelve", "yaml", "ctypes.util", "logging.config"))
NEVER_CALLED = frozenset(("eval", "exec", "compile", "__import__"))

# The runtime meets the container's files. It opens them below a descriptor, and asks no library about names;
# what it was told of a path a moment ago (os.access) need not be so any more, and os.chmod follows links.
NOT_IN_RUNTIME = frozenset(
    (
        "asyncio",
        "getpass",
        "glob",
        "grp",
        "importlib",
        "os.path",
        "pathlib",
        "posixpath",
        "pwd",
        "shutil",
        "structlog",
        "subprocess",
        "tempfile",
        "threading",
        "trio",
        "os.access",
        "os.chmod",
        "os.chown",
        "os.initgroups",
        "os.getgrouplist",
        "os.lchown",
        "os.popen",
        "os.system",
        "socket.create_connection",
        "socket.getaddrinfo",
        "socket.getfqdn",
        "socket.gethostbyaddr",
        "socket.gethostbyname",
        "socket.gethostbyname_ex",
        "socket.getnameinfo",
        "socket.getservbyname",
    )
)
NOT_CALLED_IN_RUNTIME = frozenset(("open",))

# Protocol is values and pure functions: it may use what neither waits nor looks around.
IN_PROTOCOL = frozenset(
    (
        "__future__",
        "base64",
        "binascii",
        "collections",
        "contextlib",
        "datetime",
        "enum",
        "errno",
        "functools",
        "holdfast",
        "itertools",
        "json",
        "math",
        "msgspec",
        "operator",
        "os",
        "re",
        "stat",
        "string",
        "struct",
        "types",
        "typing",
    )
)
OF_OS_IN_PROTOCOL = frozenset(("os.fsdecode", "os.fsencode", "os.strerror", "os.waitstatus_to_exitcode"))
CLOCKS = ("now", "today", "utcnow")


class Use(NamedTuple):
    """A name from elsewhere that a file uses, in full (`os.path.join`), and the line on which it does."""

    name: str
    line: int
    is_call: bool = False


def uses(source: str) -> Iterator[Use]:
    """Yield what a file imports, each dotted name that starts at an import, each bare name that it calls."""
    tree = ast.parse(source)
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        for name, imported in _imports(node):
            bound[name] = imported if name != imported.partition(".")[0] else name
            yield Use(imported, node.lineno)  # type: ignore[attr-defined]  # an import has a line
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (dotted := _dotted(node)):
            start, _, rest = dotted.partition(".")
            if start in bound:
                yield Use(f"{bound[start]}.{rest}", node.lineno)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield Use(node.func.id, node.lineno, is_call=True)


def _imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the name that is bound, and what it stands for. A relative import stands for `.` and more."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0], alias.name
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            yield alias.asname or alias.name, f"{module}.{alias.name}"


def _dotted(node: ast.expr) -> str:
    """Return `a.b.c` for such an expression, and nothing for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def is_one_of(name: str, banned: frozenset[str]) -> bool:
    """Tell whether a dotted name is one of these, or lies below one."""
    return any(name == each or name.startswith(f"{each}.") for each in banned)


def crosses_layers(package: str, use: Use) -> bool:
    """Tell whether a package imports what it may not: a layer above it, or anything by a relative path."""
    top, _, rest = use.name.partition(".")
    if top == "holdfast":
        return rest.partition(".")[0] not in (*MAY_IMPORT[package], "__version__", "")
    return not use.is_call and top == ""


def is_banned(package: str, use: Use) -> bool:
    """Tell whether a package uses what it may not."""
    if use.is_call:
        return use.name in NEVER_CALLED or (package == "runtime" and use.name in NOT_CALLED_IN_RUNTIME)
    if is_one_of(use.name, NEVER):
        return True
    if package == "runtime":
        return is_one_of(use.name, NOT_IN_RUNTIME)
    if package == "protocol":
        of_os = use.name.startswith("os.") and not is_one_of(use.name, OF_OS_IN_PROTOCOL)
        clock = use.name.startswith("datetime.") and use.name.rpartition(".")[2] in CLOCKS
        return of_os or clock or not is_one_of(use.name, IN_PROTOCOL)
    return False


def files_of(*packages: str) -> list[Path]:
    """Return the Python files of top-level packages."""
    files = sorted(file for package in packages for file in (TREE / package).rglob("*.py"))
    assert files
    return files


def modules_of(package: str) -> list[str]:
    """Return the names of all modules of a package, as they are imported."""
    relative = (file.relative_to(TREE).with_suffix("") for file in files_of(package))
    return [".".join(("holdfast", *path.parts)).removesuffix(".__init__") for path in relative]


def found(package: str, rule: object) -> list[str]:
    """Return where a package breaks a rule, as sentences."""
    assert callable(rule)
    return [
        f"{file.relative_to(TREE)}:{use.line}: uses {use.name}"
        for file in files_of(package)
        for use in uses(file.read_text())
        if rule(package, use)
    ]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_from_shim_to_runtime_to_protocol(package: str) -> None:
    assert [] == found(package, crosses_layers)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_package_uses_nothing_that_is_banned_in_it(package: str) -> None:
    assert [] == found(package, is_banned)


def test_front_doors_are_imported_by_nothing_behind_them() -> None:
    """A door may use all of shim; whatever stays with a container must not depend on how people call it."""
    behind = [file for file in files_of("shim") if not file.is_relative_to(TREE / "shim/cli")]
    of_doors = frozenset(("holdfast.shim.cli",))
    wrong = [
        f"{file.relative_to(TREE)}:{use.line}: uses {use.name}"
        for file in behind
        for use in uses(file.read_text())
        if is_one_of(use.name, of_doors)
    ]
    assert [] == wrong


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        (
            "protocol",
            ("trio", "structlog", "asyncio", "holdfast.runtime", "holdfast.shim", "socket", "subprocess"),
        ),
        (
            "runtime",
            ("trio", "structlog", "asyncio", "holdfast.shim", "subprocess", "pathlib", "shutil", "tempfile"),
        ),
    ],
)
def test_importing_a_whole_package_loads_nothing_heavy(package: str, heavy: tuple[str, ...]) -> None:
    """The fresh interpreter has no site, which may load what it likes: it is given the folders."""
    folders = [str(TREE / "src"), *(path for path in sys.path if path.endswith("site-packages"))]
    code = (
        "import sys, importlib\n"
        f"sys.path += {folders!r}\n"
        f"for name in {modules_of(package)!r}: importlib.import_module(name)\n"
        f"print(*(name for name in {heavy!r} if name in sys.modules))\n"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ("", 0, "\n") == (run.stderr, run.returncode, run.stdout)


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("protocol", "from holdfast.runtime.sys import mount"),
        ("protocol", "import holdfast.shim.pump"),
        ("runtime", "def f():\n    from holdfast.shim import pump"),
        ("runtime", "if TYPE_CHECKING:\n    from holdfast import shim"),
        ("shim", "from . import pump"),
        ("runtime", "from ..protocol import errors"),
    ],
)
def test_import_against_the_direction_is_found(package: str, source: str) -> None:
    assert any(crosses_layers(package, use) for use in uses(source))


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("runtime", "open('x')"),
        ("runtime", "import os\nos.path.join(a, b)"),
        ("runtime", "import os as o\no.path.join(a, b)"),
        ("runtime", "from os.path import join"),
        ("runtime", "from os import path"),
        ("runtime", "import os\nos.access(a, b)"),
        ("runtime", "import pwd"),
        ("runtime", "import socket\nsocket.getaddrinfo('a', 1)"),
        ("runtime", "from socket import gethostbyname as g"),
        ("runtime", "import trio"),
        ("shim", "import pickle"),
        ("shim", "from ctypes.util import find_library"),
        ("shim", "import ctypes.util"),
        ("shim", "eval('1')"),
        ("protocol", "import os\nos.open('x', 0)"),
        ("protocol", "from os import getpid"),
        ("protocol", "import time"),
        ("protocol", "import socket"),
        ("protocol", "import datetime\ndatetime.datetime.now()"),
        ("protocol", "from datetime import datetime\ndatetime.now()"),
    ],
)
def test_banned_use_is_found(package: str, source: str) -> None:
    assert any(is_banned(package, use) for use in uses(source))


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("runtime", "import os\nos.open(b'x', os.O_RDONLY)\nrootfs.open(b'x')\nopener(1)"),
        ("runtime", "from holdfast.protocol.errors import Problem\nimport holdfast\nholdfast.__version__"),
        ("runtime", "path.join(a)\nself.os.path"),
        ("protocol", "import os\nos.strerror(1)\nimport msgspec\nmsgspec.json.decode(b'')"),
        ("shim", "from holdfast.runtime import steps\nfrom holdfast.protocol import attach\nimport trio"),
    ],
)
def test_allowed_use_is_not_found(package: str, source: str) -> None:
    assert not any(is_banned(package, use) or crosses_layers(package, use) for use in uses(source))
