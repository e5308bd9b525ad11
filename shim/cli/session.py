"""A person (or a script) in front of a container: terminal, signals, keys around what foreground.py does.

With a terminal of ours that is raw, keys are bytes for the container, and a signal to us means us:
the terminal is given back, and we leave. Without, a signal is meant for the container's program and
is passed on (`--sig-proxy`), for from the outside it looks as if we were it.

A program that is pid 1 ignores every signal that it has no handler for, so Ctrl-C may do nothing at
all; pressed three times in a row it leaves the container alone and comes back to the shell.

Sources: signal(7); pid_namespaces(7) "The namespace init process"; Docker's documentation of `--sig-proxy`.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from holdfast.protocol.errors import HoldfastError
from holdfast.shim.cli.foreground import Foreground
from holdfast.shim.cli.terminal import DetachKeys, RawTerminal, parse_detach_keys, window_size
from holdfast.shim.cli.terms import tell

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object] | int | None

_PROXIED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
_TIMES, _WITHIN_S = 3, 2.0


class Ended(Exception):  # noqa: N818  # no error: somebody wants us to end
    """A signal has told us to end; its number is the argument."""


class Ways(NamedTuple):
    """What goes where, between us and the container."""

    stdin: bool
    """Whether our stdin is the container's."""
    terminal: bool
    """Whether the container has a terminal."""
    detach_keys: str
    signals: Callable[[int], None] | None
    """Sends a signal to the container; None: signals are for us."""
    resize: Callable[[int, int], None]
    """Gives the container's terminal a size in rows and columns."""

    @property
    def is_raw(self) -> bool:
        """Whether our terminal becomes the container's."""
        return self.stdin and self.terminal and os.isatty(0)


def check_terminal(*, stdin: bool, terminal: bool) -> None:
    """Refuse to be in front of a terminal without having one. Raises HoldfastError."""
    if stdin and terminal and not os.isatty(0):
        raise HoldfastError("--tty: the input device is not a TTY; leave -t out, or -i")


class Session:
    """Our side of a container. Make it before the container, so that no signal is lost meanwhile."""

    def __init__(self, ways: Ways) -> None:
        """Prepare; nothing is changed before `taken`."""
        self._ways = ways
        self._early: list[int] = []
        self._started = False
        self._interrupts: list[float] = []
        self._foreground: Foreground | None = None
        self._size_changed = False
        self._wakeup_fd = -1
        self._terminal = RawTerminal(-1)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the terminal and the signals for as long as the context lasts."""
        before: dict[int, Handler] = {}
        reading_fd, writing_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            signal.set_wakeup_fd(writing_fd, warn_on_full_buffer=False)
            for number, handler in self._handlers():
                before[number] = signal.signal(number, handler)
            self._wakeup_fd = reading_fd
            yield
        finally:
            for number, earlier in before.items():
                signal.signal(number, earlier)
            signal.set_wakeup_fd(-1)
            os.close(reading_fd)
            os.close(writing_fd)

    def hold(
        self,
        client: socket.socket,
        news_fd: int,
        on_news: Callable[[bytes], bool],
        on_output_gone: Callable[[], None],
    ) -> bool:
        """Copy until the container ends, or the caller has left it. Returns False in the second case.

        Raises Ended, OSError, and what `on_news` raises.
        """
        foreground = Foreground(client, news_fd, on_news, on_output_gone)
        foreground.watch_signals(self._wakeup_fd, self._after_signal)
        self._foreground = foreground
        if self._ways.is_raw:
            self._terminal = RawTerminal(0)
        with self._terminal:
            if self._ways.stdin:
                keys = parse_detach_keys(self._ways.detach_keys) if self._ways.is_raw else b""
                foreground.take_input(0, DetachKeys(keys) if keys else None)
            foreground.run()
        return not foreground.detached

    def started(self) -> None:
        """Pass on what came before there was a container: signals, and the size of our terminal."""
        self._started = True
        if self._ways.terminal:
            self._resize()
        for number in self._early:
            self._pass_on(number)
        self._early.clear()

    def _handlers(self) -> Iterator[tuple[int, Callable[[int, FrameType | None], None]]]:
        if self._ways.is_raw:
            yield from ((number, self._end) for number in _ENDING)
            yield signal.SIGTSTP, self._suspend
        elif self._ways.signals is not None:
            yield from ((number, self._proxy) for number in _PROXIED)
        if self._ways.terminal:
            yield signal.SIGWINCH, self._note_size

    def _end(self, number: int, _frame: FrameType | None) -> None:
        raise Ended(number)

    def _suspend(self, _number: int, _frame: FrameType | None) -> None:
        self._terminal.suspend()
        self._size_changed = True

    def _note_size(self, _number: int, _frame: FrameType | None) -> None:
        self._size_changed = True

    def _after_signal(self) -> None:
        """Do what must not be done inside of a handler."""
        if self._size_changed and self._started:
            self._size_changed = False
            self._resize()

    def _resize(self) -> None:
        size = window_size(0) or window_size(1)
        if size is not None:
            self._ways.resize(*size)

    def _proxy(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._is_insisting() and self._foreground is not None:
            tell("left the container running; see holdfast ps")
            self._foreground.detach()
        elif self._started:
            self._pass_on(number)
        else:
            self._early.append(number)

    def _is_insisting(self) -> bool:
        now = time.monotonic()
        self._interrupts = [at for at in self._interrupts if now - at < _WITHIN_S] + [now]
        return len(self._interrupts) >= _TIMES

    def _pass_on(self, number: int) -> None:
        if self._ways.signals is not None:
            self._ways.signals(number)
