"""Wait statuses, as the kernel builds them, become exit codes as shells tell them."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.protocol import exitcode


@given(st.integers(0, 255))
def test_exit_code_is_what_the_process_gave(code: int) -> None:
    assert (code, None) == exitcode.ending(code << 8)


@given(st.integers(1, 64), st.booleans())
def test_signal_is_told_beside_the_code_with_or_without_a_core(number: int, core: bool) -> None:
    assert (128 + number, number) == exitcode.ending(number | (0x80 if core else 0))


@given(st.integers(1, 64))
def test_process_that_only_stopped_has_not_ended(number: int) -> None:
    with pytest.raises(ValueError, match="stopped"):
        exitcode.ending(number << 8 | 0x7F)


@given(st.integers(0, 0xFFFF))
def test_every_status_is_an_ending_or_refused(status: int) -> None:
    try:
        ending = exitcode.ending(status)
    except ValueError:
        assert not os.WIFEXITED(status)
        assert not os.WIFSIGNALED(status)
    else:
        assert 0 <= ending.exit_code <= 255
        assert (ending.signal is not None) == os.WIFSIGNALED(status)


@pytest.mark.parametrize(("code", "number"), [(0, None), (7, None), (255, None), (None, signal.SIGKILL)])
def test_kernel_agrees(code: int | None, number: int | None) -> None:
    pid = os.fork()
    if pid == 0:
        if number is not None:
            os.kill(os.getpid(), number)
        os._exit(code or 0)
    expected = (code, None) if number is None else (128 + number, number)
    assert expected == exitcode.ending(os.waitpid(pid, 0)[1])
