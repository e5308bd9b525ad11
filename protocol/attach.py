"""Frames on the attach socket, a SOCK_SEQPACKET socket: one packet is one frame.

From the shim: one byte that names the stream, then what was written to it. To the shim: what is to be
written to the container's stdin, as it is. A client's shutdown(SHUT_WR) says that nothing more comes from
it.

Source: conmon's attach protocol, as Podman's and CRI-O's clients speak it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT = 2
STDERR = 3
STREAMS = {"stdout": STDOUT, "stderr": STDERR}

CONTENT_MAX = 8192
"""Bytes of a stream in one packet: clients read into buffers of 8193."""
PACKET_MAX = CONTENT_MAX + 1
INPUT_MAX = 32768
"""Bytes in one packet from a client."""


def packets(stream: int, chunk: bytes) -> Iterator[bytes]:
    """Cut a chunk of a stream into packets."""
    head = bytes((stream,))
    for start in range(0, len(chunk), CONTENT_MAX):
        yield head + chunk[start : start + CONTENT_MAX]


def parse(packet: bytes) -> tuple[int, bytes]:
    """Take a packet from the shim apart: stream, content. Raises ValueError for one that is none."""
    if not packet or packet[0] not in (STDOUT, STDERR):
        raise ValueError("no frame of an attach socket")
    return packet[0], packet[1:]
