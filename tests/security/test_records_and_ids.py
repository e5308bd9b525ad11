"""Records that were tampered with, and ids that are more than a name: S43, S45, S46 of the attack list.

The victim is a process of the host. Whatever a record says, it must outlive every command.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.oci import usual_config

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci import ids
from holdfast.protocol.oci.config import Process
from holdfast.runtime import container
from holdfast.runtime.commands.delete import delete
from holdfast.runtime.commands.kill import kill
from holdfast.runtime.commands.start import start
from holdfast.runtime.commands.state import state
from holdfast.runtime.container import container_ids
from holdfast.runtime.execute import ExecRequest, execute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.containers import Box, Containers

pytestmark = pytest.mark.root

NO_PIDS = [-1, 0, 1, 2**31 - 1, 2**31, 2**32 + 1, 2**63, True, "1", None, 1.5]


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """Give a process of the host that must not be hit."""
    with subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True) as running:
        yield running
        assert running.poll() is None, "it was hit"
        running.kill()


@pytest.fixture
def box(containers: Containers) -> Iterator[Box]:
    """Give a container that runs; its record is put back in the end, so that it can be deleted."""
    made = containers.begin(usual_config("sleep", "1000"))
    kept = containers.directory / "kept"
    shutil.copytree(made.state_dir, kept)
    yield made
    if made.state_dir.is_symlink():
        made.state_dir.unlink()
    else:
        shutil.rmtree(made.state_dir)
    for left in (made.state_dir.parent / ".moved", made.state_dir.parent / ".elsewhere"):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(kept, made.state_dir)
    assert "running" == made.state().status


def all_told(box: Box, *, delete_too: bool = True) -> None:
    """Try what acts on a container by its record: each has to fail with a sentence."""
    commands: list[Callable[[], object]] = [
        lambda: kill(box.root, box.id, signal.SIGKILL),
        lambda: start(box.root, box.id),
        lambda: box.execute("true"),
    ]
    if delete_too:  # a container that has ended may be deleted
        commands += [
            lambda: delete(box.root, box.id),
            lambda: delete(box.root, box.id, force=True),
            box.state,
        ]
    for command in commands:
        with pytest.raises((HoldfastError, OSError)) as told:
            command()
        assert "\n" not in str(told.value)


class TestPid:
    """S43: the number in the record is that of somebody else."""

    @pytest.mark.parametrize("start_time", [0, 1, None])
    def test_process_with_the_number_is_left_alone(
        self, box: Box, victim: subprocess.Popen[bytes], start_time: int | None
    ) -> None:
        own = box.record()["start_time"]
        assert own != container.start_time(victim.pid)  # else they could not be told apart
        box.write_record(pid=victim.pid, start_time=own if start_time is None else start_time)
        all_told(box, delete_too=False)
        assert "stopped" == box.state().status

    def test_record_of_another_boot_is_nobodys(self, box: Box, victim: subprocess.Popen[bytes]) -> None:
        boot = "00000000-0000-0000-0000-000000000000"
        box.write_record(pid=victim.pid, start_time=container.start_time(victim.pid), boot_id=boot)
        all_told(box, delete_too=False)

    def test_control_without_the_start_time_it_is_hit(
        self, box: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = box.record()["start_time"]
        with subprocess.Popen(["/bin/sleep", "1000"]) as hit:
            box.write_record(pid=hit.pid)
            with monkeypatch.context() as patch:
                patch.setattr(container, "start_time", lambda _: own)
                kill(box.root, box.id, signal.SIGKILL)
            assert -signal.SIGKILL == hit.wait(10)

    def test_number_that_can_be_no_init_hits_nobody(self, box: Box, victim: subprocess.Popen[bytes]) -> None:
        for pid in NO_PIDS:
            box.write_record(pid=pid)
            all_told(box, delete_too=False)
        assert victim.poll() is None


def link(box: Box) -> None:
    (box.state_dir.parent / ".elsewhere").mkdir()
    shutil.move(box.state_dir / "state.json", box.state_dir.parent / ".elsewhere/state.json")
    (box.state_dir / "state.json").symlink_to("../.elsewhere/state.json")


def huge(box: Box) -> None:
    with (box.state_dir / "state.json").open("ab") as file:
        file.write(b" " * (2 << 20))


def endless(box: Box) -> None:
    (box.state_dir / "state.json").unlink()
    os.mknod(box.state_dir / "state.json", 0o20600, os.makedev(1, 5))


def fifo(box: Box) -> None:
    (box.state_dir / "state.json").unlink()
    os.mkfifo(box.state_dir / "state.json")


def half(box: Box) -> None:
    content = (box.state_dir / "state.json").read_bytes()
    (box.state_dir / "state.json").write_bytes(content[: len(content) // 2])


def deep(box: Box) -> None:
    (box.state_dir / "state.json").write_bytes(b"[" * 100_000)


def newer(box: Box) -> None:
    box.write_record(version=99)


def of_another(box: Box) -> None:
    box.write_record(id="another")


def of_other_owner(box: Box) -> None:
    os.chown(box.state_dir, 1000, 1000)


def open_to_all(box: Box) -> None:
    box.state_dir.chmod(0o777)


def directory_is_a_link(box: Box) -> None:
    box.state_dir.rename(box.state_dir.parent / ".moved")
    box.state_dir.symlink_to(".moved")


@pytest.mark.parametrize(
    "tamper",
    [
        link,
        huge,
        endless,
        fifo,
        half,
        deep,
        newer,
        of_another,
        of_other_owner,
        open_to_all,
        directory_is_a_link,
    ],
)
@pytest.mark.timeout(20)
def test_record_that_was_tampered_with_is_told_and_nothing_happens(
    containers: Containers, box: Box, tamper: Callable[[Box], None]
) -> None:
    """S45."""
    tamper(box)
    all_told(box)
    assert box.id in container_ids(containers.root)
    assert (0, 0) == os.waitpid(box.pid, os.WNOHANG)


BAD_IDS = [
    "",
    ".",
    "..",
    "/",
    "a/b",
    "../a",
    "a\0b",
    "a\n",
    "\n",
    "a b",
    "a" * 1025,
    "\u0430",
    "\uff11",
    "a\u202e",
    "a\udcff",
    "*",
    "a\x1b[31m",
]


def by_id(containers: Containers, container_id: str) -> list[Callable[[], object]]:
    """Return what takes an id."""
    root, process = containers.root, Process(args=("true",), cwd="/")
    return [
        lambda: containers.create(usual_config(), id=container_id),
        lambda: start(root, container_id),
        lambda: state(root, container_id),
        lambda: kill(root, container_id, 0),
        lambda: delete(root, container_id),
        lambda: delete(root, container_id, force=True),
        lambda: execute(ExecRequest(root=root, id=container_id, process=process)),
    ]


def test_id_that_is_more_than_a_name_is_told_by_every_command(containers: Containers, box: Box) -> None:
    """S46: an id is checked before any path is made of it."""
    before = names_below(containers.directory)
    for bad in BAD_IDS:
        for command in by_id(containers, bad):
            with pytest.raises(HoldfastError) as told:
                command()
            assert str(told.value).isprintable()
    assert before == names_below(containers.directory)
    assert "running" == box.state().status


def names_below(directory: Path) -> list[str]:
    """Return all names of a tree."""
    return sorted(path.name for path in directory.rglob("*"))


@pytest.mark.usefixtures("box")
def test_control_without_the_check_the_parent_is_taken_for_a_container(
    containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S46: `..` is the directory above the root of all state."""
    monkeypatch.setattr(ids, "check_id", lambda _: None)
    assert "creating" == state(containers.root, "..").status
