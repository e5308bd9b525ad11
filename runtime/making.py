"""What a setup has made so far: handed from step to step, and what undoing needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.runtime.sys.executor import Here, close_quietly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.runtime.cgroups.place import Cgroup
    from holdfast.runtime.container import Record
    from holdfast.runtime.explain import Explain
    from holdfast.runtime.mounts.sources import Sources
    from holdfast.runtime.namespaces.plan import NamespacesPlan
    from holdfast.runtime.paths import Rootfs
    from holdfast.runtime.plan import Plan, ProcessPlan
    from holdfast.runtime.procfs import Procfs
    from holdfast.runtime.puppet.puppet import Puppet, Started
    from holdfast.runtime.sys.call import Value


class Making:
    """A container, or a process joining one, under construction.

    What is declared without a value is set by the step that makes it; steps later in the list may rely on
    it.
    """

    plan: Plan
    """Of a container to be made; a process that joins one has none."""
    stage: Puppet
    """The puppet that clones init.

    It stands in the namespaces that are given by path, and ends after the clone.
    """
    init: Puppet
    proc: Procfs
    record: Record
    rootfs: Rootfs
    sources: Sources
    late: list[Value]
    """Mounts that are made read-only when everything has been written."""
    program: bytes
    """The path of the user's program, as init is going to exec it."""
    environment: list[bytes]
    init_pidfd: int
    """Of an exec: stands for the init whose namespaces are joined."""

    def __init__(
        self,
        process: ProcessPlan,
        namespaces: NamespacesPlan,
        *,
        stdio: Sequence[int],
        console_fd: int | None,
        pid_file: bytes | None,
    ) -> None:
        self.process = process
        self.namespaces = namespaces
        self.pid_file = pid_file
        self.stdio = stdio
        self.console_fd = console_fd
        self.parent = Here()
        self.state_fd = -1
        self.lock_fd = -1
        """Held while a container is made, so that a delete waits until there is all or nothing."""
        self.namespace_fds: list[int] = []
        self.cgroup: Cgroup | None = None
        self.stage_pid = 0
        self.pid = 0

    def explain_with(self, explain: Explain | None) -> None:
        """Have each call told from now on."""
        self.parent.observe = explain.observe if explain else None

    def adopt(self, started: Started) -> None:
        """Take over a puppet and the channel to the process that it will clone."""
        self.stage_pid, self.stage, self.init = started.pid, started.puppet, started.child
        for puppet in (self.stage, self.init):
            puppet.observe = self.parent.observe

    def flush(self) -> None:
        """Have everything carried out that has been asked of the puppets."""
        for puppet in self._puppets():
            puppet.flush()

    def close(self) -> None:
        """Close what only the making needed."""
        for puppet in self._puppets():
            puppet.hang_up()
        if hasattr(self, "sources"):
            self.sources.close(self.parent)
        close_quietly(*self.namespace_fds, self.state_fd, self.lock_fd)

    def _puppets(self) -> list[Puppet]:
        return [getattr(self, name) for name in ("stage", "init") if hasattr(self, name)]
