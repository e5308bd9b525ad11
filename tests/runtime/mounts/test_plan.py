"""What is decided about the file tree; nothing is mounted here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.trees import DEFAULT_MOUNTS, DEV, NAMESPACES, PROC, PTS, parse, plan

from holdfast.protocol.errors import ConfigError
from holdfast.protocol.oci import names
from holdfast.runtime.mounts.bind import Bind, IdMap
from holdfast.runtime.mounts.cgroup import Hierarchy
from holdfast.runtime.mounts.entry import Entry, Links, Remount
from holdfast.runtime.mounts.fs import Filesystem
from holdfast.runtime.mounts.plan import plan_mounts
from holdfast.runtime.namespaces.plan import plan_namespaces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.trees import JSON

    from holdfast.protocol.oci import config

MAPPING = [{"containerID": 0, "hostID": 1000, "size": 1}]


def only(mount: JSON, *, userns: bool = False, namespaces: Sequence[str] = NAMESPACES) -> Entry:
    """Return the plan of a single mount."""
    (entry,) = plan(parse("rootfs", [mount], userns=userns, namespaces=namespaces), b"/bundle").mounts
    return entry


def problems_of(parsed: config.Config) -> list[tuple[str, object]]:
    with pytest.raises(ConfigError) as failure:
        plan(parsed)
    return [(problem.field, problem.was) for problem in failure.value.problems]


def test_relative_paths_are_below_the_bundle() -> None:
    bind = {"destination": "/data", "source": "some/where", "options": ["bind"]}
    made = plan(parse("rootfs", [bind]), b"/bundle")
    assert b"/bundle/rootfs" == made.rootfs
    assert b"/bundle/some/where" == made.mounts[0].what.source  # type: ignore[union-attr]


def test_absolute_paths_stay() -> None:
    bind = {"destination": "/data", "source": "/some/where", "options": ["rbind"], "type": "ext4"}
    made = plan(parse("/a/rootfs", [bind]), b"/bundle")
    assert b"/a/rootfs" == made.rootfs
    assert Bind(source=b"/some/where", recursive=True) == made.mounts[0].what


def test_filesystem_keeps_its_options_apart() -> None:
    overlay = {
        "destination": "/o",
        "type": "overlay",
        "source": "x",
        "options": ["lowerdir=/a:b,c", "ro", "sync", "userxattr"],
    }
    entry = only(overlay)
    options = ((b"sync", None), (b"lowerdir", b"/a:b,c"), (b"userxattr", None), (b"ro", None))
    assert Filesystem(type=b"overlay", source=b"x", options=options) == entry.what
    assert names.MOUNT_ATTR_RDONLY == entry.attributes.set
    assert 'mount "x" on "/o"' == entry.about


def test_tmpfs_without_a_mode_takes_that_of_what_it_hides() -> None:
    assert only({"destination": "/t", "type": "tmpfs"}).what.mode_of_target  # type: ignore[union-attr]
    with_mode = only({"destination": "/t", "type": "tmpfs", "options": ["mode=700"]})
    assert not with_mode.what.mode_of_target  # type: ignore[union-attr]


def test_readonly_tmpfs_and_dev_are_locked_at_the_end() -> None:
    tmpfs = {"destination": "/t", "type": "tmpfs", "options": ["ro"]}
    dev = {"destination": "/dev", "type": "devtmpfs", "options": ["ro"]}
    bind = {"destination": "/b", "source": "/b", "options": ["bind", "ro"]}
    assert [True, True, False] == [one.locked_late for one in plan(parse("r", [tmpfs, dev, bind])).mounts]


def test_deep_destination_is_told() -> None:
    deep = "/d" * 65
    assert [("mounts[0].destination", deep)] == problems_of(
        parse("rootfs", [{"destination": deep, "type": "tmpfs"}])
    )


@pytest.mark.parametrize("name", ["cpuinfo", "meminfo", "sys/kernel/ns_last_pid", "swaps"])
def test_files_that_lxcfs_provides_may_be_replaced(name: str) -> None:
    assert only({"destination": f"/proc/{name}", "source": "/x", "options": ["bind"]}).in_proc


def test_proc_and_sysfs_need_a_real_directory() -> None:
    for kind in ("proc", "sysfs"):
        assert only({"destination": f"/{kind}", "type": kind}).real_directory
    assert not only({"destination": "/run", "type": "tmpfs"}).real_directory


def test_remount_of_a_bind_changes_no_filesystem() -> None:
    assert Remount(()) == only({"destination": "/a", "options": ["remount", "bind", "ro"]}).what
    tmpfs = {"destination": "/a", "options": ["remount", "size=1m"]}
    assert Remount(((b"size", b"1m"),)) == only(tmpfs).what


def test_idmap_with_mappings() -> None:
    bind = {"destination": "/a", "source": "/a", "uidMappings": MAPPING, "gidMappings": MAPPING}
    for options, recursive in ((["bind"], False), (["bind", "idmap"], False), (["rbind", "ridmap"], True)):
        what = only({**bind, "options": options}).what
        assert IdMap(b"0 1000 1\n", b"0 1000 1\n", recursive) == what.idmap  # type: ignore[union-attr]


def test_idmap_without_mappings_takes_those_of_the_container() -> None:
    bind = {"destination": "/a", "source": "/a", "options": ["bind", "idmap"]}
    assert IdMap(b"", b"", recursive=False) == only(bind, userns=True).what.idmap  # type: ignore[union-attr]


def test_idmap_of_anything_but_a_bind_is_refused() -> None:
    tmpfs = {"destination": "/a", "type": "tmpfs", "uidMappings": MAPPING, "gidMappings": MAPPING}
    assert [("mounts[0].type", "tmpfs")] == problems_of(parse("rootfs", [tmpfs]))


def test_devpts_goes_without_the_group_that_a_user_namespace_does_not_know() -> None:
    mapped = plan(parse("r", [PTS], userns=True)).mounts[0].what.options  # type: ignore[union-attr]
    assert (b"gid", b"5") in mapped
    single = parse("r", [PTS], namespaces=("mount", "user"), uidMappings=MAPPING, gidMappings=MAPPING)
    unmapped = plan(single).mounts[0].what.options  # type: ignore[union-attr]
    assert (b"gid", b"5") not in unmapped
    assert (b"ptmxmode", b"0666") in unmapped


def test_sysfs_of_the_hosts_network_is_bound_in_a_user_namespace() -> None:
    sysfs = {"destination": "/sys", "type": "sysfs", "options": ["ro", "nosuid"]}
    entry = only(sysfs, userns=True, namespaces=("mount", "pid"))
    assert Bind(source=b"/sys", recursive=True) == entry.what
    assert names.MOUNT_ATTR_RDONLY & entry.attributes.recursive_set
    assert isinstance(only(sysfs, userns=True).what, Filesystem)
    assert isinstance(only(sysfs, namespaces=("mount", "pid")).what, Filesystem)


def test_without_a_mount_namespace_nothing_that_would_change_the_host() -> None:
    told = problems_of(
        parse("rootfs", [PROC], namespaces=("pid",), readonly=True, rootfsPropagation="shared")
    )
    assert {"mounts", "root.readonly", "linux.rootfsPropagation"} == {field for field, _ in told}
    made = plan(parse("rootfs", [], namespaces=("pid",)))
    assert not made.devices.links
    assert () == made.devices.nodes


def test_devices_default_and_configured() -> None:
    made = plan(
        parse("r", DEFAULT_MOUNTS, devices=[{"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229}])
    )
    assert 7 == len(made.devices.nodes)
    assert (10, 229) == made.devices.nodes[-1].number
    assert not made.devices.bound


def test_configured_device_takes_the_place_of_a_default_one() -> None:
    device = {"type": "c", "path": "/dev//null", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 7}
    nodes = plan(parse("r", DEFAULT_MOUNTS, devices=[device])).devices.nodes
    (null,) = [node for node in nodes if node.path == b"/dev/null"]
    assert (0o600, 7) == (null.mode, null.uid)


def test_devices_are_bound_where_none_can_be_made() -> None:
    assert plan(parse("r", userns=True)).devices.bound
    parsed = parse("r")
    namespaces = plan_namespaces(parsed.linux)
    assert plan_mounts(parsed, b"/b", namespaces, can_make_nodes=False).devices.bound


def test_bind_mounted_dev_gets_no_devices() -> None:
    bind = {"destination": "/dev/", "source": "/dev", "options": ["rbind"]}
    assert not plan(parse("r", [bind])).devices.links
    assert plan(parse("r", [DEV])).devices.links


CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "ro"]}
HIERARCHIES = (
    Hierarchy(
        name=b"cpu,cpuacct",
        options=((b"cpu", None), (b"cpuacct", None)),
        type=b"cgroup",
        directory=b"/sys/fs/cgroup/cpu,cpuacct/web",
        links=(b"cpu", b"cpuacct"),
    ),
    Hierarchy(name=b"unified", options=(), type=b"cgroup2", directory=b"/sys/fs/cgroup/unified/web"),
)


def entries(hierarchies: tuple[Hierarchy, ...], *namespaces: str) -> list[Entry]:
    parsed = parse("r", [CGROUP], namespaces=("mount", *namespaces))
    return list(plan_mounts(parsed, b"/b", plan_namespaces(parsed.linux), hierarchies=hierarchies).mounts)


def test_unified_hierarchy_is_mounted_in_a_cgroup_namespace() -> None:
    (entry,) = entries((), "cgroup")
    assert Filesystem(type=b"cgroup2", source=b"cgroup") == entry.what
    assert names.MOUNT_ATTR_RDONLY & entry.attributes.set


def test_unified_hierarchy_is_bound_without_a_cgroup_namespace() -> None:
    """A fresh mount would change the options of the host's own."""
    (entry,) = entries(())
    assert Bind(source=b"/sys/fs/cgroup", recursive=True) == entry.what
    assert names.MOUNT_ATTR_RDONLY & entry.attributes.recursive_set


def test_old_hierarchies_are_mounted_one_by_one_in_a_cgroup_namespace() -> None:
    top, cpu, unified, links = entries(HIERARCHIES, "cgroup")
    assert (b"tmpfs", True) == (top.what.type, top.locked_late)  # type: ignore[union-attr]
    assert b"/sys/fs/cgroup/cpu,cpuacct" == cpu.destination
    assert (
        Filesystem(type=b"cgroup", source=b"cgroup", options=((b"cpu", None), (b"cpuacct", None)))
        == cpu.what
    )
    assert b"cgroup2" == unified.what.type  # type: ignore[union-attr]
    assert Links(((b"cpu", b"cpu,cpuacct"), (b"cpuacct", b"cpu,cpuacct"))) == links.what
    assert 4 == len({one.field for one in (top, cpu, unified, links)})


def test_own_directory_of_old_hierarchies_is_bound_without_a_cgroup_namespace() -> None:
    _, cpu, _, _ = entries(HIERARCHIES)
    assert Bind(source=b"/sys/fs/cgroup/cpu,cpuacct/web", recursive=True) == cpu.what
    assert names.MOUNT_ATTR_RDONLY & cpu.attributes.recursive_set
