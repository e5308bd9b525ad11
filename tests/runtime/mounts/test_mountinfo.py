"""Reading mountinfo."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.inits import new_init

from holdfast.runtime.mounts.mountinfo import below, parse
from holdfast.runtime.sys import mount
from holdfast.runtime.sys.numbers import AT_FDCWD

LINE = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n"


def test_line_of_the_man_page() -> None:
    (one,) = parse(LINE)
    assert (36, 35, b"/mnt1", b"/mnt 2") == one[:4]
    assert (b"rw,noatime", (b"master:1", b"shared:2"), b"ext3", b"/dev/root") == one[4:]


@pytest.mark.parametrize(
    "name", ["new\nline", "tab\tspace ", "back\\slash\\040", "hash#", "u\u2028\u0085\x0b\x0c"]
)
def test_mount_point_with_any_name_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    """S44: a name can neither hide a mount nor invent one."""
    (tmp_path / name).mkdir()
    with new_init() as init:
        x, path = init.x, os.fsencode(tmp_path / name)
        x.do(mount.mount_setattr(AT_FDCWD, path=b"/", propagation=mount.MS_PRIVATE, recursive=True))
        x.do(mount.move_mount(mount.new_filesystem(x, b"tmpfs", [], 0), AT_FDCWD, path))
        x.flush()
        assert path in [one.point for one in parse(init.mountinfo())]
    assert path not in [one.point for one in parse(Path("/proc/self/mountinfo").read_bytes())]


def test_below_finds_what_is_mounted_in_a_mount_in_any_order() -> None:
    mounts = [
        parse(b"%d %d 0:1 / / rw - t s rw\n" % pair)[0] for pair in [(5, 4), (4, 3), (3, 2), (9, 2), (6, 5)]
    ]
    assert {3, 4, 5, 6} == below(mounts, 3)
