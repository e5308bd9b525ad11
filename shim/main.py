"""A shim's life around its event loop: what is taken away when the loop has ended.

That may block (a cgroup that is busy, a large tree to remove); nobody waits for the loop any more then.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import trio

from holdfast.protocol import control, exitcode
from holdfast.protocol.errors import HoldfastError
from holdfast.shim import heap, sockets
from holdfast.shim.diagnostics import Diagnostics
from holdfast.shim.store.store import Store
from holdfast.shim.supervise import Supervisor

if TYPE_CHECKING:
    from holdfast.shim.order import ShimOrder
    from holdfast.shim.prepare import Prepared
    from holdfast.shim.runtimes.bringup import BringingUp
    from holdfast.shim.runtimes.interface import Runtime


def run_shim(order: ShimOrder, prepared: Prepared, runtime: Runtime, bringing_up: BringingUp) -> int:
    """Hold the process until it has ended, and clean up after it. Returns the shim's exit code."""
    diagnostics = Diagnostics(order.record_dir, order.id)
    heap.keep_room()
    gc.freeze()  # what there is now stays; collections need not look at it again
    gc.enable()
    supervisor = Supervisor(order, prepared, runtime, diagnostics)
    try:
        result = trio.run(supervisor.run, bringing_up)
    except BaseException as error:
        diagnostics.error("shim.failed", exc_info=error)
        raise
    if isinstance(result, control.Exited):
        _clean_up(order, runtime, diagnostics)
        return 0
    if prepared.record is not None:
        prepared.record.abandon()
    sockets.remove(order.run_dir)
    return exitcode.FAILED


def _clean_up(order: ShimOrder, runtime: Runtime, diagnostics: Diagnostics) -> None:
    """Remove what only a running container needs, and with --rm the container."""
    try:
        runtime.clean_up()
    except (HoldfastError, OSError) as error:
        diagnostics.error("container.not_deleted", error=str(error))
    sockets.remove(order.run_dir)
    if order.remove is not None:
        try:
            with Store(order.remove) as store, store.open(order.id).lock() as entry:
                store.remove(entry)
        except (HoldfastError, OSError) as error:
            diagnostics.error("container.not_removed", error=str(error))
