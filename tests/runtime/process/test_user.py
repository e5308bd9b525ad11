"""Who the program is: ids, groups, umask, no_new_privs; in any order of rights that the kernel has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.oci import usual_config
from support.trees import ID_MAPPINGS

if TYPE_CHECKING:
    from support.containers import Containers

pytestmark = pytest.mark.root

STATUS = ("grep", "-E", "^(Uid|Gid|Groups|NoNewPrivs|Umask|Seccomp):", "/proc/self/status")


def config_of(user: dict[str, Any], *args: str, **changes: object) -> dict[str, Any]:
    config = usual_config(*args)
    config["process"] |= {"user": user, **changes}
    return config


def lines_of(containers: Containers, config: dict[str, Any]) -> dict[str, str]:
    config["process"]["args"] = list(STATUS)
    ran = containers.run(config)
    assert 0 == ran.code, ran
    lines = (line.partition(":") for line in ran.out.splitlines())
    return {name: " ".join(value.split()) for name, _, value in lines}


def in_user_namespace(containers: Containers, config: dict[str, Any]) -> None:
    (containers.rootfs / "etc/hosts").touch()  # the rootfs is not the namespace's, so it can't make one
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"] |= {"uidMappings": ID_MAPPINGS, "gidMappings": ID_MAPPINGS}


def test_ids_and_groups_are_those_of_the_config(containers: Containers) -> None:
    found = lines_of(containers, config_of({"uid": 1000, "gid": 1001, "additionalGids": [7, 5, 2000]}))
    assert " ".join(["1000"] * 4) == found["Uid"]
    assert " ".join(["1001"] * 4) == found["Gid"]
    assert "5 7 2000" == found["Groups"]


def test_groups_of_the_caller_are_not_inherited(containers: Containers) -> None:
    assert "" == lines_of(containers, config_of({"uid": 0, "gid": 0}))["Groups"]


def test_largest_ids_are_kept_whole(containers: Containers) -> None:
    found = lines_of(containers, config_of({"uid": 2**32 - 2, "gid": 2**32 - 2}))
    assert {"4294967294"} == set(found["Uid"].split()) | set(found["Gid"].split())


@pytest.mark.parametrize(
    ("user", "octal"), [({}, "0022"), ({"umask": 0o077}, "0077"), ({"umask": 0}, "0000")]
)
def test_umask_is_that_of_the_config_or_0022(
    containers: Containers, user: dict[str, int], octal: str
) -> None:
    assert octal == containers.sh("umask", user={"uid": 0, "gid": 0, **user})


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("userns", [False, True])
def test_rights_are_exact_in_every_combination(
    containers: Containers, wanted: bool, uid: int, filtered: bool, userns: bool
) -> None:
    config = config_of({"uid": uid, "gid": uid}, noNewPrivileges=wanted)
    if not filtered:
        del config["linux"]["seccomp"]
    if userns:
        in_user_namespace(containers, config)
    found = lines_of(containers, config)
    assert {
        "Uid": " ".join([str(uid)] * 4),
        "Gid": " ".join([str(uid)] * 4),
        "Groups": "",
        "NoNewPrivs": str(int(wanted)),
        "Seccomp": "2" if filtered else "0",
        "Umask": "0022",
    } == found


def test_id_without_a_mapping_is_told(containers: Containers) -> None:
    config = config_of({"uid": 70000, "gid": 0})
    in_user_namespace(containers, config)
    told = containers.refusal(config)
    assert "process.user.uid: id 70000 has no mapping in the container's user namespace" == told


def test_stdio_can_be_reopened_by_the_user(containers: Containers) -> None:
    script = "echo one > /dev/stdout; echo two > /proc/self/fd/2"
    assert "one\ntwo" == containers.sh(script, user={"uid": 1000, "gid": 1000})
