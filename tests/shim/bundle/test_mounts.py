from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci.config import Mount
from holdfast.shim.bundle.mounts import (
    default_mounts,
    parse_mount,
    parse_tmpfs,
    parse_volume,
    wished_mounts,
    without,
)
from holdfast.shim.bundle.wishes import Wishes

if TYPE_CHECKING:
    from pathlib import Path

BIND = ("rbind", "rprivate", "nosuid", "nodev")
TMPFS = ("nosuid", "nodev", "noexec")


def bind(source: str, destination: str, *options: str) -> Mount:
    return Mount(type="bind", source=source, destination=destination, options=options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/usr:/mnt", bind("/usr", "/mnt", *BIND)),
        ("/usr:/mnt:ro", bind("/usr", "/mnt", *BIND, "ro")),
        ("/usr:/a/../mnt/:ro,noexec", bind("/usr", "/mnt", *BIND, "ro", "noexec")),
        ("/usr:/mnt:rshared,suid,dev", bind("/usr", "/mnt", "rbind", "rshared", "suid", "dev")),
        ("/usr:/mnt:bind,z", bind("/usr", "/mnt", "rprivate", "nosuid", "nodev", "bind")),
        ("/usr/..://mnt", bind("/", "/mnt", *BIND)),
    ],
)
def test_parse_volume_reads_what_docker_reads(text: str, expected: object) -> None:
    assert expected == parse_volume(text)


def test_parse_volume_takes_a_relative_source_from_where_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "data") == parse_volume("./data:/data").source
    assert str(tmp_path.parent) == parse_volume("..:/data").source


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("/usr", "is not SRC:DST or SRC:DST:OPTIONS"),
        ("/usr:/a:ro:x", "is not SRC:DST or SRC:DST:OPTIONS"),
        ("data:/a", 'source "data" is not a path; allowed'),
        (":/a", 'source "" is not a path; allowed'),
        ("/no/such:/a", 'source "/no/such": No such file or directory'),
        ("/usr:a", 'destination "a": is not an absolute path'),
        ("/usr:/", "is the container's root"),
        ("/usr:/a/..", "is the container's root"),
        ("/usr:/a:upperdir=x", '"upperdir=x" is not an option; allowed'),
        ("/usr:/a\0", "is not an absolute path"),
        ("/us\0r:/a", "a NUL byte in a path"),
    ],
)
def test_parse_volume_of_something_else_is_told(text: str, sentence: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        parse_volume(text)
    assert sentence in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=bind,source=/usr,target=/mnt,readonly", bind("/usr", "/mnt", *BIND, "ro")),
        (
            "src=/usr,dst=/m:n,bind-propagation=rslave",
            bind("/usr", "/m:n", "rbind", "nosuid", "nodev", "rslave"),
        ),
        (
            "type=tmpfs,dst=/mnt,tmpfs-size=64m,tmpfs-mode=0700",
            Mount(
                type="tmpfs", source="tmpfs", destination="/mnt", options=(*TMPFS, "size=64m", "mode=0700")
            ),
        ),
    ],
)
def test_parse_mount_reads_keys(text: str, expected: object) -> None:
    assert expected == parse_mount(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("type=volume,dst=/a", '"volume" is not a type; allowed: bind, tmpfs'),
        ("type=tmpfs,src=/a,dst=/a", "source does not go with type tmpfs"),
        ("src=/usr,dst=/a,tmpfs-size=1", "tmpfs-size does not go with type bind"),
        ("src=/usr,dst=/a,color=red", '"color=red" is not known; allowed: type'),
        ("src=/usr", "is not an absolute path"),
    ],
)
def test_parse_mount_of_something_else_is_told(text: str, sentence: str) -> None:
    with pytest.raises(HoldfastError, match=sentence):
        parse_mount(text)


def test_parse_tmpfs_keeps_defaults_that_are_not_contradicted() -> None:
    assert (*TMPFS[:2], "exec", "size=1m") == parse_tmpfs("/mnt:exec,size=1m").options
    with pytest.raises(HoldfastError, match='"lowerdir=/" is not an option'):
        parse_tmpfs("/mnt:lowerdir=/")


def test_wished_mounts_come_parents_first_and_replace_defaults() -> None:
    wishes = Wishes(operands=[], volume=["/usr:/a/b/c", "/usr:/a"], tmpfs=["/dev/shm:size=1m"])
    mounts = wished_mounts(wishes)
    assert ["/a", "/dev/shm", "/a/b/c"] == [mount.destination for mount in mounts]
    kept = [mount.destination for mount in without(default_mounts(None), mounts)]
    assert "/dev/shm" not in kept
    assert "/dev" in kept


def test_two_mounts_on_one_place_are_told() -> None:
    with pytest.raises(HoldfastError, match='mount on "/a": is asked for twice'):
        wished_mounts(Wishes(operands=[], volume=["/usr:/a"], tmpfs=["/a"]))


def test_a_label_for_selinux_is_refused_where_there_is_selinux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.shim.bundle.mounts._SELINUX", os.devnull)
    with pytest.raises(HoldfastError, match="z and Z are for SELinux"):
        parse_volume("/usr:/a:Z")
