"""What a shim needs of a runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Runtime(Protocol):
    """Makes a container (or a process in one) and takes it away.

    Blocking; called in a process without event loop.
    """

    def bring_up(self, stdio: Sequence[int], console_fd: int | None) -> int:
        """Make it and start it.

        Returns the pid of its process, which falls to the shim when the caller ends.

        stdio: three descriptors for its 0, 1 and 2. console_fd: a socket that our end of a terminal is sent
        on. Raises HoldfastError or OSError, each one sentence; nothing is left behind then.
        """

    def oom_kills(self) -> int:
        """Return how many of the container's processes the kernel has killed for lack of memory."""

    def clean_up(self) -> None:
        """Remove what was made of a container that has ended. Raises HoldfastError or OSError."""
