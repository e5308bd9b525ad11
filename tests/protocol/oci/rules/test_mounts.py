"""Rules for mounts, those at and below /proc above all."""

from __future__ import annotations

from typing import Any

import pytest
from support.configs import config, problems

from holdfast.protocol.oci.check import warnings
from holdfast.protocol.oci.rules.mounts import PROC_FILES, cleaned

MAPPING = {"containerID": 0, "hostID": 100000, "size": 65536}
WITH_USERNS = {
    "namespaces": [{"type": name} for name in ("pid", "mount", "user")],
    "uidMappings": [MAPPING],
    "gidMappings": [MAPPING],
}


def of_mount(*, userns: bool = False, **mount: Any) -> list[str]:  # noqa: ANN401  # any JSON
    """Return what is wrong with a mount of a tmpfs on /mnt after changes."""
    changes: dict[str, Any] = {"mounts": [{"destination": "/mnt", "type": "tmpfs", **mount}]}
    return problems(changes | {"linux": WITH_USERNS} if userns else changes)


BIND: dict[str, Any] = {"type": "none", "source": "/srv", "options": ["rbind", "rprivate", "ro"]}


@pytest.mark.parametrize(
    "destination", ["/proc/sys", "/proc/self/attr", "/proc/sys/kernel", "proc/1", "/x/../proc//./kcore"]
)
@pytest.mark.parametrize("mount", [{"type": "tmpfs"}, {"type": "proc"}, BIND], ids=["tmpfs", "proc", "bind"])
def test_nothing_is_mounted_inside_proc(destination: str, mount: dict[str, Any]) -> None:
    (sentence,) = of_mount(destination=destination, **mount)

    assert sentence.startswith(
        f'mounts[0].destination: "{destination}" cannot be mounted because it is inside /proc; '
        "allowed: /proc/cpuinfo, /proc/diskstats, "
    )


@pytest.mark.parametrize("destination", PROC_FILES)
def test_files_that_lxcfs_provides_can_be_bound_over(destination: str) -> None:
    assert [] == of_mount(destination=destination, **BIND)


@pytest.mark.parametrize("destination", ["/proc", "/proc/", "proc", "//proc/./x/.."])
def test_on_proc_there_is_a_procfs_or_a_bind_mount(destination: str) -> None:
    assert [] == of_mount(destination=destination, type="proc")
    assert [] == of_mount(destination=destination, **BIND)
    assert [
        (
            f'mounts[0].destination: "{destination}" cannot be mounted because it is not of type proc; '
            "allowed: the type proc, or a bind mount of a procfs"
        )
    ] == of_mount(destination=destination, type="tmpfs")


@pytest.mark.parametrize("destination", ["/processes", "/proc2/x", "/a/proc/sys", "/sys"])
def test_other_places_are_not_proc(destination: str) -> None:
    assert [] == of_mount(destination=destination)


@pytest.mark.parametrize("destination", ["/", "", "//", "/..", "/a/..", "."])
def test_the_root_itself_is_no_destination(destination: str) -> None:
    sentence = (
        f'mounts[0].destination: "{destination}" is the container\'s root; '
        "allowed: a place inside the container's root"
    )
    assert [sentence] == of_mount(destination=destination)
    assert [] == of_mount(destination=destination, options=["remount", "ro"])


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("", "/"),
        ("a", "/a"),
        ("/a//b/./c/../d/", "/a/b/d"),
        ("/../../a", "/a"),
        ("/a/../..", "/"),
        ("/...", "/..."),
    ],
)
def test_cleaned_reads_a_path_from_the_root(path: str, clean: str) -> None:
    assert clean == cleaned(path)


def test_a_mount_needs_a_type_unless_it_is_a_bind_or_a_remount() -> None:
    sentence = "mounts[0].type: is missing; needed: a filesystem, or the option bind or rbind"

    assert [sentence] == of_mount(type="", options=["ro"])
    assert [] == of_mount(type="", options=["remount", "ro"])
    assert [] == of_mount(type="", source="/srv", options=["bind"])


def test_a_bind_mount_needs_a_source_and_takes_no_data() -> None:
    assert ["mounts[0].source: is missing; needed: a path to bind"] == of_mount(options=["bind"])
    assert [
        (
            'mounts[0].options[1]: "size=1m" is an option of a filesystem; '
            "allowed: on a bind mount only options of mounts"
        )
    ] == of_mount(source="/srv", options=["bind", "size=1m", ""])
    assert [] == of_mount(options=["size=1m", "mode=755", "whatever"])


def test_an_idmapped_mount_needs_both_mappings_or_a_user_namespace() -> None:
    bind: dict[str, Any] = {"type": "none", "source": "/srv"}
    no_mapping = (
        'mounts[0].options: "ridmap" has no mapping to use; '
        "allowed: with uidMappings and gidMappings, or a user namespace"
    )

    assert [no_mapping] == of_mount(**bind, options=["bind", "ridmap"])
    assert [] == of_mount(**bind, options=["bind", "ridmap"], userns=True)
    assert [] == of_mount(**bind, options=["bind", "idmap"], uidMappings=[MAPPING], gidMappings=[MAPPING])
    assert [] == of_mount(**bind, options=["bind", "idmap=uids=0-1-10;gids=0-1-10"])
    assert ["mounts[0].gidMappings: is missing; needed: both mappings or neither"] == of_mount(
        **bind, options=["bind", "idmap"], uidMappings=[MAPPING]
    )
    assert ["mounts[0].uidMappings: is missing; needed: both mappings or neither"] == of_mount(
        **bind, options=["bind"], gidMappings=[MAPPING]
    )


def test_the_ids_of_a_mounts_mapping_are_checked() -> None:
    mappings: dict[str, Any] = {"uidMappings": [MAPPING], "gidMappings": [{**MAPPING, "size": 0}]}

    assert ["mounts[0].gidMappings[0].size: 0 is out of range; allowed: 1 to 4294967295"] == of_mount(
        type="none", source="/srv", options=["bind", "idmap"], **mappings
    )


def test_a_relative_destination_is_a_warning() -> None:
    assert [] == of_mount(destination="mnt")
    assert ['mounts[0].destination: "mnt" is relative, which is deprecated; taken from /'] == warnings(
        config({"mounts": [{"destination": "mnt", "type": "tmpfs"}]})
    )
