"""The flags of seccomp(2), and which of them this kernel knows.

The kernel looks at the flags before it looks at the program: with a null pointer for a program, a flag it
knows gives EFAULT, one it does not know EINVAL, and nothing is loaded either way.

Source: seccomp(2), SECCOMP_SET_MODE_FILTER.
"""

from __future__ import annotations

import errno

from holdfast.protocol.oci.names import SECCOMP_FLAGS
from holdfast.runtime.sys.call import ACCEPT_ANY, Call
from holdfast.runtime.sys.executor import here
from holdfast.runtime.sys.numbers import NUMBERS

TSYNC = SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_TSYNC"]
SPEC_ALLOW = SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
WAIT_KILLABLE_RECV = SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
NEW_LISTENER = 0x08
TSYNC_ESRCH = 0x10
"""These two are not for a config to ask for."""

_SET_MODE_FILTER = 1


def supported_flags() -> tuple[str, ...]:
    """Return the flags that a config may ask for and the kernel knows. Needs no rights, changes nothing."""
    return tuple(name for name, flag in SECCOMP_FLAGS.items() if is_supported(flag))


def is_supported(flag: int) -> bool:
    """Tell whether the kernel knows a flag; not, if an outer filter refuses seccomp(2)."""
    # This one is an error without a listener.
    needs = NEW_LISTENER if flag == WAIT_KILLABLE_RECV else 0
    call = Call(NUMBERS["seccomp"], "seccomp", (_SET_MODE_FILTER, flag | needs, 0), accept=ACCEPT_ANY)
    return here.do(call) == -errno.EFAULT
