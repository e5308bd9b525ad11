"""What is in reach while a process of ours stands among the container's: S1, S2, S18 of the attack list.

Between the clone and the exec of the user's program it is a puppet, in the container's pid namespace or in
one that it shares with another container. There an attacker looks for it: for its memory, its program, its
root and its files. The attacker makes its attempts after each step, so that no step depends on luck.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.attackers import (
    PUPPET,
    Attacker,
    after_each_step,
    attacking_exec,
    attacking_init,
    begin_exec,
    pid_inside,
)
from support.containers import reap
from support.oci import CAPABILITIES, usual_config
from support.trees import ID_MAPPINGS

from holdfast.runtime import create as creating
from holdfast.runtime import execute as executing
from holdfast.runtime.puppet import puppet
from holdfast.runtime.sys import files, process
from holdfast.runtime.sys.call import Call
from holdfast.runtime.sys.numbers import AT_FDCWD, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.containers import Containers

    from holdfast.runtime.making import Making

pytestmark = pytest.mark.root

TRACER = [*CAPABILITIES, "CAP_SYS_PTRACE"]
EXECS = 60


def config(*capabilities: str, userns: bool = False) -> dict[str, Any]:
    """Return the configuration of a container that an attacker is in."""
    made = usual_config()
    made["mounts"].pop()  # a file to be made in the rootfs, which root of the user namespace may not
    names = list(capabilities)
    made["process"]["capabilities"] = {"bounding": names, "effective": names, "permitted": names}
    if userns:
        made["linux"]["namespaces"].append({"type": "user"})
        made["linux"] |= {"uidMappings": ID_MAPPINGS, "gidMappings": ID_MAPPINGS}
    return made


def rights(made: dict[str, Any]) -> dict[str, Any]:
    """Return what an exec needs to be told to have the rights of the container's init."""
    return {name: made["process"][name] for name in ("capabilities", "noNewPrivileges")}


class Looks:
    """What an attacker has got, and where."""

    def __init__(self, attacker: Attacker) -> None:
        self._attacker = attacker
        self.steps: list[str] = []
        self.hits: list[str] = []

    def __call__(self, step: str, making: Making) -> None:
        found = self._attacker.reaches(pid_inside(making.pid))
        self.steps.append(step)
        self.hits += [f"after {step!r}: {name}" for name in found]


