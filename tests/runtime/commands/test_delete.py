"""delete: all that create has made, and nothing of anybody else."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from support.containers import is_alive, reap
from support.oci import usual_config
from support.reaping import reap_all

from holdfast.protocol.errors import DoesNotExist, HoldfastError
from holdfast.runtime import container
from holdfast.runtime import create as creating
from holdfast.runtime.commands.delete import delete
from holdfast.runtime.container import container_ids, open_container
from holdfast.runtime.create import create
from holdfast.runtime.setup import filetree
from holdfast.runtime.steps import SETUP

if TYPE_CHECKING:
    from support.containers import Containers

pytestmark = pytest.mark.root


def cgroups_of(name: str) -> list[str]:
    return [path for path, _, _ in os.walk("/sys/fs/cgroup") if path.endswith(f"/{name}")]


def test_delete_removes_the_state_directory_and_the_cgroups(containers: Containers) -> None:
    box = containers.begin(usual_config())
    box.finish()
    assert cgroups_of(box.id)
    box.delete()
    assert [] == cgroups_of(box.id)
    assert not box.state_dir.exists()


def test_delete_of_a_running_container_is_told_and_it_runs_on(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    with pytest.raises(HoldfastError) as told:
        box.delete()
    assert f'cannot delete container "{box.id}" that is not stopped: running' == str(told.value)
    assert is_alive(box)


def test_created_container_is_killed_by_delete(containers: Containers) -> None:
    box = containers.create(usual_config())
    box.delete()
    assert -signal.SIGKILL == box.wait()


def test_running_container_is_killed_by_delete_with_force(containers: Containers) -> None:
    box = containers.begin(usual_config("sh", "-c", "trap '' TERM INT HUP; sleep 60 & wait"))
    box.delete(force=True)
    assert -signal.SIGKILL == box.wait()


def test_processes_that_have_outlived_init_are_killed(containers: Containers) -> None:
    config = usual_config("sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!")
    config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "pid"]
    box = containers.begin(config)
    other = int(box.finish().out)
    os.kill(other, 0)
    box.delete()
    assert -signal.SIGKILL == reap(other)


def test_delete_of_an_unknown_container_is_told_and_fine_with_force(containers: Containers) -> None:
    with pytest.raises(DoesNotExist):
        delete(containers.root, "nobody")
    delete(containers.root, "nobody", force=True)
    delete(containers.root + b"/missing", "nobody", force=True)


@pytest.mark.parametrize("wrong", ["..", ".", "", "a/../..", "/"])
@pytest.mark.parametrize("force", [False, True])
def test_id_that_means_another_place_is_refused(containers: Containers, wrong: str, force: bool) -> None:
    with pytest.raises(HoldfastError, match="invalid container ID format"):
        delete(containers.root, wrong, force=force)
    assert containers.rootfs.exists()


def test_directory_that_is_a_link_is_not_followed(containers: Containers) -> None:
    elsewhere = containers.directory / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (containers.directory / "root").mkdir(mode=0o700)
    os.symlink(elsewhere, containers.directory / "root/linked")
    with pytest.raises((HoldfastError, OSError)) as told:
        delete(containers.root, "linked", force=True)
    assert "linked" in str(told.value)
    assert (elsewhere / "precious").exists()
    os.unlink(containers.directory / "root/linked")


def test_reserved_id_without_a_record_is_freed(containers: Containers) -> None:
    (containers.directory / "root/half").mkdir(parents=True, mode=0o700)
    delete(containers.root, "half")
    assert [] == container_ids(containers.root)


def test_delete_of_what_is_being_made_waits_for_it(
    containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = containers.request(usual_config())
    reached, go = os.pipe(), os.pipe()
    mount_all = filetree.mount_all

    def slow(making: object) -> None:
        os.write(reached[1], b"!")
        os.read(go[0], 1)
        mount_all(making)  # type: ignore[arg-type]

    creator = os.fork()
    if not creator:
        try:
            _replace_step(monkeypatch, slow)
            create(request)
            os._exit(0)
        finally:
            os._exit(1)
    os.read(reached[0], 1)
    deleting = threading.Thread(target=delete, args=(containers.root, request.id))
    deleting.start()
    deleting.join(0.2)
    assert deleting.is_alive()
    os.write(go[1], b"!")
    assert 0 == reap(creator)
    deleting.join(10)
    assert not deleting.is_alive()
    assert [] == container_ids(containers.root)
    for fd in (*reached, *go):
        os.close(fd)
    reap_all()


def test_delete_with_force_ends_a_create_that_hangs(
    containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = containers.request(usual_config())
    reached = os.pipe()

    def hanging(making: object) -> None:
        os.write(reached[1], b"!")
        making.init.sock.recv(1)  # type: ignore[attr-defined]  # until init is gone
        raise HoldfastError("init is gone")

    creator = os.fork()
    if not creator:
        try:
            _replace_step(monkeypatch, hanging)
            create(request)
            os._exit(0)
        except HoldfastError:
            os._exit(7)
        finally:
            os._exit(1)
    os.read(reached[0], 1)
    delete(containers.root, request.id, force=True)
    assert 7 == reap(creator)
    assert [] == container_ids(containers.root)
    for fd in reached:
        os.close(fd)


def test_late_delete_does_not_touch_a_new_container_of_the_same_id(containers: Containers) -> None:
    old = containers.begin(usual_config())
    old.finish()
    with open_container(old.root, old.id) as late:
        old.delete()
        new = containers.create(usual_config(), id=old.id)
        with pytest.raises(DoesNotExist):
            late.lock()
        container.remove(old.root, old.id, late.directory_fd)
    assert "created" == new.state().status


def _replace_step(monkeypatch: pytest.MonkeyPatch, action: object) -> None:
    monkeypatch.setattr(
        creating,
        "SETUP",
        tuple(
            step._replace(do=action) if step.do is filetree.mount_all else step  # type: ignore[arg-type]
            for step in SETUP
        ),
    )
