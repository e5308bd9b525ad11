"""The container's terminal.

A new pty of the container's own devpts, its far end handed out to whoever supervises.

The pty is made inside, so that its name means the same to the container's programs as to us, and the
container's end (pts) is taken from our end (ptm) by TIOCGPTPEER, not by its path, which the image or a
neighbour could have replaced (CVE-2025-52565).

Sources: pty(7), ioctl_tty(2), console_ioctl(4); runtime-spec, config.md "terminal", "consoleSize".
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.sys import files

if TYPE_CHECKING:
    from holdfast.runtime.paths import Rootfs
    from holdfast.runtime.puppet.puppet import Puppet
    from holdfast.runtime.sys.call import Executor, Value

_O_RDWR_NOCTTY = 0o2 | 0o400
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441
_TIOCSWINSZ = 0x5414
_TIOCSCTTY = 0x540E
_PTMX_DEVICE = (5, 2)


def open_pty(x: Puppet, rootfs: Rootfs, size: tuple[int, int]) -> tuple[int, Value]:
    """Make a pty from the container's /dev/pts/ptmx, of `size` (rows, columns).

    Returns our end here, which is the caller's to close, and the container's end there.
    Raises HoldfastError if what is at that path is not a devpts.
    """
    x.subject = "process.terminal: open a pty"
    path = rootfs.open(b"dev/pts/ptmx", _O_RDWR_NOCTTY)
    stat = files.new_stat()
    x.do(files.statx(path, b"", stat))
    x.flush()
    if files.Stat.of(stat).rdev != _PTMX_DEVICE:
        raise HoldfastError('process.terminal: "/dev/pts/ptmx" in the container is not a pty multiplexer')
    x.do(files.ioctl(path, _TIOCSPTLCK, struct.pack("=i", 0)))
    pts = x.do(files.ioctl(path, _TIOCGPTPEER, _O_RDWR_NOCTTY))
    rows, columns = size
    x.do(files.ioctl(pts, _TIOCSWINSZ, struct.pack("=4H", rows, columns, 0, 0)))
    ptm_fd = x.fetch(path)
    x.do(files.close(path))
    x.subject = ""
    return ptm_fd, pts


def make_controlling(x: Executor, pts: Value) -> None:
    """Make the pty stdin, stdout, stderr and the controlling terminal.

    The process leads a session already.
    """
    for fd in range(3):
        x.do(files.dup3(pts, fd))
    x.do(files.close(pts))
    x.do(files.ioctl(0, _TIOCSCTTY, 0))


def hand_over(console_fd: int, ptm_fd: int) -> None:
    """Send our end of the pty over the console socket, with one byte of data.

    Source: unix(7), SCM_RIGHTS.
    """
    with socket.socket(fileno=os.dup(console_fd)) as console:
        socket.send_fds(console, [b"\0"], [ptm_fd])
