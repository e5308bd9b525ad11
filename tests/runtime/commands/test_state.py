"""state and list: what the kernel says, whatever the record claims."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.containers import is_alive
from support.oci import usual_config

from holdfast.protocol.errors import DoesNotExist, HoldfastError
from holdfast.protocol.oci.state import encode
from holdfast.runtime.commands.delete import delete
from holdfast.runtime.commands.kill import kill
from holdfast.runtime.commands.pause import pause, resume
from holdfast.runtime.commands.state import list_states, state

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.containers import Box, Containers

pytestmark = pytest.mark.root


def test_state_goes_from_created_to_running_to_stopped(containers: Containers) -> None:
    box = containers.create(usual_config("sleep", "60"))
    seen = [box.state().status]
    box.start()
    seen.append(box.state().status)
    os.kill(box.pid, signal.SIGKILL)
    box.wait()
    seen.append(box.state().status)
    assert ["created", "running", "stopped"] == seen


def test_state_has_what_the_spec_and_managers_read(containers: Containers) -> None:
    config = usual_config()
    config["annotations"] = {"some.key": "a value"}
    box = containers.create(config)
    printed = msgspec.json.decode(encode(box.state()))
    created = printed.pop("created")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z", created)
    assert {
        "ociVersion": "1.3.0",
        "id": box.id,
        "status": "created",
        "pid": box.pid,
        "bundle": str(containers.directory / "bundle"),
        "rootfs": str(containers.rootfs),
        "annotations": {"some.key": "a value"},
        "owner": "0",
    } == printed


def test_paused_container_is_paused_until_it_goes_on(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    pause(box.root, box.id)
    assert "paused" == box.state().status
    assert box.pid == box.state().pid
    resume(box.root, box.id)
    assert "running" == box.state().status


def test_created_container_can_be_paused(containers: Containers) -> None:
    box = containers.create(usual_config())
    pause(box.root, box.id)
    assert "paused" == box.state().status
    resume(box.root, box.id)
    assert "created" == box.state().status


def test_paused_container_takes_no_process(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    pause(box.root, box.id)
    words = "cannot exec in a paused container (use --ignore-paused to override)"
    with pytest.raises(HoldfastError, match=re.escape(words)):
        box.execute("true")
    resume(box.root, box.id)


@pytest.mark.parametrize("change", [pause, resume])
def test_pause_and_resume_of_a_stopped_container_are_told(containers: Containers, change: Any) -> None:  # noqa: ANN401
    box = containers.begin(usual_config())
    box.finish()
    with pytest.raises(HoldfastError, match=r"container not (running|paused)"):
        change(box.root, box.id)


def test_resume_of_a_running_container_is_told(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    with pytest.raises(HoldfastError, match="container not paused"):
        resume(box.root, box.id)


def test_state_of_an_unknown_container_is_told(containers: Containers) -> None:
    with pytest.raises(DoesNotExist, match=r'^container "nobody": container does not exist$'):
        state(containers.root, "nobody")


def test_record_of_another_boot_means_stopped(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    box.write_record(boot_id="00000000-0000-4000-8000-000000000000")
    assert ("stopped", 0) == (box.state().status, box.state().pid)
    box.delete()
    assert -signal.SIGKILL == box.wait()  # it was not another boot after all: its cgroup was cleaned


def test_number_of_init_that_another_process_has_means_stopped(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    real = box.record()
    box.write_record(pid=os.getpid())
    assert ("stopped", 0) == (box.state().status, box.state().pid)
    with pytest.raises(HoldfastError, match="not running"):
        kill(box.root, box.id, signal.SIGKILL)
    box.write_record(**real)
    assert is_alive(box)


TAMPERED: dict[str, dict[str, object]] = {
    "pid 1": {"pid": 1},
    "pid -1": {"pid": -1},
    "pid 0": {"pid": 0},
    "pid of the caller's group": {"pid": -os.getpgid(0)},
    "pid too large": {"pid": 2**31},
    "pid beyond a register": {"pid": 2**70},
    "pid a string": {"pid": "1"},
    "pid true": {"pid": True},
    "no pid": {"pid": None},
    "another id": {"id": "somebody"},
    "another version": {"version": 2},
    "cgroup at the top": {
        "cgroup": {"places": [{"mount": "/sys/fs/cgroup", "version": 2, "path": "", "number": 1, "made": 1}]}
    },
    "cgroup above": {
        "cgroup": {
            "places": [
                {"mount": "/sys/fs/cgroup/unified", "version": 2, "path": "../x", "number": 1, "made": 1}
            ]
        }
    },
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_tampered_record_kills_nobody(containers: Containers, kind: str) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    real = box.record()
    box.write_record(**TAMPERED[kind])
    for attempt in (
        lambda: box.state().status,
        lambda: kill(box.root, box.id, signal.SIGKILL),
        lambda: kill(box.root, box.id, 0),
    ):
        told = _outcome(attempt)
        assert told in ("stopped", "creating") or f'"{box.id}"' in told
        assert "\n" not in told
    os.kill(1, 0)
    assert "sleep" == box.status()["Name"]
    box.write_record(**real)


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        return str(attempt())
    except HoldfastError as error:
        return str(error)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["huge", "link", "fifo", "empty", "garbage", "deep", "directory"])
def test_record_that_is_none_is_told(containers: Containers, kind: str) -> None:
    box = containers.create(usual_config())
    path = box.state_dir / "state.json"
    kept = path.read_bytes()
    path.unlink()
    match kind:
        case "huge":
            with path.open("wb") as file:
                file.truncate(20 << 30)
        case "link":
            (containers.directory / "elsewhere.json").write_bytes(kept)
            path.symlink_to(containers.directory / "elsewhere.json")
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case _:
            path.write_bytes({"empty": b"", "garbage": b"\0\xff", "deep": b"[" * 100_000}[kind])
    with pytest.raises(HoldfastError) as told:
        box.state()
    assert f'container "{box.id}"' in str(told.value)
    assert "\n" not in str(told.value)
    if kind == "directory":
        path.rmdir()
    else:
        path.unlink()
    path.write_bytes(kept)
    assert "created" == box.state().status


def test_state_directory_that_others_can_write_is_not_trusted(containers: Containers) -> None:
    box = containers.create(usual_config())
    box.state_dir.chmod(0o777)
    with pytest.raises(HoldfastError, match="can be written to by others"):
        box.state()
    box.state_dir.chmod(0o700)
    os.chown(box.state_dir, 1000, 1000)
    with pytest.raises(HoldfastError, match="can be written to by others"):
        box.state()
    os.chown(box.state_dir, 0, 0)


def test_list_has_all_in_the_order_of_their_ids(containers: Containers) -> None:
    boxes = [containers.create(usual_config(), id=f"{containers.prefix}.{name}") for name in "cab"]
    expected = sorted(box.id for box in boxes)
    assert expected == [one.id for one in list_states(containers.root, pytest.fail)]
    assert {"created"} == {one.status for one in list_states(containers.root, pytest.fail)}


def test_list_tells_of_a_broken_one_and_goes_on(containers: Containers) -> None:
    first, second = containers.create(usual_config()), containers.create(usual_config())
    kept = first.record()
    (first.state_dir / "state.json").write_bytes(b"{")
    told: list[str] = []
    assert [second.id] == [one.id for one in list_states(containers.root, told.append)]
    (sentence,) = told
    assert first.id in sentence
    (first.state_dir / "state.json").write_bytes(msgspec.json.encode(kept))


def test_list_below_a_root_that_is_not_there_is_empty(containers: Containers) -> None:
    assert [] == list(list_states(containers.root + b"/nowhere", pytest.fail))


def test_container_with_a_damaged_record_is_not_deleted(containers: Containers) -> None:
    box: Box = containers.create(usual_config())
    kept = box.record()
    (box.state_dir / "state.json").write_bytes(b"{")
    with pytest.raises(HoldfastError, match="its record is damaged"):
        delete(box.root, box.id)
    (box.state_dir / "state.json").write_bytes(msgspec.json.encode(kept))
