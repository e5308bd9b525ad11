"""The options of a mount, sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdfast.protocol.oci import names
from holdfast.runtime.mounts.entry import Attributes, Propagation
from holdfast.runtime.mounts.options import Options, parse

if TYPE_CHECKING:
    from holdfast.protocol.errors import Problem

RO, NOSUID, NODEV = names.MOUNT_ATTR_RDONLY, names.MOUNT_ATTR_NOSUID, names.MOUNT_ATTR_NODEV
ATIME, NOATIME, STRICT = names.MOUNT_ATTR_ATIME, names.MOUNT_ATTR_NOATIME, names.MOUNT_ATTR_STRICTATIME


def parsed(*options: str) -> Options:
    problems: list[Problem] = []
    result = parse(options, "mounts[0].options", problems)
    assert [] == problems
    return result


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        ((), Attributes()),
        (("defaults", "silent", "iversion", "bind"), Attributes()),
        (("ro", "nosuid"), Attributes(set=RO | NOSUID)),
        (("rw", "suid", "dev"), Attributes(clear=RO | NOSUID | NODEV)),
        (("ro", "rw"), Attributes(clear=RO)),
        (("rw", "ro"), Attributes(set=RO)),
        (("noatime",), Attributes(set=NOATIME, clear=ATIME)),
        (("strictatime",), Attributes(set=STRICT, clear=ATIME)),
        (("relatime",), Attributes(clear=ATIME)),
        (("noatime", "atime"), Attributes(clear=ATIME)),
        (("nosymfollow",), Attributes(set=names.MOUNT_ATTR_NOSYMFOLLOW)),
        (("rro",), Attributes(recursive_set=RO)),
        (("rro", "rrw"), Attributes(recursive_clear=RO)),
        (("rnoatime",), Attributes(recursive_set=NOATIME, recursive_clear=ATIME)),
        (("rnoatime", "rstrictatime"), Attributes(recursive_set=STRICT, recursive_clear=ATIME)),
        (("rrelatime",), Attributes(recursive_clear=ATIME)),
        (("ro", "rrw"), Attributes(set=RO, recursive_clear=RO)),
    ],
)
def test_attributes_are_those_that_were_named(options: tuple[str, ...], attributes: Attributes) -> None:
    assert attributes == parsed(*options).attributes


def test_every_option_of_the_spec_is_known() -> None:
    every = [
        *names.MOUNT_FLAGS,
        *names.RECURSIVE_MOUNT_FLAGS,
        *names.PROPAGATION,
        "idmap",
        "ridmap",
        "tmpcopyup",
    ]
    assert () == parsed(*every).data


def test_propagation_keeps_its_order() -> None:
    expected = (Propagation(names.MS_SLAVE, recursive=False), Propagation(names.MS_SHARED, recursive=True))
    assert expected == parsed("slave", "rshared").propagation


def test_rbind_is_a_recursive_bind() -> None:
    assert parsed("rbind").has(names.MS_BIND)
    assert parsed("rbind").has(names.MS_REC)
    assert not parsed("bind").has(names.MS_REC)


def test_what_is_not_of_the_spec_is_for_the_filesystem() -> None:
    data = ((b"size", b"64k"), (b"newinstance", None), (b"lowerdir", b"/a,upperdir=/b"), (b"empty", b""))
    assert data == parsed("size=64k", "newinstance", "lowerdir=/a,upperdir=/b", "empty=").data


def test_flags_of_the_filesystem_go_to_it() -> None:
    assert ((b"sync", None), (b"nolazytime", None)) == parsed("sync", "nolazytime", "ro").parameters


@pytest.mark.parametrize("option", ["copy-symlink", "idmap=uids=0-1-1;gids=0-1-1"])
def test_extension_of_crun_that_we_lack_is_told(option: str) -> None:
    problems: list[Problem] = []
    parse(["ro", option], "mounts[3].options", problems)
    assert ["mounts[3].options[1]"] == [problem.field for problem in problems]
