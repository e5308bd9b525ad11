"""The /etc of a container that runs on the host's own files: made new, of what is known to be harmless.

The host's /etc holds passwords, keys and the configuration of everything, so it is never mounted.
What programs need of it to work at all (the dynamic linker's cache, names of users, of services, of
the time zone) is copied, file by file, and only what everybody on the host may read; what makes
this host itself (its name, its id, its resolvers) is written anew.

Each file is opened before it is looked at, without following a link and without waiting for a
fifo's other end, and what is open is then checked; so it does not matter what the name leads to a
moment later.

Sources: hier(7), nsswitch.conf(5), ld.so(8), machine-id(5), resolv.conf(5), hosts(5).
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

FILES = (
    # names of users, groups, services, protocols
    "passwd", "group", "nsswitch.conf", "services", "protocols", "rpc", "networks", "host.conf", "gai.conf",
    # the dynamic linker
    "ld.so.conf", "ld.so.cache",
    # which system this is
    "os-release", "debian_version", "lsb-release", "redhat-release", "system-release", "fedora-release",
    # time and language
    "localtime", "timezone", "locale.alias", "locale.conf",
    # shells and what they read
    "profile", "bash.bashrc", "bashrc", "inputrc", "shells", "xattr.conf",
)  # fmt: skip
"""Files and links that are copied if they are there."""

DIRECTORIES = ("ld.so.conf.d", "profile.d")
"""Directories of which the files are copied."""

MOUNTED = ("alternatives", "ssl/certs", "pki/ca-trust", "pki/tls/certs", "crypto-policies", "terminfo")
"""Directories that are mounted, as /usr is: they are large, or full of links, and public."""

_FILE_MAX = 2 << 20
_DIRECTORY_MAX = 512
RESOLVERS = "/etc/resolv.conf"
_RESOLVERS_MAX = 1 << 16
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_LOCALHOST = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


class Own(NamedTuple):
    """What is the container's own in its /etc."""

    hostname: str
    machine_id: str
    host_network: bool
    """Whether it uses the host's network, and so the host's resolvers and names."""


def make_etc(host_fd: int, etc_fd: int, own: Own) -> list[str]:
    """Fill a new /etc from the host's. Both are open directories.

    Returns the directories of `MOUNTED` that the host has, for each of which there is now an empty one.
    Raises OSError if something can't be written; what can't be read is left out.
    """
    for name in FILES:
        _copy(host_fd, etc_fd, name)
    for name in DIRECTORIES:
        _copy_files(host_fd, etc_fd, name)
    _write(etc_fd, "hostname", f"{own.hostname}\n".encode())
    _write(etc_fd, "machine-id", f"{own.machine_id}\n".encode())
    _write(etc_fd, "hosts", _hosts(host_fd, own))
    _write(etc_fd, "resolv.conf", _resolvers() if own.host_network else b"")
    os.symlink("../proc/self/mounts", "mtab", dir_fd=etc_fd)
    return [path for path in MOUNTED if _make_mount_point(host_fd, etc_fd, path)]


def make_directory(parent_fd: int, path: str, mode: int) -> None:
    """Make a directory with just this mode, whatever the umask is. Raises OSError."""
    os.mkdir(path, 0o700, dir_fd=parent_fd)
    os.chmod(path, mode, dir_fd=parent_fd)


def _copy_files(host_fd: int, etc_fd: int, name: str) -> None:
    try:
        source_fd = os.open(name, _OPEN_DIRECTORY, dir_fd=host_fd)
    except OSError:
        return
    try:
        make_directory(etc_fd, name, 0o755)
        target_fd = os.open(name, _OPEN_DIRECTORY, dir_fd=etc_fd)
        try:
            for entry in os.listdir(source_fd)[:_DIRECTORY_MAX]:
                _copy(source_fd, target_fd, entry)
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)


def _copy(source_fd: int, target_fd: int, name: str) -> None:
    """Copy a file that everybody may read, or a link to what is inside as well."""
    try:
        fd = os.open(name, _OPEN_FILE, dir_fd=source_fd)
    except OSError:
        _copy_link(source_fd, target_fd, name)
        return
    try:
        content = _public_content(fd, _FILE_MAX)
    finally:
        os.close(fd)
    if content is not None:
        _write(target_fd, name, content)


def _copy_link(source_fd: int, target_fd: int, name: str) -> None:
    try:
        target = os.readlink(name, dir_fd=source_fd)
    except OSError:  # nothing there, or not to be opened: there is nothing to copy
        return
    if target.startswith(("/usr/", "../usr/", "../../usr/", "/etc/alternatives/")):
        os.symlink(target, name, dir_fd=target_fd)


def _public_content(fd: int, limit: int) -> bytes | None:
    """Return the content of an open file; None unless it is a regular one, public and not too large."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IROTH or status.st_size > limit:
        return None
    content = b""
    while piece := os.read(fd, limit + 1 - len(content)):
        content += piece
    return content if len(content) <= limit else None


def _write(directory_fd: int, name: str, content: bytes) -> None:
    fd = os.open(name, _NEW_FILE, 0o600, dir_fd=directory_fd)
    try:
        os.fchmod(fd, 0o644)  # whatever the umask is
        while content:
            content = content[os.write(fd, content) :]
    finally:
        os.close(fd)


def _hosts(host_fd: int, own: Own) -> bytes:
    ours = f"{_LOCALHOST}127.0.1.1\t{own.hostname}\n".encode()
    if not own.host_network:
        return ours
    try:
        fd = os.open("hosts", _OPEN_FILE, dir_fd=host_fd)
    except OSError:
        return ours
    try:
        theirs = _public_content(fd, _FILE_MAX)
    finally:
        os.close(fd)
    return ours if theirs is None else theirs.rstrip(b"\n") + f"\n127.0.1.1\t{own.hostname}\n".encode()


def _resolvers() -> bytes:
    """Return the host's resolv.conf, which is often a link to one that a daemon writes."""
    try:
        fd = os.open(RESOLVERS, _OPEN_FILE & ~os.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        return _public_content(fd, _RESOLVERS_MAX) or b""
    finally:
        os.close(fd)


def _make_mount_point(host_fd: int, etc_fd: int, path: str) -> bool:
    """Make an empty directory where the host has one, below directories that are made as well."""
    try:
        status = os.stat(path, dir_fd=host_fd, follow_symlinks=False)
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    names = path.split("/")
    for depth in range(1, len(names) + 1):
        try:
            make_directory(etc_fd, "/".join(names[:depth]), 0o755)
        except FileExistsError:
            continue
    return True
