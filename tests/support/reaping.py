"""Reaping what has become the test's own child: it is a subreaper, so orphans of containers fall to it."""

from __future__ import annotations

import os
import time

_DEADLINE_S = 60
_PAUSE_S = 0.005


def reap_all() -> None:
    """Wait until there is no child left, and reap each; fail if one stays."""
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            assert time.monotonic() < deadline, "a child of the test does not end"
            time.sleep(_PAUSE_S)
