"""The cache of programs: it gives back what was made for this very profile, or nothing."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci.config import Seccomp, Syscall
from holdfast.runtime.seccomp import cache as caches
from holdfast.runtime.seccomp import libseccomp, profile
from holdfast.runtime.seccomp.cache import Cache
from holdfast.runtime.seccomp.check import check
from holdfast.runtime.seccomp.default import default_seccomp
from holdfast.runtime.seccomp.profile import Built, compile_profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIBRARY = libseccomp.library()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def cache(place: Path) -> Iterator[Cache]:
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    yield Cache(fd)
    os.close(fd)


def naming(*names: str) -> Seccomp:
    rule = Syscall(names=names, action="SCMP_ACT_ALLOW")
    return Seccomp(default_action="SCMP_ACT_ERRNO", syscalls=(rule,))


def loaded(cache: Cache, seccomp: Seccomp) -> Built | None:
    return cache.load(check(seccomp, LIBRARY), LIBRARY)


def stored(cache: Cache, place: Path, seccomp: Seccomp) -> Path:
    """Compile a profile into an empty cache, and return its file."""
    compile_profile(seccomp, cache)
    (file,) = place.iterdir()
    return file


def test_second_compilation_is_not_one(cache: Cache, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seccomp = default_seccomp(set(), "x86_64")
    made = compile_profile(seccomp, cache)
    file = stored(cache, place, seccomp)
    assert 0o600 == file.stat().st_mode & 0o7777
    monkeypatch.setattr(profile, "build", None)
    assert made == compile_profile(seccomp, cache)
    assert made.skipped == compile_profile(seccomp, cache).skipped


def test_other_profile_has_another_program(cache: Cache) -> None:
    compile_profile(naming("read"), cache)
    assert loaded(cache, naming("read")) is not None
    assert loaded(cache, naming("write")) is None
    assert loaded(cache, naming("read", "write")) is None


def test_flags_and_errors_do_not_come_from_the_cache(cache: Cache) -> None:
    assert 4 == compile_profile(naming("read"), cache).flags
    without = Seccomp(default_action="SCMP_ACT_ERRNO", syscalls=naming("read").syscalls, flags=())
    assert 0 == compile_profile(without, cache).flags
    bad = Seccomp(default_action="SCMP_ACT_ERRNO", syscalls=naming("read").syscalls, flags=("FAST",))
    with pytest.raises(HoldfastError, match="is not a flag"):
        compile_profile(bad, cache)


def test_profiles_with_one_checksum_take_turns(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "_name", lambda _key: "same")
    first, second = compile_profile(naming("read"), cache), compile_profile(naming("write"), cache)
    assert loaded(cache, naming("read")) is None
    assert Built(second.program, ()) == loaded(cache, naming("write"))
    assert first == compile_profile(naming("read"), cache)


def test_file_that_is_damaged_is_made_again(cache: Cache, place: Path) -> None:
    file = stored(cache, place, naming("read"))
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole + b"\0", bytes(len(whole)), b""):
        file.write_bytes(damaged)
        assert loaded(cache, naming("read")) is None
        compile_profile(naming("read"), cache)
        assert whole == file.read_bytes()


def test_each_flipped_bit_is_noticed(cache: Cache, place: Path) -> None:
    file = stored(cache, place, naming("read"))
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        assert loaded(cache, naming("read")) is None


def test_garbage_with_a_right_checksum_is_no_program(cache: Cache, place: Path) -> None:
    file = stored(cache, place, naming("read"))
    for garbage in (b"", b"\x91", b"\xc0", b"\x92\xc0\xc0", b"\x92\xc4\x00\x92\xc4\x00\x90"):
        frame = caches._checksum(garbage)  # a right one around nonsense
        file.write_bytes(frame + garbage)
        assert loaded(cache, naming("read")) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_file_that_is_open_to_others_is_not_used(cache: Cache, place: Path, mode: int) -> None:
    stored(cache, place, naming("read")).chmod(mode)
    assert loaded(cache, naming("read")) is None


@pytest.mark.root
def test_file_of_somebody_else_is_not_used(cache: Cache, place: Path) -> None:
    os.chown(stored(cache, place, naming("read")), 1234, 0)
    assert loaded(cache, naming("read")) is None


def test_what_is_no_file_is_not_used_and_does_not_hold_us_up(cache: Cache, place: Path) -> None:
    file = stored(cache, place, naming("read"))
    elsewhere = place / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert loaded(cache, naming("read")) is None
    file.unlink()
    os.mkfifo(file)
    assert loaded(cache, naming("read")) is None
    file.unlink()
    file.mkdir()
    assert loaded(cache, naming("read")) is None


def test_file_that_is_too_large_is_neither_read_nor_written(
    cache: Cache, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(cache, place, naming("read"))
    monkeypatch.setattr(caches, "SIZE_MAX", 50)
    assert loaded(cache, naming("read")) is None
    compile_profile(naming("write"), cache)
    assert 1 == len(list(place.iterdir()))


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_directory_that_is_open_to_others_is_refused(place: Path, mode: int) -> None:
    place.chmod(mode)
    fd = os.open(place, os.O_RDONLY)
    try:
        with pytest.raises(
            HoldfastError, match="seccomp cache: its directory belongs to somebody else or is open"
        ):
            Cache(fd)
    finally:
        os.close(fd)


def test_name_that_a_newer_libseccomp_knows_makes_the_program_anew(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    seccomp = naming("read", "no_such_call")
    assert ("no_such_call",) == compile_profile(seccomp, cache).skipped
    assert loaded(cache, seccomp) is not None
    monkeypatch.setattr(LIBRARY, "number", lambda name: {"no_such_call": 400}.get(name, 0))
    assert loaded(cache, seccomp) is None


def test_other_version_of_the_library_makes_the_program_anew(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_profile(naming("read"), cache)
    monkeypatch.setattr(LIBRARY, "version", (2, 99, 0))
    assert loaded(cache, naming("read")) is None


def test_oldest_files_make_room(cache: Cache, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "ENTRIES_MAX", 3)
    (place / "left.by.a.crash").touch()
    os.utime(place / "left.by.a.crash", (0, 0))
    for age, name in enumerate(("read", "write", "open", "close")):
        before = set(place.iterdir())
        compile_profile(naming(name), cache)
        for file in set(place.iterdir()) - before:
            os.utime(file, (age + 1, age + 1))
    found = [loaded(cache, naming(name)) is not None for name in ("read", "write", "open", "close")]
    assert [False, True, True, True] == found
    assert 3 == len(list(place.iterdir()))


@pytest.mark.parametrize("room", [0, 100])
def test_disk_that_takes_nothing_or_a_part_is_no_error(cache: Cache, place: Path, room: int) -> None:
    """A limit on the size of files stands for the full disk: it refuses and cuts in the same way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        compile_profile(naming("read"), cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [] == list(place.iterdir())


def test_directory_that_is_gone_is_no_error(cache: Cache, place: Path) -> None:
    place.rmdir()
    assert compile_profile(naming("read")) == compile_profile(naming("read"), cache)
