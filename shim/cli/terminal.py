"""The caller's terminal: raw while it is the container's, and given back as it was whatever happens.

In raw mode the terminal interprets nothing: Ctrl-C is the byte 3, which goes to the container's own
terminal, and it is that one which makes a signal of it. A terminal that a program leaves raw is
useless to the shell, so it is restored on every way out; only SIGKILL leaves no way.

Sources: termios(3) "Raw mode"; ioctl_tty(2) TIOCGWINSZ; signal(7) SIGTTOU, SIGTSTP.
"""

from __future__ import annotations

import os
import signal
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

from holdfast.protocol.errors import quoted

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6
_CONTROL_KEYS = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


class RawTerminal:
    """A terminal that is raw between `with` and its end.

    A descriptor that is no terminal is left alone, so that the caller need not make a difference.
    """

    def __init__(self, fd: int) -> None:
        """Take the descriptor; nothing is changed yet."""
        self.fd = fd
        self._saved: list[object] | None = None

    def __enter__(self) -> Self:
        self.make_raw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; see the class."""
        self.restore()

    def make_raw(self) -> None:
        """Make it raw, and remember how it was. What has been typed ahead stays. Source: termios(3)."""
        if not os.isatty(self.fd):
            return
        mode = termios.tcgetattr(self.fd)
        if self._saved is None:
            self._saved = [*mode[:_CC], list(mode[_CC])]
        mode[_IFLAG] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        mode[_OFLAG] &= ~termios.OPOST
        mode[_LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[_CFLAG] = mode[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[_CC][termios.VMIN], mode[_CC][termios.VTIME] = 1, 0
        termios.tcsetattr(self.fd, termios.TCSADRAIN, mode)

    def restore(self) -> None:
        """Make it as it was before `make_raw`."""
        if self._saved is None:
            return
        # A process in the background is stopped by SIGTTOU when it sets a terminal, unless that is blocked.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
        try:
            with suppress(termios.error):  # it may be gone: the window was closed
                termios.tcsetattr(self.fd, termios.TCSANOW, self._saved)  # type: ignore[arg-type]  # as tcgetattr gave it
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        self._saved = None

    def suspend(self) -> None:
        """Do what Ctrl-Z does to a program that respects it: give the terminal back, stop, take it again."""
        self.restore()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.make_raw()


def window_size(fd: int) -> tuple[int, int] | None:
    """Return rows and columns of a terminal; None if it is none, or has no size.

    Source: ioctl_tty(2) TIOCGWINSZ.
    """
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


class DetachKeys:
    """Finds the keys by which a person leaves a container without ending it.

    A key that may be the first of them is held back until the next one tells.
    """

    def __init__(self, keys: bytes) -> None:
        """Look for these keys; empty: for none."""
        self._keys = keys
        self._held = b""
        self.pressed = False

    def pass_on(self, typed: bytes) -> bytes:
        """Take what was typed; return what is for the container.

        `pressed` tells whether the keys were among it.
        """
        if not self._keys:
            return typed
        out = bytearray()
        for place in range(len(typed)):
            self._held += typed[place : place + 1]
            while not self._keys.startswith(self._held):
                out += self._held[:1]
                self._held = self._held[1:]
            if self._held == self._keys:
                self.pressed = True
                self._held = b""
                break
        return bytes(out)

    def rest(self) -> bytes:
        """Return what is held back, at the end of the input."""
        held, self._held = self._held, b""
        return held


def parse_detach_keys(text: str) -> bytes:
    """Read keys, as in `ctrl-p,ctrl-q`: single characters and ctrl-KEY, with commas; empty for none.

    Raises ValueError.
    """
    return b"".join(_key(name) for name in text.split(",")) if text else b""


def _key(name: str) -> bytes:
    if len(name) == 1 and name.isascii():
        return name.encode()
    prefix, key = name[:-1].lower(), name[-1:].lower()
    if prefix == "ctrl-" and key and key in _CONTROL_KEYS:
        return bytes([ord(key.upper()) & 0x1F])
    raise ValueError(
        f"{quoted(name)} is not a key; allowed: a character, ctrl-a to ctrl-z, ctrl-@ [ \\ ] ^ _"
    )
