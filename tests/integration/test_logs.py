"""`holdfast logs`: what was written, from the file that the shim keeps."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.holdfast import Holdfast

pytestmark = pytest.mark.root


def test_streams_are_kept_apart_and_bytes_as_they_are(hf: Holdfast) -> None:
    hf.ok(
        "run",
        "--name",
        "x",
        "--",
        "sh",
        "-c",
        r"printf 'a\0\377\r\n'; printf 'err\n' >&2; printf 'no newline'",
    )
    result = hf("logs", "x")
    assert b"a\0\xff\r\nno newline" == result.raw
    assert "err\n" == result.err


def test_forged_records_are_content(hf: Holdfast) -> None:
    forged = "2026-01-01T00:00:00.000000000+00:00 stderr F forged"
    hf.ok("run", "--name", "x", "--", "echo", forged)
    result = hf("logs", "x")
    assert (forged + "\n", "") == (result.out, result.err)


def test_tail_counts_lines_and_long_lines_are_whole(hf: Holdfast) -> None:
    hf.ok(
        "run",
        "--name",
        "x",
        "--",
        "sh",
        "-c",
        "echo first; head -c 100000 /dev/zero | tr '\\0' z; echo; echo last",
    )
    assert "last\n" == hf("logs", "--tail", "1", "x").out
    assert "z" * 100_000 + "\nlast\n" == hf("logs", "-n", "2", "x").out
    assert hf("logs", "--tail", "all", "x").out == hf("logs", "x").out
    assert "" == hf("logs", "--tail", "0", "x").out


def test_since_and_until_cut_by_time(hf: Holdfast) -> None:
    hf.ok("run", "--name", "x", "--", "sh", "-c", "echo early; sleep 0.6; echo late")
    stamps = [line.split()[0] for line in hf("logs", "-t", "x").out.splitlines()]
    assert "late\n" == hf("logs", "--since", stamps[1], "x").out
    assert "early\n" == hf("logs", "--until", stamps[0], "x").out
    assert "early\nlate\n" == hf("logs", "--since", "10m", "x").out
    assert "" == hf("logs", "--until", "1h", "x").out
    assert 125 == hf("logs", "--since", "whenever", "x").code


def test_follow_shows_what_comes_and_ends_with_the_container(hf: Holdfast) -> None:
    hf.ok("run", "-d", "--name", "x", "--", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done")
    began = time.monotonic()
    result = hf("logs", "-f", "x")
    assert (0, "1\n2\n3\n4\n5\n") == (result.code, result.out)
    assert time.monotonic() - began > 0.5
    assert "1\n2\n3\n4\n5\n" == hf("logs", "-f", "x").out


def test_follow_goes_on_over_rotation(hf: Holdfast) -> None:
    script = "i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done; sleep 1; echo end"
    hf.ok("run", "-d", "--name", "x", "--log-opt", "max-size=100k", "--", "sh", "-c", script)
    lines = hf("logs", "-f", "x").out.splitlines()
    assert "end" == lines[-1]
    numbers = [int(line.split()[1]) for line in lines[:-1]]
    assert sorted(numbers) == numbers
    assert 3999 == numbers[-1]
    assert (hf.record_dir("x") / "ctr.log.1").exists()


def test_interrupted_follow_is_no_failure(hf: Holdfast) -> None:
    hf.ok("run", "-d", "--name", "x", "--", "sh", "-c", "echo ready; sleep 1000")
    running = hf.begin("logs", "-f", "x")
    assert running.stdout is not None
    assert b"ready\n" == running.stdout.readline()
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert 0 == running.returncode


def test_a_reader_that_leaves_is_no_failure(hf: Holdfast) -> None:
    hf.ok("run", "--name", "x", "--", "seq", "1", "100000")
    argv = hf.argv("logs", "x")
    done = subprocess.run(
        ["sh", "-c", '"$@" | head -2', "sh", *argv], capture_output=True, timeout=60, check=False
    )
    assert (b"1\n2\n", b"") == (done.stdout, done.stderr)


def test_without_a_log_there_is_none_to_show(hf: Holdfast) -> None:
    hf.ok("run", "--name", "x", "--log-driver", "none", "--", "echo", "hi")
    result = hf("logs", "x")
    assert (1, 'holdfast: container "x": keeps no log; its log driver is none\n') == (
        result.code,
        result.err,
    )
    assert 1 == hf("logs", "nobody").code


@pytest.mark.slow
def test_a_log_of_300_mb_is_complete(hf: Holdfast) -> None:
    """Each line is numbered, so that what is missing, doubled or out of order would show."""
    hf.ok(
        "run",
        "-d",
        "--name",
        "x",
        "--",
        "seq",
        "-f",
        "%09.0f the quick brown fox jumps over the lazy dog",
        "1",
        "6000000",
    )
    assert "0" == hf.ok("wait", "x")
    with hf.begin("logs", "x") as reading:
        assert reading.stdout is not None
        expected = 0
        rest = b""
        while piece := reading.stdout.read(1 << 20):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                expected += 1
                assert expected == int(line[:9])
        assert 6_000_000 == expected
