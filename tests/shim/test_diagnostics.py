"""What a shim tells about itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from support.disks import small_disk

from holdfast.shim.diagnostics import Diagnostics

if TYPE_CHECKING:
    from pathlib import Path

    from support.disks import SmallDisk

__all__ = ["small_disk"]


def test_events_are_lines_of_json_with_their_facts(tmp_path: Path) -> None:
    diagnostics = Diagnostics(os.fsencode(tmp_path), "abc")
    diagnostics.warning("log.stuck", reason="a\nb\x1b[31m")
    diagnostics.error("shim.failed", exc_info=KeyError("oh"))
    first, second = map(json.loads, (tmp_path / "shim.log").read_text().splitlines())
    assert ("log.stuck", "warning", "a\nb\x1b[31m") == (first["event"], first["level"], first["reason"])
    assert ("abc", os.getpid()) == (first["id"], first["pid"])
    assert ("shim.failed", "error") == (second["event"], second["level"])
    assert "KeyError: 'oh'" in second["exception"]
    assert b"\x1b" not in (tmp_path / "shim.log").read_bytes()
    assert 0o600 == (tmp_path / "shim.log").stat().st_mode & 0o777


def test_nothing_is_told_where_there_is_no_place_for_it(tmp_path: Path) -> None:
    Diagnostics(None, "abc").error("shim.failed")
    Diagnostics(os.fsencode(tmp_path / "nowhere"), "abc").error("shim.failed")
    (tmp_path / "shim.log").symlink_to(tmp_path / "target")
    Diagnostics(os.fsencode(tmp_path), "abc").error("shim.failed")
    assert not (tmp_path / "target").exists()


def test_full_disk_is_no_reason_to_fail(small_disk: SmallDisk) -> None:
    diagnostics = Diagnostics(os.fsencode(small_disk.path), "abc")
    diagnostics.warning("first")
    small_disk.fill()
    for _ in range(3000):
        diagnostics.warning("second", text="x" * 100)


def test_structlog_is_imported_at_the_first_event(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from holdfast.shim.diagnostics import Diagnostics\n"
        f"diagnostics = Diagnostics({os.fsencode(tmp_path)!r}, 'abc')\n"
        "print('structlog' in sys.modules)\n"
        "diagnostics.warning('something.happened')\n"
        "print('structlog' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)
    assert b"False\nTrue\n" == done.stdout
