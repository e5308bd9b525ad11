"""holdfast-runtime: the built-in runtime under runc's command line, for managers.

Global options stand in front of the command; a command's options in front of or among its words, and those
of `exec` and `ps` end at the container's id, behind which another command line begins. Long names may have
one dash or two. What is wrong goes to stderr, plainly, and to the file of `--log`; Podman reads that file as
one JSON object, so a failure is one line there, and nothing else is ever written to it.

Exit codes: 0; 1 for any failure; `exec` and `run` in the foreground give the program's code, or 128 and the
number of the signal that ended it; 255 is an exec that failed by itself.

Sources: runc(8); the OCI runtime command line interface; containers/podman libpod/oci_conmon_common.go.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

import msgspec

from holdfast import __version__
from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.protocol.oci.state import OCI_VERSION
from holdfast.protocol.printable import printable
from holdfast.runtime.clock import now
from holdfast.shim.cli.options import Command, HelpWanted, Option, help_of, option_lines, parse
from holdfast.shim.cli.runtime.context import PROGRAM, Context, absolute
from holdfast.shim.cli.runtime.interrupts import Interrupted
from holdfast.shim.cli.terms import say, sentence_of

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "create": "Make a container, up to an init that waits for start",
    "start": "Let a created container run its program",
    "run": "Create and start a container",
    "exec": "Run a process in a container",
    "state": "Print a container's state",
    "list": "List containers",
    "ps": "List a container's processes",
    "kill": "Send a signal to a container",
    "pause": "Freeze a container",
    "resume": "Let a frozen container go on",
    "delete": "Remove a container",
    "spec": "Write a config.json to begin with",
    "features": "Print what this runtime can do",
}
"""Name → what it does; the module of a command has its name, with `_command` behind it."""

_WITHOUT_ROOT = frozenset(("spec", "features"))
_FAILED, _EXEC_FAILED = 1, 255
_NAME_WIDTH = 12
_SENTENCE_MAX = 4096


class Global(msgspec.Struct, kw_only=True):
    """What stands in front of the command."""

    operands: list[str]
    root: str = ""
    log: str = ""
    log_format: str = "text"
    log_level: str = ""
    debug: bool = False
    systemd_cgroup: bool = False
    cgroup_manager: str = "cgroupfs"
    rootless: str = "auto"
    criu: str = ""
    version: bool = False


def _one_of(*allowed: str) -> object:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{quoted(text)} is not allowed; allowed: {', '.join(allowed)}")
        return text

    return read


GLOBAL = Command(
    name="",
    program=PROGRAM,
    summary="An OCI runtime for Linux.",
    operands="COMMAND [ARG...]",
    kind=Global,
    options=(
        Option(("--root",), "keep the state of all containers below DIR", value="DIR"),
        Option(("--log",), "append errors to FILE as well", value="FILE"),
        Option(("--log-format",), "how errors stand there: text or json", value="FORMAT",
               read=_one_of("text", "json")),  # type: ignore[arg-type]
        Option(("--log-level",), "for callers that give one; only errors are logged", value="LEVEL",
               read=_one_of("debug", "info", "warning", "error")),  # type: ignore[arg-type]
        Option(("--debug",), "for callers that give it; only errors are logged"),
        Option(("--systemd-cgroup",), "not in this version"),
        Option(("--cgroup-manager",), "who makes cgroups: cgroupfs", value="NAME"),
        Option(("--rootless",), "true, false or auto", value="VALUE",
               read=_one_of("true", "false", "auto")),  # type: ignore[arg-type]
        Option(("--criu",), "for callers that give it", value="FILE"),
        Option(("-v", "--version"), "print the version"),
    ),
    trailing=True,
    single_dash=True,
)  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Run one command. Returns the exit code."""
    os.umask(0o022)  # modes are given where files are made
    asked = Global(operands=[])
    name = ""
    try:
        asked = parse(GLOBAL, argv)
        if asked.version:
            say(_version())
            return 0
        name, words = _command_of(asked.operands)
        module = importlib.import_module(f"holdfast.shim.cli.runtime.{name}_command")
        options = parse(module.COMMAND, words)
        code: int = module.run(options, _context(asked, name))
    except HelpWanted as wanted:
        say(_overview() if wanted.command is GLOBAL else help_of(wanted.command))
        return 0
    except BrokenPipeError:
        return 0  # as much was printed as anybody wanted to read
    except Interrupted as signalled:
        _tell(asked, f"{name}: ended by {signalled}; nothing is left of it")
    except (HoldfastError, OSError) as error:
        _tell(asked, sentence_of(error))
    else:
        return code
    return _EXEC_FAILED if name == "exec" else _FAILED


