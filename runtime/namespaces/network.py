"""The network namespace: a new one has a loopback interface that is down.

Source: netdevice(7).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from holdfast.runtime.sys import files, sockets

if TYPE_CHECKING:
    from holdfast.runtime.sys.call import Executor

_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x1 | 0x40


def loopback_up(x: Executor) -> None:
    """Bring the interface `lo` up; the kernel gives it its addresses by itself."""
    x.subject = 'bring the network interface "lo" up'
    sock = x.do(sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM))
    x.do(files.ioctl(sock, _SIOCSIFFLAGS, struct.pack("=16sH22x", b"lo", _IFF_UP_RUNNING)))
    x.do(files.close(sock))
    x.subject = ""