def let_it_be_dumped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the defence away: nothing is hidden."""
    original = process.prctl

    def prctl(option: int, *args: int) -> Call:
        return original(option, 1) if option == process.PR_SET_DUMPABLE else original(option, *args)

    monkeypatch.setattr(process, "prctl", prctl)


class TestExec:
    """S18: an exec joins a container whose init waits for it (CVE-2016-9962, CVE-2022-1227)."""

    @pytest.mark.parametrize("userns", [False, True])
    def test_joiner_is_closed_to_the_container_after_each_step(
        self, containers: Containers, monkeypatch: pytest.MonkeyPatch, userns: bool
    ) -> None:
        capabilities = TRACER if userns else CAPABILITIES
        made = config(*capabilities, userns=userns)
        with attacking_init(containers, made) as (attacker, box):
            looks = Looks(attacker)
            after_each_step(monkeypatch, executing, "JOIN", looks)
            ran = box.execute("echo", "here", **rights(made))
        assert (0, "here\n") == ran
        assert {"find the program", "become the user"} < set(looks.steps)
        assert [] == looks.hits

    @pytest.mark.parametrize("userns", [False, True])
    def test_control_joiner_that_can_be_dumped_is_open(
        self, containers: Containers, monkeypatch: pytest.MonkeyPatch, userns: bool
    ) -> None:
        capabilities = TRACER if userns else CAPABILITIES
        made = config(*capabilities, userns=userns)
        with attacking_init(containers, made) as (attacker, box):
            looks = Looks(attacker)
            after_each_step(monkeypatch, executing, "JOIN", looks)
            let_it_be_dumped(monkeypatch)
            box.execute("true", **rights(made))
        assert {"root", "exe", "process_vm_readv", "ptrace"} <= {
            hit.rpartition(" ")[2] for hit in looks.hits
        }

    def test_joiner_is_closed_all_the_time(self, containers: Containers) -> None:
        """The attacker also tries as fast as it can, while one exec follows the other."""
        with attacking_init(containers, config(*CAPABILITIES)) as (attacker, box):
            over = threading.Event()
            hits: set[bytes] = set()
            rounds: list[int] = []

            def attack() -> None:
                while not over.is_set():
                    # What has become the user's program may be opened: it has the attacker's rights. What
                    # must not be seen is ours: by name, since its program is a memory file.
                    rounds.append(len(rounds))
                    for pid in range(2, 2 + EXECS):
                        target = attacker.readlink(b"/proc/%d/exe" % pid)
                        if target and not target.startswith((b"/bin/", b"/puppet")):
                            hits.add(target)

            thread = threading.Thread(target=attack)
            thread.start()
            try:
                for _ in range(EXECS):
                    assert 0 == box.execute("true").code
            finally:
                over.set()
                thread.join()
        assert rounds
        assert set() == hits

    def test_tracer_finds_nothing_of_the_host_in_a_joiner(
        self, containers: Containers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With CAP_SYS_PTRACE and no user namespace all is open; so nothing may be worth it."""
        seen: list[tuple[bytes, ...]] = []

        with attacking_init(containers, config(*TRACER)) as (attacker, box):
            root = attacker.inode(b"/")

            def look(_: str, making: Making) -> None:
                pid = pid_inside(making.pid)
                for name in (b"root", b"cwd"):
                    assert root == attacker.inode(b"/proc/%d/%s" % (pid, name))
                links = [attacker.readlink(b"/proc/%d/fd/%d" % (pid, fd)) for fd in range(64)]
                seen.append(tuple(link for link in links if link))
                assert mapped_files(making.pid) <= {"/memfd:holdfast-puppet"}
                assert attacker.do(files.openat(AT_FDCWD, b"/proc/%d/exe" % pid, os.O_RDONLY)) > 0
                assert attacker.do(files.openat(AT_FDCWD, b"/proc/%d/exe" % pid, os.O_RDWR)) < 0

            after_each_step(monkeypatch, executing, "JOIN", look)
            assert 0 == box.execute("true").code
        assert seen
        for links in seen:
            assert {b"/dev/null"} >= {link for link in links if link.startswith(b"/") and link != b"/"}


def mapped_files(pid: int) -> set[str]:
    """Return the files that a process has mapped."""
    with open(f"/proc/{pid}/maps") as maps:
        names = (line.split(maxsplit=5)[5:] for line in maps)
        return {
            name[0].strip().removesuffix(" (deleted)")
            for name in names
            if name and not name[0].startswith("[")
        }


