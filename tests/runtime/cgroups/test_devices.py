"""Device rules on real cgroups: a process in one tries to make and to open nodes (S21)."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.cgroups import HOST, config, directory, made, plan, run_in
from support.devices import Asked, is_allowed

from holdfast.protocol.errors import ConfigError
from holdfast.runtime.cgroups import devices_v2, group
from holdfast.runtime.cgroups.detect import V2
from holdfast.runtime.cgroups.devices import BLOCK, CHAR, MKNOD, READ, WRITE, allow_everything, rules_of
from holdfast.runtime.sys import bpf
from holdfast.runtime.sys.call import CallFailed, Out
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from holdfast.protocol.oci.config import DeviceRule
    from holdfast.runtime.cgroups.place import Cgroup

pytestmark = pytest.mark.root

DENY_ALL = {"allow": False, "access": "rwm"}
ALLOW_ALL = {"allow": True, "access": "rwm"}

# 60 to 62 are for local use: there is no such device, and a node that may be opened says ENXIO.
NODES = [
    (CHAR, 1, 1),
    (CHAR, 1, 3),
    (CHAR, 10, 200),
    (CHAR, 60, 0),
    (CHAR, 60, 1),
    (CHAR, 61, 0),
    (BLOCK, 60, 0),
    (BLOCK, 62, 7),
]
ACCESSES = [MKNOD, READ, WRITE, READ | WRITE]


def rules(*wanted: dict[str, Any]) -> tuple[DeviceRule, ...]:
    return config(resources={"devices": list(wanted)}).linux.resources.devices


def c(major: int | None, minor: int | None, access: str, *, allow: bool = True) -> dict[str, Any]:
    return {"allow": allow, "type": "c", "major": major, "minor": minor, "access": access}


RULES: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "deny all": [DENY_ALL],
    "allow all": [ALLOW_ALL],
    "some": [DENY_ALL, c(60, 0, "r"), c(61, None, "rw"), {**c(62, 7, "w"), "type": "b"}],
    "reading and writing by two rules": [DENY_ALL, c(60, 0, "r"), c(60, 0, "w"), c(60, None, "r")],
    "one kind taken back": [DENY_ALL, c(60, None, "rw"), c(60, None, "w", allow=False)],
    "all but one": [ALLOW_ALL, c(60, 0, "rwm", allow=False), c(1, 1, "w", allow=False)],
    "denied before all is denied": [c(60, 0, "rwm"), DENY_ALL],
    "both types": [DENY_ALL, {"allow": True, "major": 60, "access": "r"}],
    "harmless ones denied": [ALLOW_ALL, c(1, 3, "rwm", allow=False), c(10, 200, "rwm", allow=False)],
}


@contextmanager
def on_v1(name: str, wanted: list[dict[str, Any]]) -> Iterator[Cgroup]:
    with made("/" + name, {"devices": wanted}) as cgroup:
        yield cgroup


@contextmanager
def on_v2(name: str, wanted: list[dict[str, Any]]) -> Iterator[Cgroup]:
    """Give a cgroup in the unified hierarchy alone, where a program decides, on a hybrid machine as well."""
    planned = plan("/" + name)
    (one,) = (place for place in planned.places if place.version == V2)
    cgroup = group.make(here, type(planned)(places=(one,)))
    try:
        attach(cgroup, wanted)
        yield cgroup
    finally:
        group.remove(here, cgroup)


def attach(cgroup: Cgroup, wanted: list[dict[str, Any]]) -> None:
    (place,) = cgroup.places
    fd = os.open(directory(place), os.O_RDONLY | os.O_CLOEXEC)
    try:
        devices_v2.attach(here, fd, devices_v2.assemble(rules_of(rules(*wanted))))
    finally:
        os.close(fd)


def attached(cgroup: Cgroup) -> int:
    (place,) = cgroup.places
    fd = os.open(directory(place), os.O_RDONLY | os.O_CLOEXEC)
    try:
        here.do(bpf.prog_query(fd, ids := Out(256)))
    finally:
        os.close(fd)
    return len(bpf.ids_in(ids))


WAYS = {"v1": on_v1, "v2": on_v2} if HOST.holder("devices", 1) else {"v2": on_v2}


def everything(path: Path) -> dict[Asked, bool]:
    """Try, from inside a cgroup, each kind of access to each node; tell what is allowed."""
    answers = {}
    for kind, major, minor in NODES:
        for access in ACCESSES:
            answers[Asked(kind, major, minor, access)] = _try(path, kind, (major, minor), access)
    return answers


def _try(path: Path, kind: str, numbers: tuple[int, int], access: int) -> bool:
    try:
        if access == MKNOD:
            node = path / f"made-{kind}-{numbers}"
            os.mknod(node, (stat.S_IFBLK if kind == BLOCK else stat.S_IFCHR) | 0o600, os.makedev(*numbers))
            node.unlink()
        else:
            flags = {READ: os.O_RDONLY, WRITE: os.O_WRONLY, READ | WRITE: os.O_RDWR}[access]
            os.close(os.open(path / f"{kind}-{numbers}", flags | os.O_NONBLOCK | os.O_NOCTTY))
    except OSError as error:
        return error.errno != errno.EPERM
    return True


def allowed_in(cgroup: Cgroup, path: Path) -> dict[Asked, bool]:
    for kind, major, minor in NODES:
        node = path / f"{kind}-{(major, minor)}"
        if not node.exists():
            os.mknod(
                node, (stat.S_IFBLK if kind == BLOCK else stat.S_IFCHR) | 0o600, os.makedev(major, minor)
            )
    answers_at = path / "answers"

    def work() -> int:
        answers_at.write_text(repr(list(everything(path).values())))
        return 0

    assert 0 == run_in(cgroup, work).code
    allowed = [word.strip() == "True" for word in answers_at.read_text()[1:-1].split(",")]
    asked = [Asked(*node, access) for node in NODES for access in ACCESSES]
    return dict(zip(asked, allowed, strict=True))


def expected(wanted: Sequence[dict[str, Any]]) -> dict[Asked, bool]:
    full = rules_of(rules(*wanted))
    return {
        asked: is_allowed(full, asked)
        for asked in (Asked(*node, access) for node in NODES for access in ACCESSES)
    }


@pytest.mark.parametrize("wanted", RULES.values(), ids=RULES)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_process_may_do_what_the_rules_say(
    way: Any,  # noqa: ANN401  # one of two context managers
    wanted: list[dict[str, Any]],
    name: str,
    tmp_path: Path,
) -> None:
    with way(name, wanted) as cgroup:
        assert expected(wanted) == allowed_in(cgroup, tmp_path)


def test_nothing_is_allowed_that_no_rule_and_no_default_names() -> None:
    """The control of the tests above: what they compare with is not what is always allowed."""
    answers = expected([])
    assert not any(answers[Asked(CHAR, 1, 1, access)] for access in (READ, WRITE, READ | WRITE))
    assert answers[Asked(CHAR, 1, 3, READ | WRITE)]
    assert answers[Asked(BLOCK, 60, 0, MKNOD)]


def test_new_program_takes_the_place_of_the_old_one(name: str, tmp_path: Path) -> None:
    with on_v2(name, [ALLOW_ALL]) as cgroup:
        assert expected([ALLOW_ALL]) == allowed_in(cgroup, tmp_path)
        attach(cgroup, [DENY_ALL])
        assert 1 == attached(cgroup)
        assert expected([DENY_ALL]) == allowed_in(cgroup, tmp_path)
        attach(cgroup, [ALLOW_ALL])
        assert (1, expected([ALLOW_ALL])) == (attached(cgroup), allowed_in(cgroup, tmp_path))


def test_new_program_takes_the_place_of_several(name: str, tmp_path: Path) -> None:
    """Others may have attached theirs; a wildcard must not be left over from any."""
    with on_v2(name, [DENY_ALL]) as cgroup:
        fd = os.open(directory(cgroup.places[0]), os.O_RDONLY | os.O_CLOEXEC)
        other = here.do(bpf.prog_load(devices_v2.assemble(rules_of(rules(DENY_ALL))), b"GPL"))
        here.do(bpf.prog_attach(fd, other, bpf.F_ALLOW_MULTI))
        os.close(other)
        os.close(fd)
        assert 2 == attached(cgroup)
        attach(cgroup, [ALLOW_ALL])
        assert (1, expected([ALLOW_ALL])) == (attached(cgroup), allowed_in(cgroup, tmp_path))


def test_many_rules_make_a_program_that_the_kernel_takes(name: str) -> None:
    many = [DENY_ALL, *(c(major, minor, "r") for major in range(200, 220) for minor in range(25))]
    with on_v2(name, many) as cgroup:
        assert 1 == attached(cgroup)


def test_program_for_a_cgroup_that_is_none_is_told(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_CLOEXEC)
    with pytest.raises(CallFailed, match=r"bpf .* device program.*: Bad file descriptor"):
        devices_v2.attach(here, fd, devices_v2.assemble(rules_of(())))
    os.close(fd)


@pytest.mark.skipif(not HOST.holder("devices", 1), reason="devices are a matter of v2 here")
@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (
            [DENY_ALL, c(60, None, "rw"), c(60, 1, "w", allow=False)],
            'devices[2]: "deny c 60:1 w" is an excep',
        ),
        ([ALLOW_ALL, c(60, None, "rw", allow=False), c(60, 1, "w")], 'devices[2]: "allow c 60:1 w" is an'),
        ([ALLOW_ALL, c(1, None, "rw", allow=False)], 'devices: "allow c 1:3 rwm" is an exception'),
    ],
)
def test_hole_in_a_rule_is_refused_on_v1_which_would_ignore_it(
    wanted: list[dict[str, Any]], told: str
) -> None:
    with pytest.raises(ConfigError) as error:
        plan("/x", {"devices": wanted})
    assert f"linux.resources.{told}" in str(error.value)


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        ([], False),
        ([ALLOW_ALL], True),
        ([c(1, 1, "rwm"), ALLOW_ALL], True),
        ([c(1, 1, "rwm")], False),
        ([ALLOW_ALL, c(1, 1, "w", allow=False)], False),
        ([DENY_ALL], False),
    ],
)
def test_rules_that_keep_nobody_from_anything_are_known(wanted: list[dict[str, Any]], answer: bool) -> None:
    assert answer == allow_everything(rules(*wanted))


def test_minus_one_is_any_number_as_older_writers_say_it() -> None:
    first, *_ = rules_of(rules(c(-1, -1, "rwm")))
    assert (None, None) == (first.major, first.minor)
