"""A fixture that fails a test which has left something behind: processes, files, mounts, cgroups, sockets.

Processes count that are children of the test in the end: it is made the subreaper, so a container's orphans
fall to it. Mounts, cgroups and sockets are the whole machine's. Other work on it may come and go, so what is
too much gets some time to vanish.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.runtime.procfs import Procfs
from holdfast.runtime.sys import process
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_S = 5.0
_CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def leftovers() -> Iterator[None]:
    """Compare what there is before and after the test."""
    here.do(process.prctl(PR_SET_CHILD_SUBREAPER, 1))
    Procfs.shared()  # opened at the first use, and kept
    before = look()
    yield
    deadline = time.monotonic() + _PATIENCE_S
    while left := look() - before:
        if time.monotonic() > deadline:
            pytest.fail("left behind: " + ", ".join(sorted(left)))
        time.sleep(0.05)


def look() -> set[str]:
    """Return a line for each thing that a container could leave."""
    return {*_children(), *_descriptors(), *_mounts(), *_cgroups(), *_sockets()}


def _children() -> Iterator[str]:
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread may end meanwhile
            yield from (f"process {pid}" for pid in (task / "children").read_text().split())


def _descriptors() -> Iterator[str]:
    for name in os.listdir("/proc/self/fd"):
        try:
            yield f"descriptor {name}: {os.readlink(f'/proc/self/fd/{name}')}"
        except FileNotFoundError:  # the one that listed the directory
            continue


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_bytes().split(b"\n"):
        yield "mount " + os.fsdecode(line)


def _cgroups() -> Iterator[str]:
    for directory, _, _ in os.walk(_CGROUPS):
        yield f"cgroup {directory}"


def _sockets() -> Iterator[str]:
    for line in Path("/proc/net/unix").read_bytes().split(b"\n")[1:]:
        path = line.split(b" ")[-1]
        if path.startswith((b"/", b"@")):
            yield "socket " + os.fsdecode(path)
