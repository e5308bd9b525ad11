"""`holdfast-runtime` as a manager calls it: real commands, below a root of the test's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.containers import Containers, containers, eventually
from support.reaping import reap_all

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Runtime", "containers", "rt"]

DEADLINE_S = 60
START = "from holdfast.shim.cli.boot import holdfast_runtime; holdfast_runtime()"


class Said:
    """What a command said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        return f"exit code {self.code}, stdout {self.out[-2000:]!r}, stderr {self.err[-2000:]!r}"


class Runtime:
    """Runs commands on containers whose bundle and ids belong to the test."""

    def __init__(self, made: Containers) -> None:
        self.made = made
        self.directory = made.directory
        self.root = os.fsdecode(made.root)
        self.bundle = os.fsdecode(made.directory / "bundle")

    def argv(self, *words: str, root: bool = True) -> list[str]:
        """Return a command line."""
        head = [sys.executable, "-I", "-c", START]
        return [*head, *(["--root", self.root] if root else []), *words]

    def __call__(self, *words: str, stdin: str = "", root: bool = True, **more: Any) -> Said:  # noqa: ANN401
        """Run a command to its end.

        Its streams are files, not pipes: what a created container holds open must not hold the test up.
        """
        with (
            os.fdopen(os.memfd_create("out"), "w+b") as out,
            os.fdopen(os.memfd_create("err"), "w+b") as err,
        ):
            done = subprocess.run(
                self.argv(*words, root=root),
                input=stdin.encode(),
                stdout=out,
                stderr=err,
                timeout=DEADLINE_S,
                check=False,
                **more,
            )
            texts = [_content(file.fileno()) for file in (out, err)]
        return Said(done.returncode, *texts)

    def ok(self, *words: str, **more: Any) -> str:  # noqa: ANN401
        """Run a command that has to succeed; return its output."""
        said = self(*words, **more)
        assert 0 == said.code, said
        return said.out

    def failure(self, *words: str, code: int = 1, **more: Any) -> str:  # noqa: ANN401
        """Run a command that has to fail; return the sentence."""
        said = self(*words, **more)
        assert code == said.code, said
        assert 1 == said.err.count("\n"), said
        assert said.err.startswith("holdfast-runtime: ")
        return said.err.removeprefix("holdfast-runtime: ").removesuffix("\n")

    def create(self, config: dict[str, Any], *words: str) -> str:
        """Create a container; return its id."""
        container_id = self.made.new_id()
        self.made.bundle(config)
        assert "" == self.ok("create", "--bundle", self.bundle, *words, container_id)
        return container_id

    def begin(self, config: dict[str, Any], *words: str) -> str:
        """Create a container and start it; return its id."""
        container_id = self.create(config, *words)
        assert "" == self.ok("start", container_id)
        return container_id

    def state(self, container_id: str) -> dict[str, Any]:
        """Return a container's state."""
        found: dict[str, Any] = json.loads(self.ok("state", container_id))
        return found

    def await_status(self, container_id: str, status: str) -> None:
        """Wait until a container has a status."""
        eventually(lambda: status == self.state(container_id)["status"])

    def delete_all(self) -> None:
        """Delete what is there, and reap the inits: they have become children of the test."""
        for container_id in os.listdir(self.root) if Path(self.root).exists() else []:
            if container_id.startswith(self.made.prefix):
                self("delete", "--force", container_id)
        reap_all()


@pytest.fixture
def rt(containers: Containers) -> Iterator[Runtime]:
    """Give a runtime with a root of its own; nothing may be left in the end."""
    made = Runtime(containers)
    yield made
    made.delete_all()


def _content(fd: int) -> str:
    return os.pread(fd, 1 << 20, 0).decode("utf-8", "surrogateescape")
