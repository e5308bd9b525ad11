from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.shim.store.places import Places, open_private, places_below

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.root


def test_directories_are_made_for_us_alone(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "new")
    os.close(open_private(path))
    assert 0o700 == stat.S_IMODE(os.stat(path).st_mode)
    os.close(open_private(path))


def test_places_below_a_root_are_below_it(tmp_path: Path) -> None:
    places = places_below(os.fsencode(tmp_path / "r"))
    assert os.fsencode(tmp_path / "r/lib/containers/ab") == places.record_dir("ab")
    assert os.fsencode(tmp_path / "r/run/containers/ab") == places.run_dir("ab")
    assert b"/run/holdfast/runtime" == Places().runtime


def plant_link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir(mode=0o700)
    path.symlink_to("elsewhere")


def plant_file(path: Path) -> None:
    path.touch()


def plant_open_directory(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def plant_sticky_directory(path: Path) -> None:
    path.mkdir()
    path.chmod(0o1777)


def plant_foreign_directory(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, 1000, 1000)


@pytest.mark.parametrize(
    ("plant", "sentence"),
    [
        (plant_link, "is a link or a file; allowed: a directory"),
        (plant_file, "is a link or a file; allowed: a directory"),
        (plant_open_directory, "has mode 0777; allowed: 0700"),
        (plant_sticky_directory, "has mode 1777; allowed: 0700"),
        (plant_foreign_directory, "belongs to uid 1000; allowed: 0"),
    ],
)
def test_a_directory_that_somebody_else_has_prepared_is_refused(
    tmp_path: Path, plant: Callable[[Path], None], sentence: str
) -> None:
    plant(tmp_path / "d")
    with pytest.raises(HoldfastError, match=sentence):
        open_private(os.fsencode(tmp_path / "d"))


def test_a_directory_that_cannot_be_made_is_told_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r'make directory "/.*/no/such": No such file or directory'):
        open_private(os.fsencode(tmp_path / "no/such"))
