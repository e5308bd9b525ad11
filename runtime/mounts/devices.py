"""Device nodes: those that every container has, those that the configuration adds, and the links of /dev.

A node is made by mknod, with exactly the mode that is asked for, since the umask is empty meanwhile. Whether
what is there in the end is the node that was asked for is asked of the kernel: an image may have brought
something of that name along. In a user namespace the kernel makes no device nodes, so there the host's are
bound.

/dev may be a link in the image, to `/etc` or out of the root (CVE-2026-41579). It is opened once, inside the
root, and everything below is done by that descriptor, with calls that follow no link.

Sources: runtime-spec, config-linux.md "Default Devices", "Devices", "Dev symbolic links"; mknod(2), pts(4).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime.paths import components, in_order
from holdfast.runtime.sys import files, mount
from holdfast.runtime.sys.call import ACCEPT_ANY, Out, number_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.protocol.oci import config
    from holdfast.runtime.mounts.sources import Sources
    from holdfast.runtime.paths import Rootfs
    from holdfast.runtime.sys.call import Executor, Value

_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_KINDS = {stat.S_IFCHR: "character device", stat.S_IFBLK: "block device", stat.S_IFIFO: "fifo"}
_DEFAULT_MODE = 0o666
_PERMISSIONS = 0o777
_DEFAULTS = {
    b"/dev/null": (1, 3),
    b"/dev/zero": (1, 5),
    b"/dev/full": (1, 7),
    b"/dev/random": (1, 8),
    b"/dev/urandom": (1, 9),
    b"/dev/tty": (5, 0),
}
_LINKS = {
    b"fd": b"/proc/self/fd",
    b"stdin": b"/proc/self/fd/0",
    b"stdout": b"/proc/self/fd/1",
    b"stderr": b"/proc/self/fd/2",
}
_PTMX = b"pts/ptmx"
_KCORE = b"/proc/kcore"
_BELOW = files.RESOLVE_BENEATH | files.RESOLVE_NO_SYMLINKS


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A node."""

    field: str
    path: bytes
    type: int
    """S_IFCHR, S_IFBLK or S_IFIFO."""
    number: tuple[int, int] = (0, 0)
    """Major and minor."""
    mode: int = _DEFAULT_MODE
    uid: int = 0
    gid: int = 0

    def check(self, found: files.Stat) -> None:
        """Raise HoldfastError unless that is what this is."""
        if stat.S_IFMT(found.mode) != self.type or (self.type != stat.S_IFIFO and found.rdev != self.number):
            wanted = _KINDS[self.type]
            if self.type != stat.S_IFIFO:
                wanted += " {}:{}".format(*self.number)
            raise HoldfastError(f"{self.field}: {shown(self.path)} exists and is not the {wanted}")


class DevicesPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is made in /dev, and elsewhere."""

    nodes: tuple[Device, ...]
    bound: bool
    """Whether the host's nodes are bound instead of making new ones."""
    links: bool
    """Whether /dev gets its links; not if it is a bind mount, and then there are no nodes either."""

    def bound_nodes(self) -> list[Device]:
        """Return the nodes for which the host's are bound: never a fifo, which can always be made."""
        return [node for node in self.nodes if self.bound and node.type != stat.S_IFIFO]


def plan_devices(configured: Sequence[config.Device], *, bound: bool, dev_is_bind: bool) -> DevicesPlan:
    """Decide.

    bound: the kernel will make no nodes. dev_is_bind: /dev comes from the host, as it is.
    """
    if dev_is_bind:
        return DevicesPlan(nodes=(), bound=bound, links=False)
    nodes = [
        Device(field=f"default device {shown(path)}", path=path, type=stat.S_IFCHR, number=number)
        for path, number in _DEFAULTS.items()
    ]
    nodes += [_plan_device(f"linux.devices[{i}]", device) for i, device in enumerate(configured)]
    # A configured device takes the place of a default one of the same path.
    return DevicesPlan(nodes=tuple({node.path: node for node in nodes}.values()), bound=bound, links=True)


def _plan_device(field: str, device: config.Device) -> Device:
    return Device(
        field=field,
        path=b"/" + b"/".join(components(os.fsencode(device.path))),
        type=_TYPES[device.type],
        number=(0, 0) if device.type == "p" else (device.major or 0, device.minor or 0),
        mode=_DEFAULT_MODE if device.file_mode is None else device.file_mode & _PERMISSIONS,
        uid=device.uid or 0,
        gid=device.gid or 0,
    )


class _Made(NamedTuple):
    """A node that should be there now, with what the kernel says about it after the next flush."""

    device: Device
    directory: Value
    name: bytes
    status: Out


