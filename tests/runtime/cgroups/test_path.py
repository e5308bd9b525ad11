"""Where a container's cgroup lies, and what is no path of one (S58)."""

from __future__ import annotations

import pytest

from holdfast.protocol.errors import ConfigError
from holdfast.runtime.cgroups.detect import Hierarchy
from holdfast.runtime.cgroups.path import cgroup_path, is_plain

V1 = Hierarchy(mount="/sys/fs/cgroup/memory", version=1, own="docker/abc")
V2 = Hierarchy(mount="/sys/fs/cgroup", version=2, own="user.slice/session.scope")
UNSEEN = Hierarchy(mount="/sys/fs/cgroup", version=2, own=None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a/b", "a/b"),
        ("//a/./b//", "a/b"),
        ("/a/../b", "b"),
        ("/../../b", "b"),
        ("/pods/a:b@c", "pods/a:b@c"),
        ("/ä", "ä"),
    ],
)
def test_absolute_path_is_below_the_mount_whoever_asks(text: str, expected: str) -> None:
    assert expected == cgroup_path(text, "id", V1, unified=False)
    assert expected == cgroup_path(text, "id", V2, unified=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "docker/abc/id"),
        ("a/b", "docker/abc/a/b"),
        ("../../a", "docker/abc/a"),
        ("system.slice:holdfast:x", "docker/abc/system.slice:holdfast:x"),
    ],
)
def test_relative_path_on_v1_is_below_the_runtimes_own_cgroup(text: str, expected: str) -> None:
    assert expected == cgroup_path(text, "id", V1, unified=False)


@pytest.mark.parametrize(
    ("text", "expected"), [("", "user.slice/id"), ("a", "user.slice/a"), ("../a", "user.slice/a")]
)
def test_relative_path_on_v2_is_beside_the_runtimes_own_cgroup(text: str, expected: str) -> None:
    """A cgroup with processes, such as the runtime, cannot pass controllers on."""
    assert expected == cgroup_path(text, "id", V2, unified=True)


def test_relative_path_of_a_runtime_at_the_top_is_at_the_top() -> None:
    top = Hierarchy(mount="/sys/fs/cgroup", version=2, own="")
    assert "id" == cgroup_path("", "id", top, unified=True)


def test_relative_path_without_an_own_cgroup_to_start_from_is_told() -> None:
    with pytest.raises(ConfigError, match="is relative, and the runtime's own cgroup is not below"):
        cgroup_path("a", "id", UNSEEN, unified=True)


def test_id_alone_then_goes_to_the_top() -> None:
    assert "id" == cgroup_path("", "id", UNSEEN, unified=True)


@pytest.mark.parametrize("text", ["/", "//", "/.", "/..", "/a/..", "a/..", "..", "."])
def test_top_of_a_hierarchy_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r'linux\.cgroupsPath: ".*" is the top of the hierarchy'):
        cgroup_path(text, "id", V1, unified=False)


@pytest.mark.parametrize(
    "text", ["/a\0b", "/a\nb", "a\n", "/a\x1bb", "/a\x7f", "/a\u2028b", "/a\u0085b", "/a\ud800"]
)
def test_path_with_what_cannot_be_printed_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"linux\.cgroupsPath: .* is not a path"):
        cgroup_path(text, "id", V1, unified=False)


@pytest.mark.parametrize("text", ["/" + "a" * 256, "/" + "ä" * 128])
def test_name_that_no_directory_can_have_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is too long; allowed: names of 255 bytes at most"):
        cgroup_path(text, "id", V1, unified=False)


def test_path_that_the_kernel_would_not_take_is_refused() -> None:
    with pytest.raises(ConfigError, match="is too long; allowed: 4000 bytes at most"):
        cgroup_path("/" + "/".join("a" * 250 for _ in range(16)), "id", V1, unified=False)


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "a//b", ".", "..", "a/..", "a/../..", "a/./b", "a\nb", "a\0"]
)
def test_path_that_was_not_made_here_is_known(path: str) -> None:
    assert not is_plain(path)
    assert is_plain("a/b.c/d e")
