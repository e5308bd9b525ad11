"""`holdfast-runtime exec`: one more process in a container, as the container's own unless told otherwise."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import EXEC_PREFIX, HoldfastError, quoted
from holdfast.protocol.oci.config import Capabilities, Process, User, parse_config, parse_process
from holdfast.protocol.oci.names import parse_uint
from holdfast.runtime.container import CONFIG_MAX, open_container, read_config
from holdfast.runtime.durable import read_at_most
from holdfast.runtime.execute import ExecRequest, execute
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.runtime.context import PROGRAM, console, explain_if, in_front, optional_path
from holdfast.shim.cli.runtime.create_command import CONSOLE_SOCKET, EXPLAIN, PRESERVE_FDS
from holdfast.shim.cli.runtime.holding import signals_to, wait_for
from holdfast.shim.cli.runtime.interrupts import interruptible

if TYPE_CHECKING:
    from holdfast.shim.cli.runtime.context import Context

_ID_MAX = 2**32 - 2


class Exec(msgspec.Struct, kw_only=True):
    """What `exec` is asked for."""

    operands: list[str]
    process: str = ""
    cwd: str = ""
    env: list[str] = []
    tty: bool = False
    user: str = ""
    additional_gids: list[int] = []
    cap: list[str] = []
    no_new_privs: bool = False
    detach: bool = False
    pid_file: str = ""
    console_socket: str = ""
    preserve_fds: int = 0
    ignore_paused: bool = False
    explain: bool = False


def _read_id(text: str) -> int:
    return parse_uint(text, _ID_MAX)


COMMAND = Command(
    name="exec",
    program=PROGRAM,
    summary="Run a process in a container",
    operands="ID [COMMAND [ARG...]]",
    kind=Exec,
    options=(
        Option(("-p", "--process"), "all of the process is in FILE, as in config.json", value="FILE"),
        Option(("--cwd",), "working directory", value="DIR"),
        Option(("-e", "--env"), "set a variable", value="NAME=VALUE", many=True),
        Option(("-t", "--tty"), "give it a terminal"),
        Option(("-u", "--user"), "user, and maybe group, by number", value="UID[:GID]"),
        Option(("-g", "--additional-gids"), "one more group", value="GID", read=_read_id, many=True),
        Option(("-c", "--cap"), "one more capability", value="NAME", many=True),
        Option(("--no-new-privs",), "forbid new privileges"),
        Option(("-d", "--detach"), "do not wait for it"),
        Option(("--pid-file",), "write its pid to FILE", value="FILE"),
        CONSOLE_SOCKET,
        PRESERVE_FDS,
        Option(("--ignore-paused",), "also in a paused container, where it waits"),
        EXPLAIN,
    ),
    least=1,
    trailing=True,
    single_dash=True,
    notes="""
    The exit code is the process's, or 128 and the number of the signal that ended it; 255 if it
    could not be run. """,
)


def run(options: Exec, context: Context) -> int:
    """Run it."""
    container_id, *args = options.operands
    process = _from_file(options) if options.process else _from_container(options, context, args)
    if process.terminal and not options.console_socket:
        raise HoldfastError("exec: a terminal needs --console-socket")
    with console(options.console_socket) as console_fd, interruptible(), in_front(EXEC_PREFIX):
        pid = execute(
            ExecRequest(
                root=context.root,
                id=container_id,
                process=process,
                console_fd=console_fd,
                pid_file=optional_path(options.pid_file),
                preserve_fds=options.preserve_fds,
                ignore_paused=options.ignore_paused,
            ),
            explain_if(options.explain),
        )
    if options.detach:
        return 0
    with signals_to(pid):
        return wait_for(pid)


def _from_file(options: Exec) -> Process:
    """Return the process that a file describes. It may come through a pipe."""
    fd = os.open(options.process, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = read_at_most(fd, CONFIG_MAX)
    finally:
        os.close(fd)
    if content is None:
        raise HoldfastError(f"--process {quoted(options.process)}: more than {CONFIG_MAX} bytes")
    process = parse_process(content)
    return msgspec.structs.replace(process, terminal=process.terminal or options.tty)


def _from_container(options: Exec, context: Context, args: list[str]) -> Process:
    """Return a process like the container's own, with what is asked for."""
    with open_container(context.root, options.operands[0]) as container:
        base = parse_config(read_config(container)).process
    if not args:
        raise HoldfastError("exec: COMMAND is missing; needed: a command, or --process")
    if base is None:
        raise HoldfastError("exec: the container's config names no process; needed: --process")
    env = dict(variable.partition("=")[::2] for variable in base.env)
    for variable in options.env:
        name, equals, value = variable.partition("=")
        if not name or not equals:
            raise HoldfastError(f"exec: --env: {quoted(variable)} is not a variable; allowed: NAME=VALUE")
        env[name] = value
    return msgspec.structs.replace(
        base,
        args=tuple(args),
        cwd=options.cwd or base.cwd,
        env=tuple(f"{name}={value}" for name, value in env.items()),
        terminal=options.tty,
        console_size=None,
        user=_user(options, base.user),
        capabilities=_capabilities(options.cap, base.capabilities),
        no_new_privileges=base.no_new_privileges or options.no_new_privs,
    )


def _user(options: Exec, base: User) -> User:
    uid, gid = base.uid, base.gid
    if options.user:
        first, colon, second = options.user.partition(":")
        try:
            uid = _read_id(first)
            gid = _read_id(second) if colon else gid
        except ValueError:
            what = f"exec: --user: {quoted(options.user)} is not a user"
            raise HoldfastError(f"{what}; allowed: numbers, as UID or UID:GID") from None
    groups = tuple(dict.fromkeys((*base.additional_gids, *options.additional_gids)))
    return msgspec.structs.replace(base, uid=uid, gid=gid, additional_gids=groups)


def _capabilities(more: list[str], base: Capabilities | None) -> Capabilities | None:
    """Add to what the process may do; to the ambient set what can be there."""
    if not more:
        return base
    base = base or Capabilities()
    ambient = (*base.ambient, *(name for name in more if name in base.inheritable))
    return msgspec.structs.replace(
        base,
        bounding=(*base.bounding, *more),
        effective=(*base.effective, *more),
        permitted=(*base.permitted, *more),
        ambient=ambient,
    )
