"""A process that calls a function with streams of the test's choice, as a shell would start it."""

from __future__ import annotations

import os
import signal
import termios
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_S = 30


class Caller:
    """A child that runs `function` and exits with what it returns; its streams are pipes, or a terminal."""

    def __init__(self, function: Callable[[], int], *, terminal: bool = False) -> None:
        self.terminal = terminal
        if terminal:
            self.ptm, self._pts = os.openpty()
            self.mode = termios.tcgetattr(self.ptm)
            theirs = (self._pts,) * 3
        else:
            reading, self.stdin = os.pipe()
            self.stdout, writing = os.pipe()
            self.stderr, writing_err = os.pipe()
            theirs = (reading, writing, writing_err)
        self.pid = os.fork()
        if self.pid == 0:
            self._become(function, theirs)
        if not terminal:
            for fd in theirs:
                os.close(fd)
        self.code: int | None = None

    def _become(self, function: Callable[[], int], theirs: tuple[int, ...]) -> None:
        code = 99
        try:
            os.setsid()
            if self.terminal:
                os.close(os.open(os.ttyname(theirs[0]), os.O_RDWR))  # makes it the controlling one
            for fd, source in enumerate(theirs):
                os.dup2(source, fd)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            for fd in (self.ptm,) if self.terminal else (self.stdin, self.stdout, self.stderr):
                os.close(fd)
            code = function()
        finally:
            os._exit(code)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Return the exit code, or minus the signal."""
        deadline = time.monotonic() + DEADLINE_S
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                raise TimeoutError("the caller does not end")
            else:
                time.sleep(0.005)
        return self.code

    def close(self) -> None:
        if self.code is None:
            try:
                self.send(signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except ProcessLookupError:
                pass
        for name in ("ptm", "_pts", "stdin", "stdout", "stderr"):
            fd = self.__dict__.pop(name, None)
            if fd is not None:
                os.close(fd)

    def close_stdin(self) -> None:
        os.close(self.__dict__.pop("stdin"))

    def close_stdout(self) -> None:
        os.close(self.__dict__.pop("stdout"))


def read_until(fd: int, wanted: bytes) -> bytes:
    """Read until what was read ends with, or holds, what is wanted. Raises TimeoutError, EOFError."""
    found = b""
    deadline = time.monotonic() + DEADLINE_S
    os.set_blocking(fd, False)
    try:
        while wanted not in found:
            try:
                piece = os.read(fd, 65536)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"waited for {wanted!r}, got {found!r}") from None
                time.sleep(0.002)
                continue
            if not piece:
                raise EOFError(f"waited for {wanted!r}, got {found!r}")
            found += piece
    finally:
        os.set_blocking(fd, True)
    return found


def read_rest(fd: int) -> bytes:
    """Read to the end; of a terminal, until nobody has it open."""
    found = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            return found
        if not piece:
            return found
        found += piece
