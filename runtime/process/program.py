"""Finding the user's program, while that can still be told as an error of create.

The kernel is asked, as the user and inside the container, about each candidate of the search path; nothing
is resolved out here.

Sources: runtime-spec, config.md "Process"; execvp(3p) for the search; access(2).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from holdfast.protocol import errors
from holdfast.runtime.process import user
from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import ACCEPT_ANY, Out, number_of, shown
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.runtime.process.user import Identity
    from holdfast.runtime.sys.call import Executor, Value

_DEFAULT_PATH = b"/bin:/usr/bin"
_PATH_MAX = 4096


class _Look(NamedTuple):
    """What the kernel is asked about a candidate; the answers are there after the next flush."""

    path: bytes
    status: Value
    access: Value
    stat: Out


def find(
    x: Executor, identity: Identity, held: int, *, name: bytes, environment: Sequence[bytes], cwd: bytes
) -> bytes:
    """Change to the working directory, look the program up as the user, and return its path for execve.

    held: the mask of capabilities that the process has until it becomes the user for good.
    Raises HoldfastError: the working directory is outside of the root or closed to the user, there is no
    such program, or the user may not execute it.
    """
    x.subject = f'process.cwd: change to "{os.fsdecode(cwd)}"'
    as_root = x.do(files.chdir(cwd).accepting(errno.EACCES))
    user.borrow(x, identity, held)
    as_user = x.do(files.chdir(cwd).accepting(ACCEPT_ANY))
    where = Out(_PATH_MAX)
    x.do(files.getcwd(where))
    x.subject = ""
    looks = [_look(x, candidate) for candidate in _candidates(name, environment)]
    user.give_back(x, held)
    x.flush()
    if number_of(as_root) < 0 and number_of(as_user) < 0:
        raise errors.HoldfastError(f"process.cwd: {shown(cwd)}: {os.strerror(-number_of(as_user))}")
    if not where.data.startswith(
        b"/"
    ):  # the kernel says "(unreachable)": a directory of the host (CVE-2024-21626)
        raise errors.HoldfastError(f"process.cwd: {shown(cwd)} is outside of the container's root")
    return _choose(looks, name)


def _candidates(name: bytes, environment: Sequence[bytes]) -> list[bytes]:
    """Return where the program may be, in the order of the search."""
    if b"/" in name:
        return [name]
    path = _DEFAULT_PATH
    for entry in environment:  # of duplicates the last one counts
        if entry.startswith(b"PATH="):
            path = entry.removeprefix(b"PATH=")
    return [(directory or b".") + b"/" + name for directory in path.split(b":")] if name else []


def _look(x: Executor, path: bytes) -> _Look:
    out = files.new_stat()
    status = x.do(files.statx(AT_FDCWD, path, out, flags=0).accepting(ACCEPT_ANY))
    access = x.do(files.faccessat2(AT_FDCWD, path, os.X_OK).accepting(ACCEPT_ANY))
    return _Look(path, status, access, out)


def _choose(looks: Sequence[_Look], name: bytes) -> bytes:
    """Return the first candidate that can be executed.

    If there is none, say what is wrong with the best one.
    """
    refused = False
    for look in looks:
        if number_of(look.status) == 0:
            if stat.S_ISREG(files.Stat.of(look.stat).mode) and number_of(look.access) == 0:
                return look.path
            refused = True
        refused |= number_of(look.status) == -errno.EACCES
    if b"/" not in name:
        raise errors.command_not_found(name)
    if refused:
        raise errors.command_not_executable(name)
    raise errors.command_path_missing(name)
