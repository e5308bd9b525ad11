"""Namespaces given by path.

Opened while their paths still mean something, checked to be what they are said to be.

Sources: setns(2), ioctl_nsfs(2), namespaces(7).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.protocol.errors import ConfigError, Problem
from holdfast.runtime.sys import files, process
from holdfast.runtime.sys.call import CallFailed, Passed
from holdfast.runtime.sys.executor import close_quietly
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.runtime.namespaces.plan import Join
    from holdfast.runtime.sys.call import Executor
    from holdfast.runtime.sys.executor import Here

_NS_GET_NSTYPE = 0xB703


def open_all(x: Here, joins: Sequence[Join]) -> list[int]:
    """Open each namespace and verify its type. Returns a descriptor for each, the caller's to close.

    Raises ConfigError for what is not a namespace of that type, CallFailed for what cannot be opened.
    """
    fds: list[int] = []
    try:
        for join in joins:
            x.subject = f'{join.field}: open "{os.fsdecode(join.path)}"'
            # Not blocking: a fifo planted at the path must not hold the runtime up.
            fds.append(x.do(files.openat(AT_FDCWD, join.path, os.O_RDONLY | os.O_NONBLOCK)))
            _check_type(x, join, fds[-1])
    except BaseException:
        close_quietly(*fds)
        raise
    x.subject = ""
    return fds


def _check_type(x: Here, join: Join, fd: int) -> None:
    if _type_of(x, fd) != join.flag:
        allowed = f"a path of a {join.type} namespace"
        raise ConfigError([Problem(join.field, os.fsdecode(join.path), allowed)])


def _type_of(x: Here, fd: int) -> int:
    """Return the CLONE_ flag of the namespace, 0 for any other file."""
    try:
        return x.do(files.ioctl(fd, _NS_GET_NSTYPE))
    except CallFailed:
        return 0


def join_all(x: Executor, joins: Sequence[Join], fds: Sequence[int]) -> None:
    """Have the process that carries this out, or its next child for a pid namespace, join them."""
    for join, fd in zip(joins, fds, strict=True):
        x.subject = f'{join.field}: join "{os.fsdecode(join.path)}"'
        x.do(process.setns(Passed(fd), join.flag))
    x.subject = ""
