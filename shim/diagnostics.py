"""The shim's own diagnostics: what it did and what went wrong, never what the container wrote.

Events are a noun and what happened to it (`init.exited`), with facts as keys. They go to a file, one JSON
object a line; structlog is imported at the first one, since a shim that has nothing to say should not pay
for it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import structlog

LOG_FILE = b"shim.log"


class Diagnostics:
    """Tells events of one shim."""

    def __init__(self, directory: bytes | None, container_id: str) -> None:
        """Write into shim.log of a directory; None: nowhere."""
        self._directory = directory
        self._id = container_id
        self._logger: structlog.BoundLogger | None = None

    def info(self, event: str, **facts: object) -> None:
        """Tell a change of state."""
        self._tell("info", event, facts)

    def warning(self, event: str, **facts: object) -> None:
        """Tell that we went on with less."""
        self._tell("warning", event, facts)

    def error(self, event: str, **facts: object) -> None:
        """Tell that a person must act."""
        self._tell("error", event, facts)

    def _tell(self, level: str, event: str, facts: dict[str, object]) -> None:
        if self._directory is None:
            return
        try:
            getattr(self._open(), level)(event, **facts)
        except OSError:  # a full disk must not end the shim
            return

    def _open(self) -> structlog.BoundLogger:
        if self._logger is None:
            import structlog  # noqa: PLC0415  # see above

            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open((self._directory or b"") + b"/" + LOG_FILE, flags, 0o600)
            self._logger = structlog.wrap_logger(
                structlog.WriteLogger(os.fdopen(fd, "w")),
                processors=[
                    structlog.processors.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                    structlog.processors.format_exc_info,
                    structlog.processors.JSONRenderer(),
                ],
                wrapper_class=structlog.BoundLogger,
            ).bind(id=self._id, pid=os.getpid())
        return self._logger
