"""Attacks on real containers, or on as much of one as the attack needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.bundle import busybox_rootfs
from support.containers import containers
from support.holdfast import hf
from support.hosts import host
from support.leftovers import leftovers

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["containers", "hf", "host", "leftovers"]


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """Give a fresh rootfs."""
    made = busybox_rootfs(tmp_path / "rootfs")
    (made / "mnt").mkdir()
    return made


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Give a directory of the host that nothing must happen to, with a file in it."""
    made = tmp_path / "outside"
    made.mkdir()
    (made / "ptmx").write_text("canary")
    return made
