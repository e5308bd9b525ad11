"""What a shim is told when it is launched: everything it needs to know, since it asks nobody later."""

from __future__ import annotations

import msgspec

from holdfast.shim.store.places import Places  # noqa: TC001  # msgspec looks at it


class LogOrder(msgspec.Struct, frozen=True):
    """One log: a driver's name, and where it writes."""

    driver: str
    path: bytes = b""
    limit_bytes: int = 0
    """Size at which the file is rotated; 0: never."""


class ShimOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One container, or one process in a container (an exec), to bring up and to hold."""

    id: str
    """The container's."""
    runtime_root: bytes
    """The runtime's folder of state directories, absolute."""
    run_dir: bytes
    """Where the attach and control sockets are made: a directory of ours, 0700; it is removed at the end."""
    record_dir: bytes | None
    """Where exit.json and the shim's own log go; None for an exec."""
    bundle: bytes = b""
    process: bytes = b""
    """The process of an exec, as JSON; empty for a container."""
    terminal: bool = False
    stdin: bool = False
    """Whether the program's stdin is what clients send; else /dev/null."""
    logs: tuple[LogOrder, ...] = ()
    remove: Places | None = None
    """The store to remove the container from when it has ended (--rm); None: it is kept."""
    timeout_s: float | None = None
    """How long the process may run before it is killed; None: as long as it likes."""
    pid_file: bytes | None = None
    first_client_fd: int | None = None
    """An attach client that is there before anything runs, and that the container waits for."""
    report_fd: int | None = None
    """Where to tell what happens, one JSON line an event (protocol/control.py)."""
    explain_fd: int | None = None
    """Where the steps of the setup are told."""

    @property
    def is_exec(self) -> bool:
        """Whether this is a process in a container that runs already."""
        return bool(self.process)

    def inherited_fds(self) -> list[int]:
        """Return the descriptors of the launcher that the shim keeps."""
        fds = (self.first_client_fd, self.report_fd, self.explain_fd)
        return [fd for fd in fds if fd is not None]
