"""What a shim is asked, and what it tells: JSON objects, one a line.

On the control socket a client sends requests and gets one reply to each; the reply to `wait` comes when the
process has ended. On the report socket, which whoever launched the shim holds, the shim tells by itself what
happens.

Lines come from whoever may connect (the same user), so they are bounded and typed; anything else is refused.
"""

from __future__ import annotations

import msgspec

LINE_MAX = 65536
"""Bytes of a line, with its newline."""

_SIZE_MAX = 65535


class Wait(msgspec.Struct, tag_field="do", tag="wait"):
    """Reply when the process has ended, or has failed to begin: Exited or Failed."""


class Status(msgspec.Struct, tag_field="do", tag="status"):
    """Reply what is known now."""


class Resize(msgspec.Struct, tag_field="do", tag="resize"):
    """Give the terminal a size, in characters."""

    height: int
    width: int

    def __post_init__(self) -> None:
        """Refuse what the kernel's 16 bits can't hold."""
        if not (0 <= self.height <= _SIZE_MAX and 0 <= self.width <= _SIZE_MAX):
            raise ValueError(f"a size is from 0 to {_SIZE_MAX}")


class ReopenLogs(msgspec.Struct, tag_field="do", tag="reopen-logs"):
    """Open the log files anew, after somebody has renamed them."""


Request = Wait | Status | Resize | ReopenLogs


class Started(msgspec.Struct, tag_field="event", tag="started"):
    """The process runs its program."""

    pid: int


class Failed(msgspec.Struct, tag_field="event", tag="failed"):
    """The process could not be made to run its program; nothing is left of it."""

    error: str
    exit_code: int


class Exited(msgspec.Struct, tag_field="event", tag="exited", kw_only=True):
    """The process has ended, and all its output is in the log. Also the content of exit.json."""

    pid: int
    exit_code: int
    signal: int | None = None
    oom: bool = False
    """Whether the kernel killed something in the container for lack of memory."""
    started_at: str = ""
    finished_at: str = ""
    """RFC 3339 with nanoseconds, as is started_at."""


class Refused(msgspec.Struct, tag_field="event", tag="refused"):
    """A request that could not be understood or carried out."""

    error: str


class Done(msgspec.Struct, tag_field="event", tag="done"):
    """A request has been carried out."""


Event = Started | Failed | Exited | Refused | Done

_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode(message: Request | Event) -> bytes:
    """Return a message as a line."""
    return msgspec.json.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Read a request. Raises ValueError with a sentence for what is none."""
    try:
        return _requests.decode(line)
    except msgspec.MsgspecError as error:
        raise ValueError(f"control request: {error}") from None


def decode_event(line: bytes) -> Event:
    """Read what a shim tells. Raises ValueError for what it would not tell."""
    try:
        return _events.decode(line)
    except msgspec.MsgspecError as error:
        raise ValueError(f"message of a shim: {error}") from None
