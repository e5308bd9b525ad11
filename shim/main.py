"""A shim's life around its event loop: what is opened before, and what is taken away after.

The logs, the sockets and the record's place are made ready while the runtime is at work. What is done at the
end may block (a cgroup that is busy, a large tree to remove), and nobody waits for the loop any more then.
"""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING

import trio

from holdfast.protocol import control, errors, exitcode
from holdfast.shim import exit as exits
from holdfast.shim import launch, sockets
from holdfast.shim.diagnostics import Diagnostics
from holdfast.shim.log.drivers import open_logs
from holdfast.shim.store.store import Store
from holdfast.shim.supervise import Supervisor

if TYPE_CHECKING:
    from holdfast.shim.order import ShimOrder
    from holdfast.shim.runtimes.bringup import BringingUp
    from holdfast.shim.runtimes.interface import Runtime
    from holdfast.shim.stdio import Streams


def run_shim(order: ShimOrder, streams: Streams, runtime: Runtime, bringing_up: BringingUp) -> int:
    """Hold the process until it has ended, and clean up after it. Returns the shim's exit code."""
    diagnostics = Diagnostics(order.record_dir, order.id)
    try:
        listeners = sockets.listen(order.run_dir)
        logs = open_logs(order.logs)
        if order.record_dir is not None:
            exits.forget(order.record_dir)
    except (errors.HoldfastError, OSError) as error:
        _give_up(order, runtime, bringing_up, str(error))
        return exitcode.FAILED
    gc.freeze()  # what there is now stays; collections need not look at it again
    supervisor = Supervisor(order, streams, runtime, logs, diagnostics)
    try:
        was_up = trio.run(supervisor.run, bringing_up, listeners)
    except BaseException as error:
        diagnostics.error("shim.failed", exc_info=error)
        raise
    for log in logs:
        log.close()
    _clean_up(order, runtime, diagnostics, was_up=was_up)
    return 0 if was_up else exitcode.FAILED


def _give_up(order: ShimOrder, runtime: Runtime, bringing_up: BringingUp, sentence: str) -> None:
    """End a bringing up that the shim can't make use of, and tell why."""
    os.kill(bringing_up.pid, signal.SIGTERM)
    os.waitpid(bringing_up.pid, 0)
    try:
        runtime.clean_up()
    except (errors.HoldfastError, OSError) as error:
        sentence = f"{sentence}; and {error}"
    sockets.remove(order.run_dir)
    launch.tell(order, control.Failed(error=sentence, exit_code=exitcode.FAILED))


def _clean_up(order: ShimOrder, runtime: Runtime, diagnostics: Diagnostics, *, was_up: bool) -> None:
    """Remove what only a running container needs, and with --rm the container."""
    try:
        if was_up:
            runtime.clean_up()
    except (errors.HoldfastError, OSError) as error:
        diagnostics.error("container.not_deleted", error=str(error))
    sockets.remove(order.run_dir)
    if order.remove is not None:
        try:
            with Store(order.remove) as store, store.open(order.id).lock() as entry:
                store.remove(entry)
        except (errors.HoldfastError, OSError) as error:
            diagnostics.error("container.not_removed", error=str(error))