def make_devices(x: Executor, rootfs: Rootfs, plan: DevicesPlan, sources: Sources) -> None:
    """Make the nodes and the links.

    Needs: the mounts, since /dev is one of them; `sources` if the nodes are bound. Leaves the umask at 0.
    Raises CallFailed, HoldfastError for a file that is in the way.
    """
    if not plan.links:
        return
    x.do(files.umask(0))
    directories = _open_directories(x, rootfs, plan.nodes)
    made = [_make(x, directories, device, plan, sources) for device in plan.nodes]
    dev = directories[b"dev"]
    _make_links(x, dev)
    has_ptmx = _link_ptmx(x, dev)
    (kcore,) = rootfs.find_all([_KCORE])  # has all of the above carried out as well
    for node in made:
        node.device.check(files.Stat.of(node.status))
    _replace_ptmx(x, dev, has_ptmx)
    if kcore is not None:
        x.do(files.symlinkat(_KCORE, dev, b"core").accepting(errno.EEXIST))
        x.do(files.close(kcore.fd))
    if not plan.bound:  # an owner of the host's node is none of the container's business
        _set_owners(x, made)
    for directory in directories.values():
        x.do(files.close(directory))
    x.subject = ""


def _open_directories(x: Executor, rootfs: Rootfs, nodes: Iterable[Device]) -> dict[bytes, Value]:
    """Open the directories that nodes and links are made in; those that are missing are made."""
    opened: dict[bytes, Value] = {}

    def open_one(path: bytes) -> Value:
        x.subject = f"make the directory {shown(b'/' + path)}"
        opened[path] = rootfs.directory(path)
        return opened[path]

    paths = {b"dev": None} | {_split(device)[0]: None for device in nodes}
    in_order(x, [lambda path=path: open_one(path) for path in paths])  # type: ignore[misc]
    return opened


def _split(device: Device) -> tuple[bytes, bytes]:
    directory, _, name = device.path[1:].rpartition(b"/")
    return directory, name


def _make(
    x: Executor, directories: dict[bytes, Value], device: Device, plan: DevicesPlan, sources: Sources
) -> _Made:
    path, name = _split(device)
    directory = directories[path]
    x.subject = f"{device.field}: make {shown(device.path)}"
    if plan.bound and device.type != stat.S_IFIFO:
        x.do(files.mknodat(directory, name, stat.S_IFREG).accepting(errno.EEXIST))
        target = x.do(files.openat2(directory, name, files.O_PATH | os.O_NOFOLLOW, resolve=_BELOW))
        x.do(mount.move_mount(sources.devices[device.path].tree, target))
        x.do(files.close(target))
    else:
        call = files.mknodat(directory, name, device.type | device.mode, os.makedev(*device.number))
        x.do(call.accepting(errno.EEXIST))
    status = files.new_stat()
    x.do(files.statx(directory, name, status))
    return _Made(device, directory, name, status)


def _make_links(x: Executor, dev: Value) -> None:
    x.subject = "make the links of /dev"
    for name, target in _LINKS.items():
        x.do(files.symlinkat(target, dev, name).accepting(errno.EEXIST))


def _link_ptmx(x: Executor, dev: Value) -> tuple[Value, Out]:
    """Make /dev/ptmx lead to the container's own devpts.

    Returns what making it gave, and where a link leads that was there already, for `_replace_ptmx`.
    """
    x.subject = "make /dev/ptmx"
    there = Out(len(_PTMX) + 1)
    made = x.do(files.symlinkat(_PTMX, dev, b"ptmx").accepting(errno.EEXIST))
    x.do(files.readlinkat(dev, b"ptmx", there).accepting(ACCEPT_ANY))
    return made, there


def _replace_ptmx(x: Executor, dev: Value, made: tuple[Value, Out]) -> None:
    """Link /dev/ptmx where the image's leads elsewhere. If it is right it stays: /dev may be read-only."""
    result, there = made
    if number_of(result) == -errno.EEXIST and there.data.rstrip(b"\0") != _PTMX:
        x.subject = "make /dev/ptmx"
        x.do(files.unlinkat(dev, b"ptmx"))
        x.do(files.symlinkat(_PTMX, dev, b"ptmx"))


def _set_owners(x: Executor, made: Iterable[_Made]) -> None:
    """Give nodes to their owners, by a descriptor that was checked to be the node."""
    opened = []
    for node in made:
        if not node.device.uid and not node.device.gid:
            continue
        x.subject = f"{node.device.field}: set the owner"
        # Not if something is mounted there: it could be the host's node.
        resolve = _BELOW | files.RESOLVE_NO_XDEV
        fd = x.do(files.openat2(node.directory, node.name, files.O_PATH | os.O_NOFOLLOW, resolve=resolve))
        status = files.new_stat()
        x.do(files.statx(fd, b"", status))
        opened.append((node.device, fd, status))
    if opened:
        x.flush()
    for device, fd, status in opened:
        device.check(files.Stat.of(status))
        x.subject = f"{device.field}: set the owner"
        x.do(files.fchownat(fd, b"", device.uid, device.gid))
        x.do(files.close(fd))
