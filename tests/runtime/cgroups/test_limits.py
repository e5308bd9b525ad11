"""Values on their way to files: alternatives, what may be missing, what is checked against each other."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from support.cgroups import directory, made

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.cgroups import limits
from holdfast.runtime.cgroups.limits import Limits, Write
from holdfast.runtime.sys.call import CallFailed
from holdfast.runtime.sys.executor import Here, here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    """Give an open directory with some files, which take anything."""
    for file in ("first", "second", "used"):
        (tmp_path / file).touch()
    fd = os.open(tmp_path, os.O_RDONLY | os.O_CLOEXEC)
    yield fd
    os.close(fd)


def apply(top: int, *writes: Write) -> None:
    out = Limits()
    out.together(*writes)
    limits.apply(here, top, out.groups)


def test_value_is_written_to_its_file(top: int, tmp_path: Path) -> None:
    apply(top, Write("f", "first", "1 2"))
    assert b"1 2" == (tmp_path / "first").read_bytes()


def test_missing_file_has_its_value_written_to_the_one_that_stands_for_it(top: int, tmp_path: Path) -> None:
    apply(top, Write("f", "missing", "1", instead=("second", "2")))
    assert (b"", b"2") == ((tmp_path / "first").read_bytes(), (tmp_path / "second").read_bytes())


def test_missing_file_is_told_in_words_that_do_not_sound_like_a_missing_command(top: int) -> None:
    """Podman takes "no such file or directory" for a command that is not in the container: exit code 127."""
    with pytest.raises(
        HoldfastError, match=r'^linux\.x: the kernel does not support this: .* no "missing"$'
    ):
        apply(top, Write("linux.x", "missing", "1"))


def test_missing_file_is_fine_where_nothing_is_lost(top: int) -> None:
    apply(top, Write("f", "missing", "max", is_optional=True))


@pytest.mark.parametrize(("used", "fits"), [("999\n", True), ("1000\n", False), ("1001\n", False)])
def test_value_has_to_be_above_what_is_used_where_that_is_asked(
    top: int, tmp_path: Path, used: str, fits: bool
) -> None:
    (tmp_path / "used").write_text(used)
    write = Write("f", "first", "1000", above="used")
    if fits:
        apply(top, write)
    else:
        with pytest.raises(HoldfastError, match="f: 1000 is not above what is in use; needed: more than"):
            apply(top, write)
    assert fits == bool((tmp_path / "first").read_bytes())


def test_no_limit_is_above_everything(top: int, tmp_path: Path) -> None:
    (tmp_path / "used").write_text("5\n")
    apply(top, Write("f", "first", "max", above="used"))


def test_failure_names_the_field_the_value_and_the_file(name: str) -> None:
    with made("/" + name) as cgroup:
        place = cgroup.holder("pids")
        assert place is not None
        top = os.open(directory(place), os.O_RDONLY | os.O_CLOEXEC)
        try:
            with pytest.raises(CallFailed, match=r'^f: write "x" to "pids\.max": Invalid argument$'):
                apply(top, Write("f", "pids.max", "x"))
        finally:
            os.close(top)


class Picky(Here):
    """A kernel that refuses a value for the first file until the second one holds its own."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def _enter(self, number: int, words: list[int]) -> int:
        if "first" in self.subject and not (self.path / "second").read_bytes():
            return -errno.EINVAL
        return super()._enter(number, words)


def test_value_that_is_refused_at_first_is_written_after_the_other_one(top: int, tmp_path: Path) -> None:
    limits.apply(Picky(tmp_path), top, [(Write("f", "first", "1"), Write("g", "second", "2"))])
    assert (b"1", b"2") == ((tmp_path / "first").read_bytes(), (tmp_path / "second").read_bytes())


def test_value_that_stays_refused_is_told(top: int, tmp_path: Path) -> None:
    with pytest.raises(CallFailed, match='f: write "1" to "first": Invalid argument'):
        limits.apply(Picky(tmp_path), top, [(Write("f", "first", "1"), Write("g", "used", "2"))])
