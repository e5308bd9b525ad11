"""The program's environment: HOME from a file that may be anything."""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING

import pytest
from support.oci import usual_config

from holdfast.runtime.process.environ import home_of, plan_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.containers import Containers


@pytest.mark.root
@pytest.mark.parametrize(("uid", "home"), [(0, "/root"), (1000, "/home"), (4711, "/")])
def test_home_is_that_of_the_containers_passwd(containers: Containers, uid: int, home: str) -> None:
    assert home == containers.sh("echo $HOME", user={"uid": uid, "gid": uid})


@pytest.mark.root
def test_home_of_the_config_is_kept(containers: Containers) -> None:
    assert "/here" == containers.sh("echo $HOME", env=["PATH=/bin", "HOME=/here"])


@pytest.mark.root
def test_environment_is_the_configs_and_nothing_of_the_callers(
    containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the caller")
    config = usual_config("env")
    config["process"]["env"] = ["PATH=/bin", "A=1", "B=ü \t="]
    assert ["PATH=/bin", "A=1", "B=ü \t=", "HOME=/root"] == containers.run(config).out.splitlines()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _host(path: Path) -> None:
    path.symlink_to("../../../../../../../../../../etc/shadow")


def _loop(path: Path) -> None:
    path.symlink_to("passwd")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 << 30)


def _directory(path: Path) -> None:
    path.mkdir()


def _device(path: Path) -> None:
    os.mknod(path, 0o20666, os.makedev(1, 5))


def _endless_line(path: Path) -> None:
    path.write_bytes(b"a:x:0:0:" + b"x" * (2 << 20))


@pytest.mark.root
@pytest.mark.timeout(30)
@pytest.mark.parametrize("plant", [_fifo, _zero, _host, _loop, _sparse, _directory, _device, _endless_line])
def test_passwd_that_is_no_usual_file_holds_nobody_up(
    containers: Containers, plant: Callable[[Path], None]
) -> None:
    path = containers.rootfs / "etc/passwd"
    path.unlink()
    plant(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    box = containers.begin(usual_config("sh", "-c", "echo $HOME; exec sleep 60"))
    assert time.monotonic() - began < 1
    began = time.monotonic()
    assert "/\n" == box.execute("sh", "-c", "echo $HOME").out
    assert time.monotonic() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
    assert b"/\n" == os.read(box.out_fd, 100)


@pytest.mark.parametrize(
    ("line", "home"),
    [
        (b"a:x:7:7::/h:/bin/sh", b"/h"),
        (b"a:x:7:7::h:/bin/sh", b"/"),
        (b"a:x:07:7::/h:/bin/sh", b"/"),
        (b"a:x:7:7::/h", b"/"),
        (b"a:x:7:7::/\xff:/bin/sh", b"/\xff"),
        (b"b:x:8:8::/b:/bin/sh\na:x:7:7::/first:/x\na:x:7:7::/second:/x", b"/first"),
        (b"", b"/"),
        (b"\0\n:::::::\n", b"/"),
    ],
)
def test_home_of_a_uid(line: bytes, home: bytes) -> None:
    assert home == home_of(line, 7)


def test_announced_sockets_replace_what_is_configured() -> None:
    configured = ["A=1", "LISTEN_FDS=9", "LISTEN_PID=9", "LISTEN_FDNAMES=x", "LISTEN_FDSX=kept"]
    planned = plan_environment(configured, 2, "a:b")
    assert (b"A=1", b"LISTEN_FDSX=kept", b"LISTEN_FDS=2", b"LISTEN_FDNAMES=a:b") == planned
    assert tuple(map(os.fsencode, configured)) == plan_environment(configured, 0, "")
