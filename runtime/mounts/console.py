"""/dev/console: the container's end of its terminal, where programs that know no other place write to.

The pts is not looked up by its name, and nothing that the image has put at /dev/console is followed or
written to: it is covered, even if it is a symbolic link (CVE-2025-52565).

Sources: runtime-spec, config-linux.md "Default Devices"; console(4), pts(4).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from holdfast.runtime.sys import files, mount

if TYPE_CHECKING:
    from holdfast.runtime.paths import Rootfs
    from holdfast.runtime.sys.call import Executor, Value

_BELOW = files.RESOLVE_BENEATH | files.RESOLVE_NO_MAGICLINKS


def mount_console(x: Executor, rootfs: Rootfs, pts: Value) -> None:
    """Bind the container's end of the pty over /dev/console.

    Needs: the mounts. pts: a descriptor of init, of a pty of the container's own devpts; it stays open.
    """
    x.subject = 'mount the terminal on "/dev/console"'
    dev = rootfs.directory(b"dev")
    x.do(files.mknodat(dev, b"console", stat.S_IFREG | 0o600).accepting(errno.EEXIST))
    target = x.do(files.openat2(dev, b"console", files.O_PATH | os.O_NOFOLLOW, resolve=_BELOW))
    clone = x.do(mount.open_tree(pts, b""))
    x.do(mount.move_mount(clone, target))
    for fd in (clone, target, dev):
        x.do(files.close(fd))
    x.subject = ""
