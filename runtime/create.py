"""Carries out the list of steps, and walks it back when one fails."""

from __future__ import annotations

import os
import signal
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci import ids
from holdfast.protocol.oci.config import parse_config
from holdfast.runtime.cgroups.detect import detect
from holdfast.runtime.container import CONFIG_MAX
from holdfast.runtime.durable import read_at_most
from holdfast.runtime.making import Making
from holdfast.runtime.plan import Options, make_plan
from holdfast.runtime.process.own import held_capabilities
from holdfast.runtime.process.preserved import check_preserved
from holdfast.runtime.procfs import Procfs
from holdfast.runtime.puppet.puppet import PuppetDied
from holdfast.runtime.seccomp.cache import cache_in
from holdfast.runtime.steps import SETUP, taken
from holdfast.runtime.sys.call import shown
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.runtime.explain import Explain
    from holdfast.runtime.step import Step

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class CreateRequest(msgspec.Struct, kw_only=True):
    """What whoever wants a container says."""

    root: bytes
    """The folder of all state directories, absolute."""
    id: str
    bundle: bytes
    """The directory with config.json, absolute."""
    stdio: tuple[int, int, int] = (0, 1, 2)
    """Descriptors that become the program's stdin, stdout and stderr, unless it has a terminal."""
    console_fd: int | None = None
    """A connected socket on which our end of the terminal is sent."""
    pid_file: bytes | None = None
    options: Options = Options()


def create(request: CreateRequest, explain: Explain | None = None) -> int:
    """Make a container from its bundle, up to an init that waits for `start`.

    Init is a child of this process, and falls to the nearest subreaper when this process ends.
    Returns init's pid. Raises HoldfastError or OSError, each a sentence for a person; nothing is left behind
    then.
    Source: runtime-spec, runtime.md "Create".
    """
    ids.check_id(request.id)
    check_preserved(request.options.listen_fds + request.options.preserve_fds)
    snapshot = read_config_file(request.bundle)
    parsed = parse_config(snapshot)
    terminal = parsed.process is not None and parsed.process.terminal
    if terminal != (request.console_fd is not None):
        what = (
            "a console socket is needed"
            if terminal
            else "a console socket is given for a process without one"
        )
        raise HoldfastError(f"process.terminal: {what}")
    with cache_in(request.root) as cache:
        plan = make_plan(
            parsed,
            snapshot,
            container_id=request.id,
            root=request.root,
            bundle=request.bundle,
            options=request.options,
            host=detect(here),
            held=held_capabilities(here),
            cache=cache,
        )
    making = Making(
        plan.process,
        plan.namespaces,
        stdio=request.stdio,
        console_fd=request.console_fd,
        pid_file=request.pid_file,
    )
    making.plan = plan
    carry_out(taken(SETUP, making), making, explain)
    return making.pid


def read_config_file(bundle: bytes) -> bytes:
    """Return the content of a bundle's config.json. Raises HoldfastError if there is none.

    A fifo in its place does not hold the runtime up, and an endless file does not fill its memory.
    """
    what = f"bundle {shown(bundle)}: config.json"
    try:
        fd = os.open(bundle + b"/config.json", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise HoldfastError(f"{what}: {os.strerror(error.errno or 0)}") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise HoldfastError(f"{what}: is not a regular file")
        content = read_at_most(fd, CONFIG_MAX)
    finally:
        os.close(fd)
    if content is None:
        raise HoldfastError(f"{what}: more than {CONFIG_MAX} bytes")
    return content


def carry_out(steps: Iterable[Step], making: Making, explain: Explain | None = None) -> None:
    """Do the steps in order.

    After a failure undo those that were begun, last first, and raise what went wrong.
    """
    begun: list[Step] = []
    making.proc = Procfs.shared(making.parent)
    making.explain_with(explain)
    try:
        actor = ""
        for step in steps:
            if step.actor != actor:  # what one actor was asked to do is done before the other one goes on
                making.flush()
                actor = step.actor
            begun.append(step)
            _perform(step, making, explain)
        making.flush()
    except BaseException as error:
        _walk_back(begun, making)
        if isinstance(error, PuppetDied):
            raise HoldfastError(f"{begun[-1].name}: the container's init died") from None
        raise
    finally:
        making.close()


def _perform(step: Step, making: Making, explain: Explain | None) -> None:
    if explain is None:
        step.do(making)
        return
    explain.begin(step)
    try:
        step.do(making)
        making.flush()
    finally:
        explain.end()


def _walk_back(begun: list[Step], making: Making) -> None:
    # Whoever wants this process to end, maybe for the second time, waits until it has tidied up.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        for step in reversed(begun):
            if step.undo is not None:
                # One thing that cannot be undone must not keep the others from it.
                with suppress(OSError, HoldfastError):
                    step.undo(making)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
