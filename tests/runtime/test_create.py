"""What create makes, what it refuses, and what two creates of one id come to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.containers import reap
from support.oci import usual_config
from support.reaping import reap_all

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.commands.delete import delete
from holdfast.runtime.container import container_ids
from holdfast.runtime.create import CreateRequest, create
from holdfast.runtime.plan import Options
from holdfast.runtime.puppet import puppet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.containers import Containers

pytestmark = pytest.mark.root


def test_created_init_has_not_run_the_program_and_started_it_has(containers: Containers) -> None:
    box = containers.create(usual_config("sh", "-c", "touch /tmp/was-here"))
    assert "created" == box.state().status
    assert box.pid == box.state().pid
    assert not (containers.rootfs / "tmp/was-here").exists()
    box.start()
    assert 0 == box.finish().code
    assert (containers.rootfs / "tmp/was-here").exists()
    assert "stopped" == box.state().status
    assert 0 == box.state().pid


def test_parked_init_has_nothing_open_but_stdio_its_channel_and_the_start_socket(
    containers: Containers,
) -> None:
    box = containers.create(usual_config())
    open_fds = [os.readlink(f"/proc/{box.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{box.pid}/fd")]
    kinds = sorted(what.partition(":")[0] for what in open_fds)
    assert ["/", "/dev/null", "pipe", "pipe", "socket", "socket"] == kinds
    roots = [os.stat(f"/proc/{box.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{box.pid}/fd")]
    assert containers.rootfs.stat().st_ino in [status.st_ino for status in roots]
    box.start()
    box.finish()


def test_program_has_nothing_open_but_stdio(containers: Containers) -> None:
    listed = containers.sh("exec ls /proc/self/fd").split()
    assert ["0", "1", "2", "3"] == listed  # 3 is the directory that ls reads


def test_init_is_a_child_of_whoever_creates(containers: Containers) -> None:
    box = containers.create(usual_config())
    assert str(os.getpid()) == box.status()["PPid"]


def test_init_leads_a_session_and_has_no_signal_blocked_or_ignored(containers: Containers) -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        box = containers.begin(usual_config("sleep", "60"))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        signal.signal(signal.SIGUSR1, before)
    status = box.status()
    assert "0000000000000000" == status["SigBlk"]
    assert "0000000000000000" == status["SigIgn"]
    assert "1" == status["NSsid"].split()[-1]


def test_pid_file_is_there_when_create_returns(containers: Containers, tmp_path: Path) -> None:
    box = containers.create(usual_config(), pid_file=os.fsencode(tmp_path / "pid"))
    assert str(box.pid) == (tmp_path / "pid").read_text()
    assert 0o644 == (tmp_path / "pid").stat().st_mode & 0o777
    assert ["bundle", "pid", "root"] == sorted(os.listdir(tmp_path))


def test_pid_file_that_cannot_be_written_is_told_and_nothing_is_left(
    containers: Containers, tmp_path: Path
) -> None:
    told = containers.refusal(usual_config(), pid_file=os.fsencode(tmp_path / "missing/pid"))
    assert f'write the pid file "{tmp_path}/missing/pid": No such file or directory' == told


def test_pid_file_that_is_a_link_is_replaced_and_what_it_led_to_is_not_touched(
    containers: Containers, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "pid").symlink_to(tmp_path / "precious")
    box = containers.create(usual_config(), pid_file=os.fsencode(tmp_path / "pid"))
    assert "precious" == (tmp_path / "precious").read_text()
    assert str(box.pid) == (tmp_path / "pid").read_text()
    (tmp_path / "precious").unlink()


def test_config_is_kept_as_it_was_at_create(containers: Containers) -> None:
    box = containers.begin(usual_config("sleep", "60"))
    containers.bundle({"ociVersion": "9.9.9"})
    assert "inside" == box.execute("hostname").out.strip()


# What goes wrong


def _create_as_it_is(containers: Containers) -> None:
    """Create a container from whatever is in the bundle."""
    bundle = os.fsencode(containers.directory / "bundle")
    create(CreateRequest(root=containers.root, id=containers.new_id(), bundle=bundle))


def test_missing_bundle_is_told(containers: Containers, tmp_path: Path) -> None:
    os.rename(tmp_path / "bundle", tmp_path / "elsewhere")
    with pytest.raises(HoldfastError) as told:
        _create_as_it_is(containers)
    assert f'bundle "{tmp_path}/bundle": config.json: No such file or directory' == str(told.value)
    assert [] == container_ids(containers.root)


BROKEN: dict[str, tuple[bytes, str]] = {
    "no-json": (b"{", "config.json"),
    "empty": (b"", "config.json"),
    "an-array": (b"[]", "config.json"),
    "a-string-for-a-number": (b'{"ociVersion":"1.0.0","root":{"path":7}}', "root.path"),
    "no-root": (b'{"ociVersion":"1.0.0"}', "root"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_config_that_is_none_is_told_by_its_place(containers: Containers, kind: str) -> None:
    content, named = BROKEN[kind]
    (containers.directory / "bundle/config.json").write_bytes(content)
    before = containers.seen()
    with pytest.raises(HoldfastError) as told:
        _create_as_it_is(containers)
    assert named in str(told.value)
    assert "\n" not in str(told.value)
    assert set() == containers.seen() - before
    assert [] == container_ids(containers.root)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["fifo", "huge", "endless", "directory"])
def test_config_that_is_no_usual_file_is_told_at_once(containers: Containers, kind: str) -> None:
    path = containers.directory / "bundle/config.json"
    path.unlink()
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "huge":
            with path.open("wb") as file:
                file.truncate(20 << 30)
        case "endless":
            path.symlink_to("/dev/zero")
        case _:
            path.mkdir()
    with pytest.raises(HoldfastError, match=r"config\.json") as told:
        _create_as_it_is(containers)
    assert "\n" not in str(told.value)


def _rootfs_missing(config: dict[str, Any]) -> None:
    config["root"]["path"] = "missing"


def _rootfs_a_file(config: dict[str, Any]) -> None:
    config["root"]["path"] = "config.json"


def _command_missing(config: dict[str, Any]) -> None:
    config["process"]["args"] = ["no-such-program"]


def _version(config: dict[str, Any]) -> None:
    config["ociVersion"] = "2.0.0"


def _two_mistakes(config: dict[str, Any]) -> None:
    config["process"]["cwd"] = "relative"
    config["process"]["rlimits"] = [{"type": "RLIMIT_FILES", "soft": 1, "hard": 1}]


def _unknown_namespace(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"].append({"type": "network2"})


def _missing_source(config: dict[str, Any]) -> None:
    config["mounts"].append(
        {"destination": "/mnt", "type": "bind", "source": "/no/such", "options": ["bind"]}
    )


def _hooks(config: dict[str, Any]) -> None:
    config["hooks"] = {"poststop": [{"path": "/bin/true"}]}


def _terminal(config: dict[str, Any]) -> None:
    config["process"]["terminal"] = True


MISTAKES: dict[Callable[[dict[str, Any]], None], list[str]] = {
    _rootfs_missing: ["No such file or directory", "missing"],
    _rootfs_a_file: ["root.path: ", "is not a directory"],
    _command_missing: ['exec: "no-such-program": executable file not found in $PATH'],
    _version: ['ociVersion: "2.0.0" is not supported'],
    _two_mistakes: ["process.cwd", 'process.rlimits[0].type: "RLIMIT_FILES"'],
    _unknown_namespace: ['linux.namespaces[6].type: "network2"'],
    _missing_source: ['mount "/no/such" on "/mnt": No such file or directory'],
    _hooks: ["hooks", "nothing, in this version"],
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_mistake_is_told_in_one_sentence_and_nothing_is_left(
    containers: Containers, mistake: Callable[[dict[str, Any]], None]
) -> None:
    config = usual_config()
    mistake(config)
    told = containers.refusal(config)
    for words in MISTAKES[mistake]:
        assert words in told


def test_terminal_without_a_console_socket_is_told(containers: Containers) -> None:
    config = usual_config()
    config["process"]["terminal"] = True
    request = containers.request(config)
    with pytest.raises(HoldfastError, match=r"^process.terminal: a console socket is needed$"):
        create(request)


def test_console_socket_without_a_terminal_is_told(containers: Containers) -> None:
    told = containers.refusal(usual_config(), console_fd=1)
    assert "process.terminal: a console socket is given for a process without one" == told


@pytest.mark.parametrize("wrong", ["", ".", "..", "a/b", "a" * 256, "ä", "a\n"])
def test_id_that_is_none_is_told(containers: Containers, wrong: str) -> None:
    told = containers.refusal(usual_config(), id=wrong)
    assert told.startswith("invalid container ID format: ")


def test_id_that_is_taken_is_told_and_the_container_lives_on(containers: Containers) -> None:
    box = containers.create(usual_config())
    told = containers.refusal(usual_config(), id=box.id)
    assert f'container "{box.id}": container with given ID already exists' == told
    box.start()
    assert 0 == box.finish().code


def test_id_is_free_again_after_delete(containers: Containers) -> None:
    box = containers.begin(usual_config())
    box.finish()
    box.delete()
    assert "created" == containers.create(usual_config(), id=box.id).state().status


def test_of_two_creates_of_one_id_exactly_one_wins(containers: Containers) -> None:
    request = containers.request(usual_config())
    for _ in range(5):
        started = os.pipe()
        children = [_fork_create(request, started) for _ in range(3)]
        os.close(started[0])
        os.close(started[1])  # lets them go
        codes = sorted(reap(child) for child in children)
        assert [0, 1, 1] == codes
        delete(request.root, request.id)
        reap_all()
    assert [] == container_ids(request.root)


def _fork_create(request: CreateRequest, started: tuple[int, int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(started[1])
        os.read(started[0], 1)
        create(request)
        os._exit(0)
    except HoldfastError as error:
        os._exit(1 if "already exists" in str(error) else 2)
    finally:
        os._exit(3)


_MOMENTS = 24

CREATE = """
import os, sys
from holdfast.runtime.create import CreateRequest, create
root, name, bundle = map(os.fsencode, sys.argv[1:])
null = os.open(os.devnull, os.O_RDWR)
os.write(1, b"!")
create(CreateRequest(root=root, id=name.decode(), bundle=bundle, stdio=(null, null, null)))
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_create_killed_at_any_moment_leaves_what_delete_removes(containers: Containers) -> None:
    request = containers.request(usual_config())
    _time_of_create(containers)  # fills the cache, so that the times below are alike
    took_s = _time_of_create(containers)
    before = containers.seen()
    for step in range(_MOMENTS):
        request.id = containers.new_id()
        child = _spawn_create(request)
        assert child.stdout is not None
        child.stdout.read(1)
        time.sleep(1.2 * took_s * step / _MOMENTS)  # the moment is what the test is about
        child.kill()
        child.wait()
        child.stdout.close()
        delete(request.root, request.id, force=True)
        reap_all()
        assert [] == container_ids(request.root)
        left = containers.seen() - before
        assert set() == left, f"killed after {took_s * step / _MOMENTS * 1000:.1f} ms"


