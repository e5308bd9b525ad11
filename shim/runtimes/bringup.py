"""The runtime as a process of its own.

Forked before the shim's event loop exists, gone when the container stands.

It is synchronous, and may take its time over a slow mount, while the shim serves. What it made is init,
which falls to the shim, its subreaper, when it ends. It says on a pipe how it went, in one message of
protocol/control.py.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NamedTuple

from holdfast.protocol import control, errors, exitcode
from holdfast.shim.detach import RELAYED, tie_to_shim

if TYPE_CHECKING:
    from holdfast.shim.order import ShimOrder
    from holdfast.shim.runtimes.interface import Runtime
    from holdfast.shim.stdio import Streams


class _StoppedBySignal(BaseException):
    """Raised wherever the runtime happens to be; no handler of errors may take it for one of its own."""


class BringingUp(NamedTuple):
    """A runtime at work: its process, and where it will say how it went."""

    pid: int
    result_fd: int


def fork_runtime(runtime: Runtime, order: ShimOrder, streams: Streams, oom_score: bytes) -> BringingUp:
    """Fork a process that brings the container up; close the program's side of the streams here.

    oom_score: what `detach` returned. Raises OSError.
    """
    result_fd, writing = os.pipe2(os.O_CLOEXEC)
    shim_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(result_fd)
            streams.keep_programs()
            result = _bring_up(runtime, order, streams, shim_pid, oom_score)
            os.write(writing, control.encode(result))
        finally:
            os._exit(0)
    os.close(writing)
    streams.keep_ours()
    return BringingUp(pid, result_fd)


def _bring_up(
    runtime: Runtime, order: ShimOrder, streams: Streams, shim_pid: int, oom_score: bytes
) -> control.Event:
    for fd in (order.first_client_fd, order.report_fd):
        if fd is not None:
            os.close(fd)
    console_fd = streams.programs_console.fileno() if streams.programs_console else None
    pid = 0
    try:
        for number in RELAYED:
            signal.signal(number, _stop)
        tie_to_shim(shim_pid, oom_score)
        pid = runtime.bring_up(streams.programs, console_fd)
    except _StoppedBySignal as stopped:
        if not pid:  # else it has come too late to stop anything
            return control.Failed(error=str(stopped), exit_code=exitcode.FAILED)
    except Exception as error:  # noqa: BLE001  # whatever it is, the caller must hear of it
        return failure(error)
    return control.Started(pid=pid)


def failure(error: Exception) -> control.Failed:
    """Return what the caller is told of an error, with the exit code by which shells tell it.

    Source: sh(1), "exit status" of commands not run.
    """
    if not isinstance(error, (errors.HoldfastError, OSError)):  # a mistake of ours
        return control.Failed(f"internal error: {type(error).__name__}: {error}", exitcode.FAILED)
    if isinstance(error, errors.CommandNotFound):
        return control.Failed(str(error), exitcode.NOT_FOUND)
    if isinstance(error, errors.CommandNotExecutable):
        return control.Failed(str(error), exitcode.NOT_EXECUTABLE)
    return control.Failed(str(error), exitcode.FAILED)


def _stop(number: int, _frame: object) -> None:
    for each in RELAYED:
        signal.signal(each, signal.SIG_IGN)  # so that nothing stops the taking away
    raise _StoppedBySignal(f"bring the container up: stopped by {signal.Signals(number).name}")
