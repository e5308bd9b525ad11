"""What every command of `holdfast-runtime` needs: where containers are kept, and how to tell something."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from holdfast.protocol.errors import CommandNotExecutable, CommandNotFound, HoldfastError, quoted
from holdfast.runtime.explain import Explain
from holdfast.runtime.sys.call import CallFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = "holdfast-runtime"

_STDERR = 2


class Context(NamedTuple):
    """What the global options say."""

    root: bytes
    """The folder of all state directories, absolute."""
    tell: Callable[[str], None]
    """Tells a person something that does not keep the command from going on."""


def absolute(path: str) -> bytes:
    """Return the path from the root, since the current directory means nothing later."""
    return os.path.abspath(os.fsencode(path))


def optional_path(path: str) -> bytes | None:
    """Return the path from the root; None for none."""
    return absolute(path) if path else None


def explain_if(wanted: bool) -> Explain | None:  # noqa: FBT001  # the value of a switch
    """Return what tells the steps on stderr, if that is wanted."""
    return Explain(_STDERR) if wanted else None


@contextmanager
def console(path: str) -> Iterator[int | None]:
    """Connect to a console socket, and give the connection's descriptor; None where there is none.

    Raises HoldfastError.
    """
    if not path:
        yield None
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise HoldfastError(f"--console-socket {quoted(path)}: {reason}") from None
        yield connection.fileno()


@contextmanager
def in_front(prefix: str) -> Iterator[None]:
    """Put the words that people know in front of what the kernel, or the look for the program, says."""
    try:
        yield
    except (CallFailed, CommandNotFound, CommandNotExecutable) as error:
        raise HoldfastError(prefix + str(error)) from None
