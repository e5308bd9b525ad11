"""What a setup has made so far: handed from step to step, and what undoing needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.runtime.sys.executor import Here

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.runtime.cgroups.group import Cgroup
    from holdfast.runtime.container import Record
    from holdfast.runtime.mounts.sources import Sources
    from holdfast.runtime.paths import Rootfs
    from holdfast.runtime.plan import Plan
    from holdfast.runtime.procfs import Procfs
    from holdfast.runtime.puppet.puppet import Puppet
    from holdfast.runtime.sys.call import Call

    Observer = Callable[[str, Call, int], None]


class Making:
    """A container, or a process joining one, under construction.

    What is declared without a value is set by the step that makes it; steps later in the list may rely on it.
    """

    parent: Here
    stage: Puppet
    """The puppet that clones init: it stands in the namespaces that are given by path, and ends after the clone."""
    init: Puppet
    proc: Procfs
    record: Record
    rootfs: Rootfs
    sources: Sources
    program: bytes
    """The path of the user's program, as init is going to exec it."""
    environment: list[bytes]

    def __init__(self, plan: Plan, stdio: Sequence[int], console_fd: int | None) -> None:
        self.plan = plan
        self.stdio = stdio
        self.console_fd = console_fd
        self.parent = Here()
        self.state_fd = -1
        self.namespace_fds: list[int] = []
        self.cgroup: Cgroup | None = None
        self.stage_pid = 0
        self.pid = 0
        self.listener_fd = -1
        self.observe: Observer | None = None

    def flush(self) -> None:
        """Have everything carried out that has been asked of the puppets."""
        for name in ("stage", "init"):
            puppet: Puppet | None = getattr(self, name, None)
            if puppet is not None:
                puppet.flush()
