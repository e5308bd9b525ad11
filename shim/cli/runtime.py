"""holdfast-runtime: the built-in runtime under runc's command line, for managers.

Source: runc(8) and the OCI runtime command line interface; shared behaviour with crun(1).
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

import msgspec

from holdfast import __version__
from holdfast.protocol.errors import HoldfastError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.runtime.explain import Explain

_DEFAULT_ROOT = "/run/holdfast-runtime"
_SPEC_VERSION = "1.2.1"


def main(argv: Sequence[str]) -> int:
    """Run one command. Returns the exit code: 0, or 1 after a failure, whose sentence went to stderr and the log."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        return _COMMANDS[args.command](args)
    except (HoldfastError, OSError) as error:
        _tell(args, str(error))
        return 255 if args.command == "exec" else 1


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence and exit code 1, which is what callers of runc expect."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="holdfast-runtime", allow_abbrev=False, description="An OCI runtime for Linux.")
    parser.add_argument("--root", default=_DEFAULT_ROOT, metavar="DIR", help="folder of all state directories")
    parser.add_argument("--log", metavar="FILE", help="append errors to this file as well")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="how errors are logged")
    parser.add_argument("--version", "-v", action="version", version=_version_text(), help="tell the version")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name, text, options in (
        ("create", "make a container, up to an init that waits for start", _create_options),
        ("start", "let a created container run its program", _no_options),
        ("state", "print a container's state", _no_options),
        ("kill", "send a signal to a container", _kill_options),
        ("delete", "remove a container", _delete_options),
        ("exec", "run a process in a container", _exec_options),
        ("list", "list the containers", _list_options),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        if name != "list":
            command.add_argument("id", metavar="ID", help="the container's id")
        options(command)
    return parser


def _no_options(_command: argparse.ArgumentParser) -> None:
    """Add nothing."""


def _create_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--bundle", "-b", default=".", metavar="DIR", help="directory with config.json")
    command.add_argument("--pid-file", metavar="FILE", help="write init's pid to this file")
    command.add_argument("--console-socket", metavar="SOCKET", help="send our end of the terminal to this socket")
    command.add_argument("--preserve-fds", type=int, default=0, metavar="N", help="pass N descriptors from 3 on")
    command.add_argument("--no-pivot", action="store_true", help="chroot instead of pivot_root (for a root in memory)")
    command.add_argument("--no-new-keyring", action="store_true", help="keep the caller's session keyring")
    command.add_argument("--explain", action="store_true", help="tell each step on stderr")


def _kill_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("signal", nargs="?", default="TERM", metavar="SIGNAL", help="name or number (default TERM)")
    command.add_argument("--all", "-a", action="store_true", help="signal all processes of the container")


def _delete_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--force", "-f", action="store_true", help="kill it first if it runs")


def _exec_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--process", "-p", required=True, metavar="FILE", help="the process, as in config.json")
    command.add_argument("--detach", "-d", action="store_true", help="do not wait for the process")
    command.add_argument("--pid-file", metavar="FILE", help="write the process's pid to this file")
    command.add_argument("--console-socket", metavar="SOCKET", help="send our end of the terminal to this socket")
    command.add_argument("--preserve-fds", type=int, default=0, metavar="N", help="pass N descriptors from 3 on")
    command.add_argument("--explain", action="store_true", help="tell each step on stderr")


def _list_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--quiet", "-q", action="store_true", help="print ids only")


def _create(args: argparse.Namespace) -> int:
    from holdfast.runtime.create import CreateRequest, create
    from holdfast.runtime.plan import Options

    options = Options(
        preserve_fds=_preserved(args.preserve_fds), no_pivot=args.no_pivot, no_new_keyring=args.no_new_keyring
    )
    with _Console(args.console_socket) as console_fd:
        request = CreateRequest(
            root=_absolute(args.root),
            id=args.id,
            bundle=_absolute(args.bundle),
            console_fd=console_fd,
            pid_file=_absolute(args.pid_file) if args.pid_file else None,
            options=options,
        )
        create(request, _explain(args))
    return 0


def _start(args: argparse.Namespace) -> int:
    from holdfast.runtime.commands.start import start

    start(_absolute(args.root), args.id)
    return 0


def _state(args: argparse.Namespace) -> int:
    from holdfast.protocol.oci.state import encode
    from holdfast.runtime.commands.state import state

    sys.stdout.buffer.write(encode(state(_absolute(args.root), args.id)))
    return 0


def _kill(args: argparse.Namespace) -> int:
    from holdfast.protocol.oci.names import parse_signal
    from holdfast.runtime.commands.kill import kill

    kill(_absolute(args.root), args.id, parse_signal(args.signal), every=args.all)
    return 0


def _delete(args: argparse.Namespace) -> int:
    from holdfast.runtime.commands.delete import delete

    delete(_absolute(args.root), args.id, force=args.force)
    return 0


def _exec(args: argparse.Namespace) -> int:
    from holdfast.protocol.oci.config import parse_process
    from holdfast.runtime.execute import ExecRequest, execute

    with open(args.process, "rb") as file:
        process = parse_process(file.read())
    with _Console(args.console_socket) as console_fd:
        request = ExecRequest(
            root=_absolute(args.root),
            id=args.id,
            process=process,
            console_fd=console_fd,
            pid_file=_absolute(args.pid_file) if args.pid_file else None,
            preserve_fds=_preserved(args.preserve_fds),
        )
        pid = execute(request, _explain(args))
    if args.detach:
        return 0
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _list(args: argparse.Namespace) -> int:
    from holdfast.protocol.oci.state import encode_list
    from holdfast.runtime.commands.state import list_states

    states = list(list_states(_absolute(args.root), lambda sentence: _tell(args, sentence)))
    if args.quiet:
        for state in states:
            print(state.id)
    else:
        sys.stdout.buffer.write(encode_list(states))
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "create": _create,
    "start": _start,
    "state": _state,
    "kill": _kill,
    "delete": _delete,
    "exec": _exec,
    "list": _list,
}


class _Console:
    """The connection to a console socket; its descriptor, or None where there is none."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def __enter__(self) -> int | None:
        if self._path is None:
            return None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(self._path)
        except OSError as error:
            raise HoldfastError(f'console socket "{self._path}": {error.strerror}') from None
        return self._socket.fileno()

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()


def _explain(args: argparse.Namespace) -> Explain | None:
    if not args.explain:
        return None
    from holdfast.runtime.explain import Explain

    return Explain(sys.stderr.fileno())


def _preserved(count: int) -> int:
    """Add the descriptors of socket activation. Source: sd_listen_fds(3)."""
    listening = os.environ.get("LISTEN_FDS", "0")
    return count + (int(listening) if listening.isascii() and listening.isdigit() else 0)


def _absolute(path: str) -> bytes:
    return os.path.abspath(os.fsencode(path))


def _version_text() -> str:
    return f"holdfast-runtime version {__version__}\nspec: {_SPEC_VERSION}"


def _tell(args: argparse.Namespace, sentence: str) -> None:
    """Say what went wrong: to the log, as managers read it, and plainly to stderr."""
    print(f"holdfast-runtime: {sentence}", file=sys.stderr)
    if args.log is None:
        return
    from holdfast.runtime.clock import now

    line = f"{now()} error: {sentence}"
    if args.log_format == "json":
        line = msgspec.json.encode({"level": "error", "msg": sentence, "time": now()}).decode()
    with open(args.log, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(line + "\n")
