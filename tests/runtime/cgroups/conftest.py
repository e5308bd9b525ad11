"""Every test of cgroups has a name of its own for those that it makes, and must leave none behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.cgroups import HOST, directories, new_name

from holdfast.runtime.cgroups.detect import UNIFIED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

collect_ignore = [] if HOST.mode == UNIFIED else ["test_unified.py"]
"""Left out, not skipped, where the controllers are on v1 and nothing can bring them to v2."""


@pytest.fixture
def name() -> Iterator[str]:
    """Give a name for a cgroup at the top of each hierarchy, and look whether one is left."""
    made = new_name()
    before = os.listdir("/proc/self/fd")
    yield made
    left = directories(made)
    for top in left:
        _remove(top)
    assert [] == left
    assert before == os.listdir("/proc/self/fd")


def _remove(top: Path) -> None:
    for path, _, _ in os.walk(top, topdown=False):
        os.rmdir(path)
