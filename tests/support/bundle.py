"""Makes what a container is made from: a small file tree around a static busybox."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
_DIRECTORIES = ("bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr/bin", "var")


def busybox_rootfs(directory: Path) -> Path:
    """Make a rootfs in a directory, which is made with those above it, and return it.

    The applets are hard links: through symbolic links to /bin/busybox a test could hit the machine's own.
    What leads to the directory can be searched by everybody, for containers in user namespaces.
    """
    for name in _DIRECTORIES:
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "tmp").chmod(0o1777)
    shutil.copy2(BUSYBOX, directory / "bin/busybox")
    for applet in _applets():
        os.link(directory / "bin/busybox", directory / "bin" / applet)
    (directory / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n")
    (directory / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
    _let_everybody_search(directory)
    return directory


@cache
def _applets() -> list[str]:
    names = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    return [name for name in names if name != "busybox"]


def _let_everybody_search(directory: Path) -> None:
    for above in (directory, *directory.parents):
        status = above.stat()
        # pytest makes its own directories with mode 0700.
        if status.st_uid == os.geteuid() and status.st_mode & 0o111 != 0o111:
            above.chmod(status.st_mode | 0o111)
