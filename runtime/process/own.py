"""What this process itself may do.

Source: capget(2).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from holdfast.runtime.sys import process
from holdfast.runtime.sys.call import Out

if TYPE_CHECKING:
    from holdfast.runtime.sys.executor import Here


def held_capabilities(x: Here) -> int:
    """Return the permitted set of this process as a mask of bits."""
    sets = Out(24)
    x.do(process.capget(sets))
    _, low, _, _, high, _ = struct.unpack("=6I", sets.data)
    return int(low | high << 32)
