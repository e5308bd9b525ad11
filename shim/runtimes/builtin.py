"""The built-in runtime: called, not run.

Its modules are imported where they are used, by whoever uses them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.runtime.explain import Explain
    from holdfast.shim.order import ShimOrder


class BuiltIn:
    """Makes what the order says."""

    def __init__(self, order: ShimOrder) -> None:
        """Take the order."""
        self._order = order

    def bring_up(self, stdio: Sequence[int], console_fd: int | None) -> int:
        """Make and start the container, or the process of an exec."""
        first, second, third = stdio
        if self._order.is_exec:
            return self._execute((first, second, third), console_fd)
        return self._create_and_start((first, second, third), console_fd)

    def oom_kills(self) -> int:
        """Ask the container's cgroup."""
        from holdfast.runtime.commands.oom import oom_kills

        return oom_kills(self._order.runtime_root, self._order.id)

    def clean_up(self) -> None:
        """Delete the container; the process of an exec leaves nothing."""
        from holdfast.runtime.commands.delete import delete

        if not self._order.is_exec:
            delete(self._order.runtime_root, self._order.id, force=True)

    def _create_and_start(self, stdio: tuple[int, int, int], console_fd: int | None) -> int:
        from holdfast.runtime.commands.start import start
        from holdfast.runtime.create import CreateRequest, create

        order = self._order
        request = CreateRequest(
            root=order.runtime_root,
            id=order.id,
            bundle=order.bundle,
            stdio=stdio,
            console_fd=console_fd,
            pid_file=order.pid_file,
        )
        pid = create(request, self._explain())
        try:
            start(order.runtime_root, order.id)
        except BaseException:
            self.clean_up()
            raise
        return pid

    def _execute(self, stdio: tuple[int, int, int], console_fd: int | None) -> int:
        from holdfast.protocol.oci.config import parse_process
        from holdfast.runtime.execute import ExecRequest, execute

        order = self._order
        request = ExecRequest(
            root=order.runtime_root,
            id=order.id,
            process=parse_process(order.process),
            stdio=stdio,
            console_fd=console_fd,
            pid_file=order.pid_file,
        )
        return execute(request, self._explain())

    def _explain(self) -> Explain | None:
        if self._order.explain_fd is None:
            return None
        from holdfast.runtime.explain import Explain

        return Explain(self._order.explain_fd)
