"""Where each front door begins: what must be so before anything else is imported, and how the process ends.

A start is measured in milliseconds, and most of them are Python's own. So nothing is collected (a
short command has no garbage to speak of, and looking for it took 7 ms), the command's own modules
are the only ones that are imported, and at the end the process is left at once, without taking
apart what the kernel takes apart anyway (21 ms).

Sources: the measurements in docs/design.md; standard streams(3) on closed standard descriptors.
"""

from __future__ import annotations

import gc

gc.disable()

import os  # noqa: E402  # the collector is off before the first import of weight
import sys  # noqa: E402
from typing import NoReturn  # noqa: E402

_FAILED = 125
_UMASK = 0o022


def holdfast() -> NoReturn:
    """Run `holdfast`."""
    _settle()
    from holdfast.shim.cli.holdfast.main import main

    _leave(main(sys.argv[1:]))


def holdfast_runtime() -> NoReturn:
    """Run `holdfast-runtime`."""
    _settle()
    from holdfast.shim.cli.runtime.main import main

    _leave(main(sys.argv[1:]))


def _settle() -> None:
    """Be the same process whoever calls: what is made gets the mode that it is made with."""
    os.umask(_UMASK)
    _occupy_standard_descriptors()


def _occupy_standard_descriptors() -> None:
    """Make sure that 0, 1 and 2 are open: else the next file to be opened would become somebody's stdin."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= 2:  # noqa: PLR2004  # stderr
        os.set_inheritable(fd, True)  # noqa: FBT003  # its only parameter
        fd = os.open(os.devnull, os.O_RDWR)
    os.close(fd)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:  # it was closed when the interpreter started
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _leave(code: int) -> NoReturn:
    """End the process with an exit code, once what was printed is out."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads it any more
            code = code or _FAILED
    os._exit(code)
