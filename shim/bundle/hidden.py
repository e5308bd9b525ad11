"""Which files of the host not everybody may read, where the kernel cannot hide them by itself.

Every file that is going to be mounted into the container is looked at, each time: a list from
yesterday would not hold what was installed this morning. It is a matter of some 5 µs a file.

Source: path_resolution(7) on which permission bits count for whom.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def unreadable_paths(tops: Iterable[str]) -> list[str]:
    """Return what not everybody may read below some directories; a directory stands for all in it."""
    return sorted(path for top in tops for path in _below(top))


def _below(top: str) -> Iterator[str]:
    waiting = [top]
    while waiting:
        directory = waiting.pop()
        try:
            entries = os.scandir(directory)
        except OSError:  # gone since it was seen
            continue
        with entries:
            for entry in entries:
                if entry.is_symlink():
                    continue
                try:
                    mode = entry.stat(follow_symlinks=False).st_mode
                except OSError:
                    continue
                if not mode & stat.S_IROTH or (stat.S_ISDIR(mode) and not mode & stat.S_IXOTH):
                    yield entry.path
                elif stat.S_ISDIR(mode):
                    waiting.append(entry.path)
