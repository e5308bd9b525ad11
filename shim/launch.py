"""Becoming a shim: a process that depends on nobody.

    launcher ──fork──> shim ──fork──> runtime ──> init

The shim leaves its launcher's surroundings (detach.py), opens what it needs (prepare.py), and forks the
runtime before the event loop and its modules are even imported: the runtime makes the container
meanwhile.

A fork copies one thread only, with all locks as the others have left them; so there must be no others.

Source: fork(2).
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

from holdfast.protocol import exitcode
from holdfast.protocol.errors import HoldfastError
from holdfast.shim import runtimes, sockets
from holdfast.shim.detach import detach
from holdfast.shim.prepare import prepare
from holdfast.shim.report import tell
from holdfast.shim.runtimes.bringup import failure, fork_runtime

if TYPE_CHECKING:
    from holdfast.shim.order import ShimOrder


def launch(order: ShimOrder) -> int:
    """Fork a shim and return its pid at once; what becomes of it is told on the order's report descriptor.

    The shim is a child of the caller until the caller ends; its exit code is 0 if it could do its work.
    Raises OSError if there cannot be another process, HoldfastError if the caller has several threads.
    """
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise HoldfastError(f"launch a shim: the launcher has {threads} threads; allowed: 1")
    sys.stdout.flush()
    sys.stderr.flush()
    # Until the shim has handlers of its own, a signal to it would be handled as one to the launcher.
    mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid != 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if pid:
        return pid
    code = exitcode.FAILED
    try:
        code = _live(order)
    finally:
        # Not by sys.exit: whatever the launcher has registered to be done at its end is not the shim's
        # to do.
        os._exit(code)


def _live(order: ShimOrder) -> int:
    """Be a shim. Returns its exit code."""
    gc.disable()  # until there is a loop: what is there now is the launcher's, and shared with it
    prepared = None
    try:
        oom_score = detach(order.inherited_fds(), f"holdfast-shim {order.id}")
        prepared = prepare(order)
        runtime = runtimes.choose(order)
        bringing_up = fork_runtime(runtime, order, prepared.streams, oom_score)
    except Exception as error:  # noqa: BLE001  # whatever it is, the launcher must hear of it
        if prepared is not None and prepared.record is not None:
            prepared.record.abandon()
        sockets.remove(order.run_dir)
        tell(order.report_fd, failure(error))
        return exitcode.FAILED
    # The event loop, while the runtime is at work already.
    from holdfast.shim.main import run_shim  # noqa: PLC0415

    return run_shim(order, prepared, runtime, bringing_up)
