"""The exit record: how a container ended, written once, when all of its output is in the log.

Whoever sees the file sees a whole one: it is written under another name, brought to disk, and renamed.

Sources: rename(2), fsync(2).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from holdfast.protocol import control

EXIT_FILE = "exit.json"
_TEMPORARY = "exit.json.new"
_MODE = 0o600


def record(directory: bytes, exited: control.Exited) -> None:
    """Write exit.json in a directory. Raises OSError."""
    directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        _unlink(_TEMPORARY, directory_fd)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(_TEMPORARY, flags, _MODE, dir_fd=directory_fd)
        try:
            os.write(fd, msgspec.json.encode(exited) + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(_TEMPORARY, EXIT_FILE, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        os.fsync(directory_fd)
    finally:
        os.close(directory_fd)


def forget(directory: bytes) -> None:
    """Remove the record of an earlier run. Raises OSError."""
    directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        _unlink(EXIT_FILE, directory_fd)
    finally:
        os.close(directory_fd)


def _unlink(name: str, directory_fd: int) -> None:
    try:
        os.unlink(name, dir_fd=directory_fd)
    except FileNotFoundError:
        return
