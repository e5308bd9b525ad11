"""Where Holdfast keeps what it keeps, and the proof that nobody else made those directories.

    LIB/lock                      held while the set of containers changes
    LIB/containers/ID/            a container: config.json, rootfs/, container.json, ctr.log, exit.json
    LIB/names/NAME                a symbolic link to ../containers/ID: whole as soon as it exists
    RUN/containers/ID/            live state while a shim is there: its sockets
    RUN/exec/SESSION/             the same for the shim of an exec
    RUN/runtime/                  the runtime's own state directories

LIB is /var/lib/holdfast, RUN is /run/holdfast. Whoever could make one of these directories before
us, or write into it, could hand us a container of his own, so each is opened without following a
link and has to be ours alone.

Sources: hier(7); open(2) O_NOFOLLOW; security rule "every file of ours is made in a verified directory".
"""

from __future__ import annotations

import errno
import os
import stat

import msgspec

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.sys.call import shown

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_PRIVATE = 0o700
_OTHERS = 0o077


class Places(msgspec.Struct, frozen=True):
    """The two directories below which everything is."""

    lib: bytes = b"/var/lib/holdfast"
    run: bytes = b"/run/holdfast"

    @property
    def runtime(self) -> bytes:
        """The runtime's root: the folder of its state directories."""
        return self.run + b"/runtime"

    @property
    def swept(self) -> bytes:
        """A file that is there once orphans have been looked for; a boot takes it away."""
        return self.run + b"/swept"

    def record_dir(self, container_id: str) -> bytes:
        """Where bundle, record and log of a container are."""
        return b"%s/containers/%s" % (self.lib, container_id.encode())

    def run_dir(self, container_id: str) -> bytes:
        """Where a container's shim has its sockets."""
        return b"%s/containers/%s" % (self.run, container_id.encode())


def places_below(root: bytes) -> Places:
    """Return the places for `--root DIR`. Raises HoldfastError if the directory is somebody else's."""
    root = os.path.abspath(root)
    os.close(open_private(root))
    return Places(lib=root + b"/lib", run=root + b"/run")


def open_private(path: bytes, parent_fd: int | None = None) -> int:
    """Open a directory of ours, making it if it is not there. Returns its descriptor.

    Raises HoldfastError if it is a link, or somebody else's, or open to others; OSError if it
    cannot be made.
    """
    try:
        os.mkdir(path, _PRIVATE, dir_fd=parent_fd)
    except FileExistsError:
        pass
    except OSError as error:
        raise OSError(error.errno, f"make directory {shown(path)}: {error.strerror}") from None
    try:
        fd = os.open(path, OPEN_DIRECTORY, dir_fd=parent_fd)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise HoldfastError(
                f"directory {shown(path)}: is a link or a file; allowed: a directory"
            ) from None
        raise OSError(error.errno, f"open directory {shown(path)}: {error.strerror}") from None
    try:
        check_private(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def check_private(fd: int, path: bytes) -> None:
    """Make sure that an open directory is ours and closed to all others. Raises HoldfastError."""
    status = os.fstat(fd)
    if status.st_uid != os.geteuid():
        raise HoldfastError(
            f"directory {shown(path)}: belongs to uid {status.st_uid}; allowed: {os.geteuid()}"
        )
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise HoldfastError(f"directory {shown(path)}: has mode {mode:04o}; allowed: 0700")