def _spawn_create(request: CreateRequest) -> subprocess.Popen[bytes]:
    words = [os.fsdecode(request.root), request.id, os.fsdecode(request.bundle)]
    return subprocess.Popen([sys.executable, "-I", "-c", CREATE, *words], stdout=subprocess.PIPE)


def _time_of_create(containers: Containers) -> float:
    request = containers.request(usual_config())
    child = _spawn_create(request)
    assert child.stdout is not None
    child.stdout.read(1)
    began = time.monotonic()
    assert 0 == child.wait()
    took = time.monotonic() - began
    child.stdout.close()
    delete(request.root, request.id)
    reap_all()
    return took


@pytest.mark.timeout(60)
def test_create_by_somebody_without_rights_is_told_and_leaves_nothing(containers: Containers) -> None:
    request = containers.request(usual_config())
    os.chmod(containers.directory, 0o777)  # noqa: S103  # so that it is the kernel who refuses, not the folder
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        try:
            create(request)
        except (HoldfastError, OSError) as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    assert 0 == reap(pid)
    told = os.read(reading, 4096).decode()
    os.close(reading)
    assert told
    assert "\n" not in told
    assert "Operation not permitted" in told or "Permission denied" in told
    assert [] == container_ids(containers.root)
    reap_all()


def test_program_of_the_puppet_missing_is_told_and_nothing_is_left(
    containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> int:
        raise FileNotFoundError(2, "No such file or directory", "puppet")

    monkeypatch.setattr(puppet, "sealed_program", nowhere)
    containers.refusal(usual_config())


# What is passed on


def test_preserved_descriptor_that_is_not_open_is_told(containers: Containers) -> None:
    told = containers.refusal(usual_config(), options=Options(preserve_fds=900))
    assert "preserved fd 3 is not open" == told  # whatever is at 3, it was not left open for a program
