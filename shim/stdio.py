"""The streams between a program and its shim: pipes, or a terminal.

Of a pipe the shim holds the end that the program does not have. A terminal is made by the runtime, in the
container; our end of it (ptm) arrives over a socket once it exists.

A pipe holds 64 KiB unless told otherwise; a larger one lets a program write on while the shim is busy,
and lets the shim read more at a time. The pages are only taken when they are filled. A user whose pipes
hold much already gets smaller ones (pipe-user-pages-soft); they do as well.

A program opens /dev/stdout by name as whoever it is by then, and a pipe has a mode like any file. So
everybody may: nobody has a name for it but those whose descriptor it is.

Sources: pipe(7); fcntl(2) F_SETPIPE_SZ; pty(7); unix(7) SCM_RIGHTS.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from contextlib import suppress

PIPE_BYTES = 1 << 20
_PIPE_MODE = 0o666
_FD = struct.Struct("=i")


class Streams:
    """Both sides of a program's stdio, until each process has closed what is the other's."""

    def __init__(self) -> None:
        """Begin without any."""
        self.stdin_fd: int | None = None
        """Our end: what is written here the program reads."""
        self.stdout_fd: int | None = None
        self.stderr_fd: int | None = None
        self.console: socket.socket | None = None
        """Where our end of the terminal will arrive."""
        self.programs: list[int] = []
        """The program's ends: its 0, 1 and 2."""
        self.programs_console: socket.socket | None = None

    def keep_ours(self) -> None:
        """Close the program's side: in the shim, once the runtime has been forked."""
        for fd in set(self.programs):
            os.close(fd)
        self.programs = []
        if self.programs_console is not None:
            self.programs_console.close()
            self.programs_console = None

    def keep_programs(self) -> None:
        """Close our side: in the runtime."""
        for fd in (self.stdin_fd, self.stdout_fd, self.stderr_fd):
            if fd is not None:
                os.close(fd)
        if self.console is not None:
            self.console.close()


def open_streams(*, terminal: bool, stdin: bool) -> Streams:
    """Make the pipes, or the socket that a terminal will arrive on. Raises OSError."""
    streams = Streams()
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    if terminal:
        streams.console, streams.programs_console = socket.socketpair()
        streams.programs = [null_fd] * 3
        return streams
    programs_stdin = null_fd
    if stdin:
        programs_stdin, streams.stdin_fd = _pipe()
        os.set_blocking(streams.stdin_fd, False)
    streams.stdout_fd, programs_stdout = _pipe()
    streams.stderr_fd, programs_stderr = _pipe()
    for fd in (streams.stdout_fd, streams.stderr_fd):
        os.set_blocking(fd, False)
    if stdin:
        os.close(null_fd)
    streams.programs = [programs_stdin, programs_stdout, programs_stderr]
    return streams


def _pipe() -> tuple[int, int]:
    """Make a pipe, large if this user may have a large one."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.fchmod(writing, _PIPE_MODE)
    with suppress(PermissionError):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reading, writing


def receive_terminal(console: socket.socket) -> int:
    """Receive our end of the terminal, not blocking.

    Raises OSError if none comes, or what comes is no terminal.
    """
    # Not by socket.recv_fds, which forgets its flags: what it receives stays open over an exec.
    _, messages, flags, _ = console.recvmsg(1, socket.CMSG_SPACE(_FD.size), socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = [fd for *_, content in messages for (fd,) in _FD.iter_unpack(content)]
    if len(fds) != 1 or flags & socket.MSG_CTRUNC or not os.isatty(fds[0]):
        for fd in fds:
            os.close(fd)
        raise OSError("the runtime sent no terminal")
    os.set_blocking(fds[0], False)
    return fds[0]


def resize(ptm_fd: int, height: int, width: int) -> None:
    """Give a terminal a size in characters; the foreground process gets SIGWINCH. Source: ioctl_tty(2)."""
    fcntl.ioctl(ptm_fd, termios.TIOCSWINSZ, struct.pack("=4H", height, width, 0, 0))
