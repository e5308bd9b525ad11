"""Somebody who swaps what is at two paths, all the time, as a process of a neighbouring container could."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.runtime.sys import files
from holdfast.runtime.sys.executor import here
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RENAME_EXCHANGE = 2


def swap(one: Path, other: Path) -> None:
    """Exchange what is at two paths, in one moment."""
    call = files.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    here.do(call)


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Have a process swap them for as long as the block runs."""
    pid = os.fork()
    if not pid:
        try:
            while True:
                swap(one, other)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
