"""Copies a directory into a tmpfs before the tmpfs hides it (option `tmpcopyup`).

What is copied belongs to the image and may be changed by somebody while it is read. So everything is done by
descriptors, one name at a time, no link is followed, and what is neither a directory, a file nor a link is
left out, as are set-user-ID and set-group-ID bits.

Source: runtime-spec, config.md "Linux mount options", tmpcopyup.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import Out, number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.runtime.sys.call import Executor, Value

_LISTING = 1 << 16
_LINK_MAX = 4096
_PERMISSIONS = 0o1777
_PER_BATCH = 50
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_OPEN_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_OPEN_COPY = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class _Pair(NamedTuple):
    """A directory and its copy."""

    source: Value
    copy: Value


def copy(x: Executor, source: Value, target: Value) -> None:
    """Copy what is in the directory `source` into the directory `target`; both stay open.

    Raises CallFailed, for instance when the tmpfs is full.
    """
    top = files.new_stat()
    x.do(files.statx(source, b"", top))
    waiting = [_open_pair(x, source, target, b".")]
    x.flush()
    _copy_owner(x, waiting[0], b".", files.Stat.of(top))
    while waiting:
        pair = waiting.pop()
        names = _list(x, pair.source)
        for begin in range(0, len(names), _PER_BATCH):
            waiting += _copy_some(x, pair, names[begin : begin + _PER_BATCH])
        x.do(files.close(pair.source))
        x.do(files.close(pair.copy))


def _open_pair(x: Executor, source: Value, target: Value, name: bytes) -> _Pair:
    return _Pair(
        x.do(files.openat(source, name, _OPEN_DIRECTORY)),
        x.do(files.openat(target, name, _OPEN_DIRECTORY)),
    )


def _list(x: Executor, directory: Value) -> list[bytes]:
    names: list[bytes] = []
    while True:
        listing = Out(_LISTING)
        size = x.do(files.getdents64(directory, listing))
        x.flush()
        if not number_of(size):
            return names
        names += files.names_in(listing.data[: number_of(size)])


def _copy_some(x: Executor, pair: _Pair, names: Sequence[bytes]) -> list[_Pair]:
    """Copy some entries of a directory. Returns the directories among them, still empty as copies."""
    statuses = [files.new_stat() for _ in names]
    for name, out in zip(names, statuses, strict=True):
        x.do(files.statx(pair.source, name, out))
    x.flush()
    found = [(name, files.Stat.of(out)) for name, out in zip(names, statuses, strict=True)]
    directories = []
    for name, status in found:
        if stat.S_ISDIR(status.mode):
            x.do(files.mkdirat(pair.copy, name, status.mode & _PERMISSIONS))
            directories.append(_open_pair(x, pair.source, pair.copy, name))
            _copy_owner(x, pair, name, status)
        elif stat.S_ISREG(status.mode):
            _copy_file(x, pair, name, status)
            _copy_owner(x, pair, name, status)
    _copy_links(x, pair, [(name, status) for name, status in found if stat.S_ISLNK(status.mode)])
    return directories


def _copy_file(x: Executor, pair: _Pair, name: bytes, status: files.Stat) -> None:
    source = x.do(files.openat(pair.source, name, _OPEN_SOURCE))
    target = x.do(files.openat(pair.copy, name, _OPEN_COPY, status.mode & _PERMISSIONS))
    left = status.size
    while left:
        count = x.do(files.sendfile(target, source, left))
        x.flush()
        if not number_of(count):  # it got shorter meanwhile
            break
        left -= number_of(count)
    x.do(files.close(source))
    x.do(files.close(target))


def _copy_links(x: Executor, pair: _Pair, links: Sequence[tuple[bytes, files.Stat]]) -> None:
    texts = [Out(_LINK_MAX) for _ in links]
    sizes = [
        x.do(files.readlinkat(pair.source, name, text)) for (name, _), text in zip(links, texts, strict=True)
    ]
    x.flush()
    for (name, status), text, size in zip(links, texts, sizes, strict=True):
        x.do(files.symlinkat(text.data[: number_of(size)], pair.copy, name))
        _copy_owner(x, pair, name, status)


def _copy_owner(x: Executor, pair: _Pair, name: bytes, status: files.Stat) -> None:
    if status.uid or status.gid:
        # EINVAL: an owner that the user namespace has no id for; the copy then belongs to its root.
        x.do(files.fchownat(pair.copy, name, status.uid, status.gid).accepting(errno.EINVAL))
