"""Whatever a configuration asks for in the way of mounts: it is planned, or told to be impossible."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.trees import parse, plan

from holdfast.protocol.errors import ConfigError, Problem
from holdfast.protocol.oci import names
from holdfast.runtime.mounts import mountinfo, options
from holdfast.runtime.mounts.mountinfo import Mount
from holdfast.runtime.paths import components

KNOWN = [*names.MOUNT_FLAGS, *names.RECURSIVE_MOUNT_FLAGS, *names.PROPAGATION, *names.MOUNT_EXTENSIONS]
OPTIONS = st.lists(st.one_of(st.sampled_from(KNOWN), st.text(max_size=20)), max_size=8)
MOUNTS = st.fixed_dictionaries(
    {
        "destination": st.one_of(
            st.text(max_size=40), st.sampled_from(["/proc", "/dev", "/sys/fs/cgroup", "/a/../.."])
        ),
        "type": st.sampled_from(
            ["", "tmpfs", "proc", "sysfs", "cgroup", "cgroup2", "devpts", "ext4", "bind"]
        ),
        "source": st.text(max_size=20),
        "options": OPTIONS,
    }
)


@given(st.lists(MOUNTS, max_size=4), st.booleans(), st.booleans())
def test_mounts_are_planned_or_told_to_be_impossible(
    mounts: list[dict[str, Any]], userns: bool, own_mounts: bool
) -> None:
    namespaces = ("mount", "network") if own_mounts else ("pid",)
    try:
        made = plan(parse("rootfs", mounts, userns=userns, namespaces=namespaces))
    except ConfigError:
        return
    assert len(made.mounts) >= len(mounts)
    assert len({entry.field for entry in made.mounts}) == len(made.mounts)
    assert all(entry.destination.startswith(b"/") for entry in made.mounts)


@given(OPTIONS)
def test_an_option_is_set_or_cleared_by_the_last_word_on_it(given_options: list[str]) -> None:
    problems: list[Problem] = []
    parsed = options.parse(given_options, "mounts[0].options", problems)
    words = [word for word in given_options if word in ("ro", "rw")]
    if words:
        assert (words[-1] == "ro") == bool(parsed.attributes.set & names.MOUNT_ATTR_RDONLY)
        assert (words[-1] == "rw") == bool(parsed.attributes.clear & names.MOUNT_ATTR_RDONLY)
    else:
        assert not (parsed.attributes.set | parsed.attributes.clear) & names.MOUNT_ATTR_RDONLY


@given(OPTIONS)
def test_every_option_goes_somewhere_once(given_options: list[str]) -> None:
    problems: list[Problem] = []
    parsed = options.parse(given_options, "mounts[0].options", problems)
    unknown = [word for word in given_options if names.is_filesystem_option(word)]
    assert [key if value is None else key + b"=" + value for key, value in parsed.data] == [
        word.encode() for word in unknown
    ]


PATHS = st.binary(max_size=30).filter(lambda path: b"\0" not in path)


@given(PATHS)
def test_components_lead_to_the_same_place(path: bytes) -> None:
    names_in_it = components(path)
    assert b"/" not in b"".join(names_in_it)
    assert names_in_it == components(b"/".join(names_in_it)) == components(b"/" + path + b"/./")


def escaped(field: bytes) -> bytes:
    r"""Do what the kernel does: seq_path's mangle_path with " \\t\\n\\\\#"."""
    return b"".join(b"\\%03o" % char if char in b" \t\n\\#" else bytes([char]) for char in field)


@given(st.lists(st.tuples(PATHS, PATHS, PATHS.filter(bool)), max_size=5))
def test_mountinfo_is_read_as_the_kernel_has_written_it(mounts: list[tuple[bytes, bytes, bytes]]) -> None:
    content = b"".join(
        b"%d 1 0:1 %s %s rw shared:1 - tmpfs %s rw\n" % (i, escaped(root), escaped(point), escaped(source))
        for i, (root, point, source) in enumerate(mounts)
    )
    expected = [
        Mount(i, 1, root, point, b"rw", (b"shared:1",), b"tmpfs", source)
        for i, (root, point, source) in enumerate(mounts)
    ]
    assert expected == mountinfo.parse(content)
