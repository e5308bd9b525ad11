"""The front door itself, as a person uses it: real commands, each a process, below a root of the test's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.caller import Caller
from support.reaping import reap_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 60
START = "from holdfast.shim.cli.boot import holdfast; holdfast()"


class Result:
    """What a command said."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.raw = out
        self.out = out.decode("utf-8", "surrogateescape")
        self.err = err.decode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        return f"exit code {self.code}, stdout {self.out[-2000:]!r}, stderr {self.err[-2000:]!r}"


class Holdfast:
    """Runs commands."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def argv(self, *words: str | bytes | Path) -> list[bytes]:
        """Return a command line."""
        head = [sys.executable, "-I", "-c", START, "--root", str(self.root)]
        return [os.fsencode(word) for word in (*head, *words)]

    def __call__(self, *words: str | bytes | Path, stdin: bytes = b"", **more: Any) -> Result:  # noqa: ANN401
        """Run a command to its end."""
        done = subprocess.run(
            self.argv(*words), input=stdin, capture_output=True, timeout=DEADLINE_S, check=False, **more
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str | bytes | Path, stdin: bytes = b"") -> str:
        """Run a command that has to succeed; return its output without the last newline."""
        result = self(*words, stdin=stdin)
        assert 0 == result.code, result
        return result.out.removesuffix("\n")

    def begin(self, *words: str | bytes | Path, **more: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401
        """Start a command, with pipes."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen(self.argv(*words), **pipes)

    def on_terminal(self, *words: str | bytes | Path) -> Caller:
        """Start a command on a terminal of its own."""
        argv = self.argv(*words)

        def become() -> int:
            os.execv(argv[0], argv)  # noqa: S606  # as a shell does
            return 99

        return Caller(become, terminal=True)

    def state(self, reference: str) -> dict[str, Any]:
        """Return what inspect says of a container's state."""
        found: dict[str, Any] = json.loads(self.ok("inspect", reference))[0]["State"]
        return found

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + DEADLINE_S
        while not what():
            assert time.monotonic() < deadline, "it does not become so"
            time.sleep(0.02)

    def record_dir(self, reference: str) -> Path:
        """Return a container's directory."""
        return Path(json.loads(self.ok("inspect", reference))[0]["Bundle"])

    def left(self) -> list[str]:
        """Return the files that are left below the root, but those that always stay."""
        stay = {"lib", "lib/containers", "lib/names", "run", "run/containers", "run/exec", "run/runtime"}
        stay |= {"run/mappable.json", "run/swept"}
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*")}
        return sorted(path for path in found - stay if not path.startswith("run/runtime/@seccomp"))

    def tidy(self) -> None:
        """End and remove all containers, and reap what has become ours because the test is a subreaper."""
        self("rm", "-f", "-a")
        reap_all()


@pytest.fixture
def hf(tmp_path: Path, leftovers: None) -> Iterator[Holdfast]:  # noqa: ARG001  # it looks once this one is done
    """Give a front door with a root of its own; nothing may be left in the end."""
    opened = Holdfast(tmp_path / "hf")
    yield opened
    opened.tidy()
    left = opened.left()
    assert [] == left, left
