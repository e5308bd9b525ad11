"""Tells the steps of a setup while they happen: names, system calls, times, sources."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.runtime.step import Step
    from holdfast.runtime.sys.call import Call

_NAME_WIDTH = 56


class Explain:
    """Writes each step to a descriptor once it is done.

    What it was, who did it, how long it took, which calls.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._count = 0
        self._step: Step | None = None
        self._calls: list[str] = []
        self._began_ns = 0

    def begin(self, step: Step) -> None:
        """Note that a step begins."""
        self._step = step
        self._count += 1
        self._calls = []
        self._began_ns = time.monotonic_ns()

    def observe(self, call: Call, result: int | None) -> None:
        """Note a call that was carried out; None: it is yet to be, when the container is started."""
        self._calls.append(f"{call.name} {call.about}".rstrip() + _outcome(call, result))

    def end(self) -> None:
        """Write the step down."""
        if self._step is None:
            return
        step, took_us = self._step, (time.monotonic_ns() - self._began_ns) // 1000
        lines = [
            f"{self._count:2} {step.actor:<6} {step.name:<{_NAME_WIDTH}} {took_us:>7} µs",
            f"          {step.why}",
            f"          source: {step.source}",
            *(f"          | {call}" for call in self._calls),
        ]
        os.write(self._fd, "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
        self._step = None


def _outcome(call: Call, result: int | None) -> str:
    if result is None:
        return "   (at start)"
    if result < 0:
        accepted = " (may happen)" if call.accept else ""
        return f" = {errno.errorcode.get(-result, -result)}{accepted}"
    return f" = {result}"
