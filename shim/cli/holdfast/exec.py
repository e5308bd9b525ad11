"""`holdfast exec`: one more program in a container that runs, under a shim of its own."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.protocol.oci.config import ConsoleSize, parse_config
from holdfast.shim.bundle import environment
from holdfast.shim.bundle.config import Files, encode, read_user
from holdfast.shim.cli.holding import hold, resize
from holdfast.shim.cli.launching import Launched, StartFailed, launch_shim, make_run_dir
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.session import Ways, check_terminal
from holdfast.shim.cli.terminal import DEFAULT_DETACH_KEYS, parse_detach_keys, window_size
from holdfast.shim.cli.terms import tell
from holdfast.shim.order import ShimOrder
from holdfast.shim.store import words
from holdfast.shim.store.status import RUNNING, status_of
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from holdfast.protocol.oci.config import Config, Process, User
    from holdfast.shim.store.places import Places


class Exec(msgspec.Struct, kw_only=True):
    """What `exec` is asked for."""

    operands: list[str]
    detach: bool = False
    interactive: bool = False
    tty: bool = False
    env: list[str] = []
    env_file: list[str] = []
    user: str = ""
    workdir: str = ""
    detach_keys: str = DEFAULT_DETACH_KEYS
    explain: bool = False


COMMAND = Command(
    name="exec",
    summary="Run another command in a running container",
    operands="CONTAINER [--] COMMAND [ARG...]",
    kind=Exec,
    options=(
        Option(("-d", "--detach"), "leave it running"),
        Option(("-i", "--interactive"), "our stdin is the command's"),
        Option(("-t", "--tty"), "give it a terminal"),
        Option(
            ("-e", "--env"), "set a variable; NAME alone: as it is here", value="NAME[=VALUE]", many=True
        ),
        Option(("--env-file",), "set the variables in a file, one a line", value="FILE", many=True),
        Option(("-u", "--user"), "user, and maybe group (as the container's)", value="USER[:GROUP]"),
        Option(("-w", "--workdir"), "working directory (as the container's)", value="DIR"),
        Option(("--detach-keys",), "keys that leave it running (ctrl-p,ctrl-q)", value="KEYS"),
        Option(("--explain",), "tell each step on stderr"),
    ),
    least=2,
    trailing=True,
    notes="The exit code is the command's; 125, 126 and 127 as for run.",
)


def run(options: Exec, places: Places) -> int:
    """Run the command."""
    reference, *command = options.operands
    command = command[1:] if command[:1] == ["--"] else command
    if not command:
        raise HoldfastError('exec: COMMAND is missing; see "holdfast exec --help"')
    if not options.detach:
        check_terminal(stdin=options.interactive, terminal=options.tty)
    try:
        parse_detach_keys(options.detach_keys)
    except ValueError as error:
        raise HoldfastError(f"exec: --detach-keys: {error}") from None
    with Store(places) as store, store.open(reference) as entry:
        record = entry.record()
        status = status_of(entry, record)
        if status.state != RUNNING:
            raise HoldfastError(f'container "{record.name}": is not running, but {status.state}')
        process = _process(parse_config(entry.config()), options, command)
        container_id = entry.id
    session_id = words.new_id().encode()
    run_dir_fd = make_run_dir(places, b"exec", session_id)
    order = ShimOrder(
        id=container_id,
        runtime_root=places.runtime,
        run_dir=places.run + b"/exec/" + session_id,
        record_dir=None,
        process=encode(process),
        terminal=options.tty,
        stdin=options.interactive,
    )
    try:
        return _hold(options, order, run_dir_fd)
    except StartFailed as error:
        tell(error)
        return error.exit_code


def _hold(options: Exec, order: ShimOrder, run_dir_fd: int) -> int:
    if options.detach:
        with launch_shim(order, run_dir_fd, in_foreground=False, explain=options.explain) as shim:
            shim.wait_started()
        return 0
    launched: list[Launched] = []

    def start() -> Launched:
        launched.append(launch_shim(order, run_dir_fd, in_foreground=True, explain=options.explain))
        return launched[0]

    ways = Ways(
        stdin=options.interactive,
        terminal=options.tty,
        detach_keys=options.detach_keys,
        signals=lambda number: _send(launched[0], number),
        resize=lambda rows, columns: resize(order.run_dir, rows, columns),
    )
    return hold(ways, start, on_started=_nothing, on_output_gone=lambda: _send(launched[0], signal.SIGKILL))


def _nothing() -> None:
    """Do nothing."""


def _send(launched: Launched, number: int) -> None:
    """Send a signal to the program, if it is still a child of the shim that we have launched."""
    try:
        pidfd = os.pidfd_open(launched.program_pid)
    except (ProcessLookupError, OSError):
        return
    try:
        # Asked after the pidfd is open: what is said is then true of the process that it stands for.
        with open(f"/proc/{launched.program_pid}/stat", "rb") as file:
            parent = int(file.read().rpartition(b")")[2].split()[1])
        if parent == launched.pid:
            signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, FileNotFoundError):
        return
    finally:
        os.close(pidfd)


def _process(config: Config, options: Exec, command: list[str]) -> Process:
    """Return the process: as the container's own, but for what was asked for. Raises HoldfastError."""
    base = config.process
    if base is None:
        raise HoldfastError(
            "exec: the container's config names no process to take user and environment from"
        )
    if options.workdir and not options.workdir.startswith("/"):
        raise HoldfastError(f"--workdir {quoted(options.workdir)}: is not an absolute path")
    env = dict(variable.partition("=")[::2] for variable in base.env)
    if options.tty:
        env.setdefault("TERM", "xterm")
    env |= environment.wished(options.env, options.env_file, os.environ)
    size = window_size(0) if options.tty else None
    return msgspec.structs.replace(
        base,
        args=tuple(command),
        cwd=options.workdir or base.cwd,
        env=tuple(f"{name}={value}" for name, value in env.items()),
        user=_user(config, options.user) if options.user else base.user,
        terminal=options.tty,
        console_size=ConsoleSize(height=size[0], width=size[1]) if size else None,
    )


def _user(config: Config, text: str) -> User:
    fd = os.open(config.root.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return read_user(text, Files(path=config.root.path, fd=fd))
    finally:
        os.close(fd)
