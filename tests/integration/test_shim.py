"""What only shim and runtime together can show: signals to the shim, memory, the program's own streams."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.shim.link import open_link

if TYPE_CHECKING:
    from support.holdfast import Holdfast

pytestmark = pytest.mark.root


def shim_of(hf: Holdfast, name: str) -> int:
    """Return the pid of a container's shim."""
    link = open_link(os.fsencode(hf.root / "run/containers" / hf.record_dir(name).name))
    assert link is not None
    with link:
        text = Path(f"/proc/self/fdinfo/{link.pidfd}").read_text()
    return int(text.partition("Pid:")[2].split()[0])


def test_signal_to_the_shim_reaches_init_and_its_end_is_recorded(hf: Holdfast) -> None:
    program = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    hf.ok("run", "-d", "--name", "c", "--", "sh", "-c", program)
    hf.wait_for(lambda: hf.ok("logs", "c") == "ready")
    os.kill(shim_of(hf, "c"), signal.SIGTERM)
    assert "5" == hf.ok("wait", "c")
    assert "ready\ncaught" == hf.ok("logs", "c")


def test_shim_is_idle_while_its_container_is(hf: Holdfast) -> None:
    hf.ok("run", "-d", "--name", "c", "--", "sleep", "1000")
    schedstat = Path(f"/proc/{shim_of(hf, 'c')}/schedstat")

    def is_idle_for(seconds: float) -> bool:
        before = schedstat.read_text().split()[0]
        time.sleep(seconds)  # what is waited for is that nothing happens
        return before == schedstat.read_text().split()[0]

    hf.wait_for(lambda: is_idle_for(0.5))
    assert is_idle_for(2)


def test_end_for_lack_of_memory_is_told(hf: Holdfast) -> None:
    result = hf("run", "--name", "c", "--memory", "32m", "--", "sh", "-c", "exec tail /dev/zero")
    assert 137 == result.code
    assert hf.state("c")["OOMKilled"] is True
    hf("run", "--name", "d", "--memory", "32m", "--", "sh", "-c", "kill -9 $$; sleep 10")
    assert hf.state("d")["OOMKilled"] is False


def test_program_that_has_dropped_its_rights_can_open_its_streams_by_name(hf: Holdfast) -> None:
    drop = "exec setpriv --reuid 4711 --regid 4711 --clear-groups sh -c"
    opened = "echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin"
    result = hf("run", "-i", "--rm", "--", "sh", "-c", f"{drop} '{opened}'", stdin=b"in\n")
    assert (0, "out\nin\n", "err\n") == (result.code, result.out, result.err)
