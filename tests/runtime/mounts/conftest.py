"""Every test of mounts makes real ones, and must leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.bundle import busybox_rootfs
from support.hosts import host
from support.leftovers import leftovers

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["host", "leftovers"]


@pytest.fixture(autouse=True)
def _nothing_is_left(leftovers: None) -> None:
    """Have each test end in the look for leftovers."""


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """Give a fresh rootfs."""
    made = busybox_rootfs(tmp_path / "rootfs")
    (made / "mnt").mkdir()
    return made
