"""The default rootfs: the host's own system below a throwaway layer, so that one needs no image to begin.

A container needs a file tree, and there is one at hand that works for sure: the host's. But it must
see nothing of the host that is private, and change nothing. So the tree is a new directory of the
container's own, in which everything can be written and which goes when the container goes; the
programs and libraries are mounted into it, read-only and without set-user-id; /etc is made anew
(etc.py); and /home, /root, /var, /tmp, /run are empty.

Below /usr, too, there can be files that not everybody may read. Root inside would read them, since
it is the host's root (without a user namespace) and CAP_DAC_OVERRIDE passes over modes. There are
two cures:

- the mount is *idmapped* with a map that holds no owner that exists: to the kernel all files below
  are then somebody's who does not exist in the container, so root inside is "others" for each of
  them, and the capability does not count;
- where the filesystem cannot be idmapped, such files are searched for, and hidden by the runtime's
  masked paths.

Sources: mount_setattr(2) "ID-mapped mounts"; capabilities(7) CAP_DAC_OVERRIDE, user_namespaces(7)
"Capabilities"; hier(7); os-release and the merged /usr: file-hierarchy(7).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from holdfast.protocol.oci.config import IDMapping, Mount
from holdfast.shim.bundle.etc import Own, make_directory, make_etc
from holdfast.shim.store.places import OPEN_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

NOBODY = (IDMapping(container_id=2**32 - 2, host_id=2**32 - 2, size=1),)
"""The map of an idmapped mount in which no file has an owner: the one id that it holds, no file can have."""

_SYSTEM = "/usr"
_TOP_LEVEL = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32", "libn32")
"""What belongs to /usr, and is a link into it wherever the two have been merged."""

_MODES = {
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "media": 0o755,
    "mnt": 0o755,
    "opt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "srv": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr": 0o755,
    "var": 0o755,
    "var/cache": 0o755,
    "var/lib": 0o755,
    "var/log": 0o755,
    "var/spool": 0o755,
    "var/tmp": 0o1777,
}
_LINKS = {"var/run": "../run", "var/lock": "../run/lock"}


def host_mounts(paths: Iterable[str], mappable: Container[str]) -> tuple[Mount, ...]:
    """Return the mounts of the host's own paths, for config.json.

    mappable: the paths in which the kernel hides what not everybody may read, by an idmapped mount.
    """
    options = ("rbind", "rro", "rnosuid", "rnodev", "rprivate")
    return tuple(
        Mount(
            destination=path,
            source=path,
            type="bind",
            options=(*options, "ridmap") if path in mappable else options,
            uid_mappings=NOBODY if path in mappable else (),
            gid_mappings=NOBODY if path in mappable else (),
        )
        for path in paths
    )


def make_rootfs(parent_fd: int, name: bytes, own: Own) -> tuple[str, ...]:
    """Make the container's own part of the tree. Returns the host's paths that are to be mounted into it.

    parent_fd: an open directory that is ours. name: of the directory to make there. Raises OSError.
    """
    make_directory(parent_fd, os.fsdecode(name), 0o755)
    top_fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
    try:
        for path, mode in _MODES.items():
            make_directory(top_fd, path, mode)
        for path, target in _LINKS.items():
            os.symlink(target, path, dir_fd=top_fd)
        system = [_SYSTEM, *_link_or_make(top_fd, _TOP_LEVEL)]
        return (*system, *_make_etc(top_fd, own))
    finally:
        os.close(top_fd)


def _link_or_make(top_fd: int, names: Iterable[str]) -> list[str]:
    """Copy the host's top-level links; for a directory make one. Returns the paths of the directories."""
    found = []
    for name in names:
        path = "/" + name
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(path), name, dir_fd=top_fd)
        elif stat.S_ISDIR(status.st_mode):
            make_directory(top_fd, name, 0o755)
            found.append(path)
    return found


def _make_etc(top_fd: int, own: Own) -> list[str]:
    host_fd = os.open("/etc", OPEN_DIRECTORY)
    etc_fd = os.open("etc", OPEN_DIRECTORY, dir_fd=top_fd)
    try:
        return ["/etc/" + path for path in make_etc(host_fd, etc_fd, own)]
    finally:
        os.close(etc_fd)
        os.close(host_fd)