class TestCreate:
    """S18: the init of one container is made in the pid namespace of another."""

    def beside(self, pid: int, *, userns: bool) -> dict[str, Any]:
        """Return a configuration that shares the pid namespace of a process."""
        made = config(*CAPABILITIES, userns=userns)
        made["linux"]["namespaces"][0] = {"type": "pid", "path": f"/proc/{pid}/ns/pid"}
        if userns:  # which has no rights over that pid namespace: no procfs of it can be mounted
            made["mounts"] = [one for one in made["mounts"] if one["destination"].startswith("/dev")]
            made["linux"] |= {"maskedPaths": [], "readonlyPaths": [], "sysctl": {}}
        return made

    @pytest.mark.parametrize("userns", [False, True])
    def test_init_is_closed_to_a_neighbour_after_each_step(
        self, containers: Containers, monkeypatch: pytest.MonkeyPatch, userns: bool
    ) -> None:
        with attacking_init(containers, config(*CAPABILITIES)) as (attacker, box):
            looks = Looks(attacker)
            after_each_step(monkeypatch, creating, "SETUP", looks)
            assert 0 == containers.run(self.beside(box.pid, userns=userns)).code
        assert {"clone init with its namespaces", "become the user"} < set(looks.steps)
        assert [] == looks.hits

    def test_control_init_that_can_be_dumped_is_open_to_a_neighbour(
        self, containers: Containers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever made a user namespace has all rights in it: so has root of the neighbour."""
        with attacking_init(containers, config(*CAPABILITIES)) as (attacker, box):
            looks = Looks(attacker)
            after_each_step(monkeypatch, creating, "SETUP", looks)
            let_it_be_dumped(monkeypatch)
            containers.run(self.beside(box.pid, userns=True))
        assert "after 'clone init with its namespaces': root" in looks.hits

    def test_parked_init_is_closed_to_an_exec(self, containers: Containers) -> None:
        box = containers.create(config(*CAPABILITIES))
        with attacking_exec(containers, box, rights(config(*CAPABILITIES))) as attacker:
            assert [] == attacker.reaches(1)
            assert b"" == attacker.readlink(b"/proc/1/exe")

    def test_parked_init_has_mapped_and_opened_nothing_of_the_host(self, containers: Containers) -> None:
        """S2: sealing the program would not be enough if libraries lay beside it."""
        box = containers.create(config())
        assert {"/memfd:holdfast-puppet"} == mapped_files(box.pid)
        links = {os.readlink(f"/proc/{box.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{box.pid}/fd")}
        assert {"/", "/dev/null"} == {link for link in links if link.startswith("/")}
        (root,) = (
            fd for fd in os.listdir(f"/proc/{box.pid}/fd") if os.readlink(f"/proc/{box.pid}/fd/{fd}") == "/"
        )
        assert os.stat(f"/proc/{box.pid}/root").st_ino == os.stat(f"/proc/{box.pid}/fd/{root}").st_ino


class TestOwnProgram:
    """S1: the program that the container asks for is the runtime itself (CVE-2019-5736)."""

    @contextmanager
    def kept(self, containers: Containers) -> Iterator[tuple[Attacker, int, int]]:
        """Run `#!/proc/self/exe` beside an attacker that keeps hold of its program until it has ended.

        Gives the attacker, what it got when it asked for writing at once, and what it has kept.
        """
        script = containers.rootfs / "entrypoint"
        script.write_text("#!/proc/self/exe\n")
        script.chmod(0o755)
        made = config(*CAPABILITIES)
        ours, theirs = socket.socketpair()
        with ours, attacking_init(containers, made) as (attacker, box):
            with theirs, at_three(theirs.fileno()):
                # With its channel open, what the kernel takes for the interpreter waits to be looked at.
                stdio = theirs.fileno()
                pid = begin_exec(box, stdio, stdio, "/entrypoint", preserve_fds=1, rights=rights(made))
            exe = b"/proc/%d/exe" % pid_inside(pid)
            assert attacker.readlink(exe) not in (b"", b"/entrypoint")
            at_once = attacker.do(files.openat(AT_FDCWD, exe, os.O_RDWR))
            kept = attacker.do(files.openat(AT_FDCWD, exe, files.O_PATH))
            assert kept > 0
            ours.close()
            reap(pid)
            yield attacker, at_once, kept

    def test_its_program_cannot_be_written_to(self, containers: Containers) -> None:
        before = hashlib.sha256(PUPPET.read_bytes()).digest()
        with self.kept(containers) as (attacker, at_once, kept):
            later = attacker.do(files.openat(AT_FDCWD, b"/proc/self/fd/%d" % kept, os.O_RDWR))
            for fd in (at_once, later):
                assert attacker.do(files.write(fd, b"owned")) < 0
                assert attacker.do(Call(NUMBERS["ftruncate"], "ftruncate", (fd, 0))) < 0
            assert (
                attacker.do(files.openat(AT_FDCWD, b"/proc/self/fd/%d" % kept, os.O_RDWR | os.O_TRUNC)) < 0
            )
        assert before == hashlib.sha256(PUPPET.read_bytes()).digest()

    def test_control_a_program_on_disk_can(
        self, containers: Containers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        program = tmp_path / "holdfast-puppet"
        program.write_bytes(PUPPET.read_bytes())
        program.chmod(0o755)
        monkeypatch.setattr(puppet, "sealed_program", lambda: os.open(program, os.O_RDONLY | os.O_CLOEXEC))
        with self.kept(containers) as (attacker, at_once, kept):
            assert at_once < 0  # ETXTBSY, as long as it runs
            later = attacker.do(files.openat(AT_FDCWD, b"/proc/self/fd/%d" % kept, os.O_RDWR))
            assert 5 == attacker.do(files.write(later, b"owned"))
        assert program.read_bytes().startswith(b"owned")


@contextmanager
def at_three(fd: int) -> Iterator[None]:
    """Let a descriptor be this process's number 3 for a while, as a caller of `--preserve-fds` has it."""
    kept = fcntl.fcntl(3, fcntl.F_DUPFD_CLOEXEC, 100)
    inheritable = os.get_inheritable(3)
    os.dup2(fd, 3)
    try:
        yield
    finally:
        os.dup2(kept, 3, inheritable)
        os.close(kept)
