"""The shim's own diagnostics: what went wrong, never what the container wrote.

Events are a noun and what happened to it (`log.stuck`), with facts as keys. They go to a file, one JSON
object a line. structlog is imported at the first one, and there is none while all goes well: a shim that
has nothing to say should not pay for it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import structlog

LOG_FILE = b"shim.log"
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_MODE = 0o600


class Diagnostics:
    """Tells events of one shim."""

    def __init__(self, directory: bytes | None, container_id: str) -> None:
        """Write into shim.log of a directory; None: nowhere."""
        self._directory = directory
        self._id = container_id
        self._logger: structlog.BoundLogger | None = None

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
            if self._logger is None:
                self._logger = self._open(self._directory + b"/" + LOG_FILE)
            getattr(self._logger, level)(event, **facts)
        except Exception:  # noqa: BLE001, S110  # whatever keeps us from telling must not end the shim
            pass

    def _open(self, path: bytes) -> structlog.BoundLogger:
        import structlog  # noqa: PLC0415  # see above

        logger: structlog.BoundLogger = structlog.wrap_logger(
            _File(path),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.BoundLogger,
        ).bind(id=self._id, pid=os.getpid())
        return logger


class _File:
    """Where the lines end up; opened for each, since there are few."""

    def __init__(self, path: bytes) -> None:
        self._path = path

    def warning(self, line: str) -> None:
        self._append(line)

    def error(self, line: str) -> None:
        self._append(line)

    def _append(self, line: str) -> None:
        fd = os.open(self._path, _FLAGS, _MODE)
        try:
            os.write(fd, line.encode() + b"\n")
        finally:
            os.close(fd)
