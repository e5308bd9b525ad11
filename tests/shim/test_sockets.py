"""The sockets in a run directory, also where its path is too long for an address."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from holdfast.shim import sockets

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("length", [10, 200])
def test_both_are_reached_whatever_the_length_of_the_path(tmp_path: Path, length: int) -> None:
    run_dir = os.fsencode(tmp_path / ("d" * length))
    os.mkdir(run_dir, 0o700)
    listeners = sockets.listen(run_dir)
    for listener, name in ((listeners.attach, sockets.ATTACH), (listeners.control, sockets.CONTROL)):
        with sockets.connect(run_dir, name) as client:
            served, _ = listener.accept()
            client.send(b"hello")
            assert b"hello" == served.recv(10)
            served.close()
        listener.close()
    sockets.remove(run_dir)
    assert not os.path.exists(run_dir)


def test_only_we_may_connect(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        listeners = sockets.listen(os.fsencode(tmp_path))
    finally:
        assert 0 == os.umask(umask)
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    for listener in listeners:
        listener.close()


def test_sockets_of_a_shim_that_was_killed_are_replaced(tmp_path: Path) -> None:
    for listener in sockets.listen(os.fsencode(tmp_path)):
        listener.close()
    with pytest.raises(ConnectionRefusedError):
        sockets.connect(os.fsencode(tmp_path), sockets.ATTACH)
    listeners = sockets.listen(os.fsencode(tmp_path))
    sockets.connect(os.fsencode(tmp_path), sockets.ATTACH).close()
    for listener in listeners:
        listener.close()


def test_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="Not a directory"):
        sockets.listen(os.fsencode(tmp_path / "link"))
    with pytest.raises(OSError, match="Not a directory"):
        sockets.connect(os.fsencode(tmp_path / "link"), sockets.ATTACH)


def test_removing_what_is_gone_is_fine(tmp_path: Path) -> None:
    sockets.remove(os.fsencode(tmp_path / "gone"))
    (tmp_path / "half").mkdir()
    sockets.remove(os.fsencode(tmp_path / "half"))
    assert not (tmp_path / "half").exists()
