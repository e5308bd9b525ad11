"""How a process ended: the kernel's wait status, and the exit code that shells and managers make of it.

Sources: wait(2); sh(1), "exit status" of commands ended by a signal.
"""

from __future__ import annotations

import os
from typing import NamedTuple

FAILED = 125
"""Holdfast itself failed; the program never ran."""
NOT_EXECUTABLE = 126
NOT_FOUND = 127
_SIGNALLED = 128


class Ending(NamedTuple):
    """How a process ended."""

    exit_code: int
    """0 to 255; 128 + n for one that was ended by signal n."""
    signal: int | None


def ending(wait_status: int) -> Ending:
    """Read a wait status, as waitpid gives it.

    Raises ValueError for one of a process that has only stopped.
    """
    code = os.waitstatus_to_exitcode(wait_status)
    return Ending(code, None) if code >= 0 else Ending(_SIGNALLED - code, -code)