def _command_of(operands: Sequence[str]) -> tuple[str, list[str]]:
    if not operands:
        raise HelpWanted(GLOBAL)
    name, *words = operands
    if name not in COMMANDS:
        raise HoldfastError(f'{quoted(name)} is not a command; see "{PROGRAM} --help"')
    return name, words


def _context(asked: Global, name: str) -> Context:
    """Turn the global options into what commands need. Raises HoldfastError for what cannot be done."""
    if asked.systemd_cgroup or asked.cgroup_manager == "systemd":
        raise HoldfastError("--systemd-cgroup: not in this version; allowed: cgroups by cgroupfs")
    if asked.cgroup_manager != "cgroupfs":
        what = f"--cgroup-manager: {quoted(asked.cgroup_manager)} is not allowed"
        raise HoldfastError(f"{what}; allowed: cgroupfs")
    root = absolute(asked.root or _default_root())
    if root == b"/" and name not in _WITHOUT_ROOT:
        raise HoldfastError('--root: "/" is not allowed; allowed: a directory of its own')
    if asked.root and name == "list" and not os.path.isdir(root):
        raise HoldfastError(f"--root: {quoted(root)} is not a directory")
    return Context(root=root, tell=_warn)


def _default_root() -> str:
    if os.geteuid() == 0:
        return f"/run/{PROGRAM}"
    above = os.environ.get("XDG_RUNTIME_DIR", "")
    if not above.startswith("/"):
        raise HoldfastError("XDG_RUNTIME_DIR: is not set; needed: a directory of yours, or --root")
    return f"{above}/{PROGRAM}"


def _version() -> str:
    """Return what `--version` prints; callers look for a name, a version, and words with a plus."""
    return f"{PROGRAM} version {__version__}\nspec: {OCI_VERSION}\n+CAP +SECCOMP +EBPF\n"


def _overview() -> str:
    """Return the help of the program itself."""
    lines = [f"Usage: {PROGRAM} [OPTION]... COMMAND [ARG...]", "", GLOBAL.summary, "", "Commands:"]
    lines += (f"  {name:<{_NAME_WIDTH}}{summary}" for name, summary in COMMANDS.items())
    lines += ["", "Options:", *option_lines(GLOBAL), "", f'See "{PROGRAM} COMMAND --help" for a command.']
    return "\n".join(lines) + "\n"


def _warn(sentence: str) -> None:
    """Write a sentence to stderr."""
    try:
        line = f"{PROGRAM}: {printable(sentence)[:_SENTENCE_MAX]}\n"
        os.write(2, line.encode("utf-8", "backslashreplace"))
    except OSError:  # there is nobody to tell
        return


def _tell(asked: Global, sentence: str) -> None:
    """Say what went wrong: plainly to stderr, and to the log as managers read it."""
    _warn(sentence)
    if asked.log:
        try:
            _log(asked, printable(sentence)[:_SENTENCE_MAX])
        except OSError as error:
            _warn(f"--log {quoted(asked.log)}: {error.strerror}")


def _log(asked: Global, sentence: str) -> None:
    line = f"{now()} error: {sentence}".encode("utf-8", "backslashreplace")
    if asked.log_format == "json":
        line = msgspec.json.encode({"level": "error", "msg": sentence, "time": now()})
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    fd = os.open(asked.log.removeprefix("file:"), flags, 0o644)
    try:
        os.write(fd, line + b"\n")
    finally:
        os.close(fd)
