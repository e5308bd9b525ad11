"""Containers of the built-in runtime, made in the test's own process: their inits are its children.

What each test leaves is looked for when it ends. Other tests may be at work on the same machine, so only
what bears the test's name counts: its directory, and the ids of its containers.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from support.leftovers import PR_SET_CHILD_SUBREAPER, look
from support.oci import make_bundle, usual_config

from holdfast.protocol.errors import HoldfastError
from holdfast.protocol.oci.config import parse_process
from holdfast.runtime.commands.delete import delete
from holdfast.runtime.commands.start import start
from holdfast.runtime.commands.state import state
from holdfast.runtime.container import container_ids, open_container
from holdfast.runtime.create import CreateRequest, create
from holdfast.runtime.execute import ExecRequest, execute
from holdfast.runtime.plan import Options
from holdfast.runtime.procfs import Procfs
from holdfast.runtime.sys import process
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from holdfast.protocol.oci.state import State
    from holdfast.runtime.explain import Explain

DEADLINE_S = 30.0

_numbers = itertools.count()


class Ran(NamedTuple):
    """What has become of a program."""

    code: int
    """Its exit code, or minus the signal that ended it."""
    out: str
    """What it wrote to stdout and stderr."""


class Box:
    """A created container."""

    def __init__(self, containers: Containers, container_id: str) -> None:
        self._containers = containers
        self.root = containers.root
        self.id = container_id
        self.pid = 0
        self.out_fd = -1
        self.console: socket.socket | None = None
        self._code: int | None = None

    @property
    def state_dir(self) -> Path:
        """The folder of its record."""
        return self._containers.directory / "root" / self.id

    def start(self) -> None:
        """Let it run its program."""
        start(self.root, self.id)

    def state(self) -> State:
        """Return its state."""
        return state(self.root, self.id)

    def record(self) -> dict[str, Any]:
        """Return its record, as kept on disk."""
        return dict(msgspec.json.decode((self.state_dir / "state.json").read_bytes()))

    def write_record(self, **changes: object) -> None:
        """Change its record."""
        (self.state_dir / "state.json").write_bytes(msgspec.json.encode({**self.record(), **changes}))

    def status(self) -> dict[str, str]:
        """Return the lines of /proc/PID/status of its init."""
        return status_of(self.pid)

    def inode(self, kind: str) -> str:
        """Return which namespace of a type its init is in."""
        return os.readlink(f"/proc/{self.pid}/ns/{kind}")

    def wait(self) -> int:
        """Wait for init's end; return its exit code, or minus the signal."""
        if self._code is None:
            self._code = reap(self.pid)
        return self._code

    def output(self) -> str:
        """Return what it writes, to the end."""
        return read_all(self.out_fd)

    def finish(self) -> Ran:
        """Return what it wrote and how it ended."""
        out = self.output()
        return Ran(self.wait(), out)

    def delete(self, *, force: bool = False) -> None:
        """Delete it."""
        delete(self.root, self.id, force=force)

    def execute(self, *args: str, explain: Explain | None = None, **more: object) -> Ran:
        """Run a process in it to its end."""
        with self.executing(*args, explain=explain, **more) as (pid, out_fd):
            out = read_all(out_fd)
            return Ran(reap(pid), out)

    @contextmanager
    def executing(
        self, *args: str, explain: Explain | None = None, **more: object
    ) -> Iterator[tuple[int, int]]:
        """Run a process in it: its pid, and a descriptor from which to read what it writes."""
        described = {"args": list(args), "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
        spec = parse_process(msgspec.json.encode({**described, **more}))
        with ExitStack() as reading:
            with _piped() as (stdio, out_fd):
                request = ExecRequest(root=self.root, id=self.id, process=spec, stdio=stdio)
                pid = execute(request, explain)
                kept_fd = os.dup(out_fd)
                reading.callback(os.close, kept_fd)
            yield pid, kept_fd

    def close(self) -> None:
        """Remove what is left of it."""
        with suppress(HoldfastError):
            self.delete(force=True)
        if self.pid and self._code is None:
            os.kill(self.pid, signal.SIGKILL)  # our child, and not reaped: the id is still its
            self.wait()
        if self.out_fd >= 0:
            os.close(self.out_fd)
        if self.console is not None:
            self.console.close()


class Containers:
    """Makes containers below a directory of the test's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = os.fsencode(directory / "root")
        self.prefix = f"hft-{os.getpid()}-{next(_numbers)}"
        self.boxes: list[Box] = []
        self.rootfs = directory / "bundle/rootfs"
        make_bundle(directory / "bundle", usual_config())

    def new_id(self) -> str:
        """Return an id that nobody else has."""
        return f"{self.prefix}.{next(_numbers)}"

    def bundle(self, config: dict[str, Any]) -> bytes:
        """Write the configuration to the test's bundle; return its path."""
        return make_bundle(self.directory / "bundle", config)

    def request(self, config: dict[str, Any], **more: Any) -> CreateRequest:  # noqa: ANN401  # its fields
        """Return a request for a container with that configuration."""
        options = more.pop("options", Options())
        container_id = more.pop("id", self.new_id())
        bundle = self.bundle(config)
        return CreateRequest(root=self.root, id=container_id, bundle=bundle, options=options, **more)

    def create(self, config: dict[str, Any], *, explain: Explain | None = None, **more: Any) -> Box:  # noqa: ANN401
        """Create a container; the test's end deletes it."""
        request = self.request(config, **more)
        box = Box(self, request.id)
        if config["process"].get("terminal"):
            box.console, theirs = socket.socketpair()
            try:
                request.console_fd = theirs.fileno()
                box.pid = create(request, explain)
            except BaseException:
                box.console.close()
                raise
            finally:
                theirs.close()
            self.boxes.append(box)
            return box
        with _piped() as (stdio, out_fd):
            request.stdio = stdio
            box.pid = create(request, explain)
            box.out_fd = os.dup(out_fd)
        self.boxes.append(box)
        return box

    def begin(self, config: dict[str, Any], **more: Any) -> Box:  # noqa: ANN401
        """Create a container and start it."""
        box = self.create(config, **more)
        box.start()
        return box

    def run(self, config: dict[str, Any], **more: Any) -> Ran:  # noqa: ANN401
        """Run a container to its end."""
        return self.begin(config, **more).finish()

    def sh(self, script: str, **changes: Any) -> str:  # noqa: ANN401
        """Run a shell script in a container like the usual one; return what it wrote, less the last newline.

        changes: members of its `process` to set.
        """
        config = usual_config("sh", "-c", script)
        config["process"] |= changes
        ran = self.run(config)
        assert 0 == ran.code, ran
        return ran.out.removesuffix("\n")

    def refusal(self, config: dict[str, Any], **more: Any) -> str:  # noqa: ANN401
        """Try to create a container which must fail. Return the sentence; nothing of it may be left."""
        request = self.request(config, **more)
        before = container_ids(self.root)
        seen = self.seen()
        with _piped() as (stdio, _):
            request.stdio = stdio
            with pytest.raises((HoldfastError, OSError)) as told:
                create(request)
        assert before == container_ids(self.root)
        assert set() == self.seen() - seen
        sentence = str(told.value)
        assert "\n" not in sentence
        assert not sentence.endswith(".")
        return sentence

    def seen(self) -> set[str]:
        """Return what there is of the test's on the machine."""
        ours = (self.prefix, str(self.directory))
        return {
            line
            for line in look()
            if line.startswith(("process", "descriptor")) or any(one in line for one in ours)
        }

    def close(self) -> None:
        """Delete all of them."""
        for box in self.boxes:
            box.close()


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[Containers]:
    """Give a maker of containers; when the test ends they are deleted, and nothing of them may be left."""
    here.do(process.prctl(PR_SET_CHILD_SUBREAPER, 1))
    Procfs.shared()  # opened at the first use, and kept
    made = Containers(tmp_path)
    before = made.seen()
    yield made
    made.close()
    eventually(lambda: not made.seen() - before, lambda: f"left behind: {sorted(made.seen() - before)}")
    assert [] == container_ids(made.root)


def eventually(what: Callable[[], bool], why: Callable[[], str] = lambda: "it does not become so") -> None:
    """Wait until something is so; fail if it does not become so."""
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        if time.monotonic() > deadline:
            pytest.fail(why())
        time.sleep(0.005)


def reap(pid: int) -> int:
    """Wait for the end of a child; return its exit code, or minus the signal."""
    found: list[int] = []

    def is_gone() -> bool:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            found.append(os.waitstatus_to_exitcode(status))
        return bool(ended)

    eventually(is_gone, lambda: f"process {pid} does not end")
    return found[0]


def status_of(pid: int) -> dict[str, str]:
    """Return the lines of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        lines = (line.partition(":") for line in file)
        return {name: " ".join(value.split()) for name, _, value in lines}


def read_all(fd: int) -> str:
    """Return all that comes."""
    content = bytearray()
    while piece := os.read(fd, 1 << 16):
        content += piece
    return content.decode("utf-8", "backslashreplace")


def is_alive(box: Box) -> bool:
    """Whether the container's init still runs."""
    with open_container(box.root, box.id) as opened:
        return opened.is_alive()


@contextmanager
def _piped() -> Iterator[tuple[tuple[int, int, int], int]]:
    """Give three descriptors for a program, and one from which to read what it writes."""
    null_fd = os.open(os.devnull, os.O_RDONLY)
    reading, writing = os.pipe()
    try:
        yield (null_fd, writing, writing), reading
    finally:
        for fd in (null_fd, reading, writing):
            os.close(fd)
