"""Steps that give the process its surroundings: keyring, terminal, names, sysctls, program, stdio."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from holdfast.runtime.process import environ, program, terminal, verify
from holdfast.runtime.procfs import Procfs
from holdfast.runtime.setup import filetree
from holdfast.runtime.sys import files, process

if TYPE_CHECKING:
    from holdfast.runtime.making import Making


def join_keyring(making: Making) -> None:
    """Begin the container's session keyring, or join it for an exec."""
    if making.process.keyring is not None:
        making.init.do(process.join_session_keyring(making.process.keyring))


def open_console(making: Making) -> None:
    """Make init's terminal, which is the container's console, and hand our end out."""
    _open_terminal(making, is_console=True)


def open_terminal(making: Making) -> None:
    """Make the terminal of a process that joins, and hand our end out."""
    _open_terminal(making, is_console=False)


def _open_terminal(making: Making, *, is_console: bool) -> None:
    x = making.init
    ptm_fd, pts = terminal.open_pty(x, making.rootfs, making.process.size)
    if is_console:
        filetree.mount_console(making, pts)
    terminal.make_controlling(x, pts)
    x.do(files.fchownat(0, b"", making.process.identity.uid, files.UNCHANGED))
    x.flush()
    if making.console_fd is not None:
        terminal.hand_over(making.console_fd, ptm_fd)
    os.close(ptm_fd)


def set_names(making: Making) -> None:
    """Set host name and domain name."""
    config = making.plan.config
    if config.hostname:
        making.init.do(process.sethostname(os.fsencode(config.hostname)))
    if config.domainname:
        making.init.do(process.setdomainname(os.fsencode(config.domainname)))


def set_sysctls(making: Making) -> None:
    """Write each sysctl through a procfs of init's own, which nobody can have mounted anything over."""
    proc = Procfs.open(making.init)
    for name, value in sorted(making.plan.config.linux.sysctl.items()):
        making.init.subject = f"linux.sysctl[{name}]: write"
        proc.write(b"sys/" + sysctl_path(name), value.encode())
    making.init.subject = ""
    proc.close()


def sysctl_path(name: str) -> bytes:
    """Turn a sysctl's name into its path below /proc/sys.

    The first separator tells which of the two is meant.
    """
    first = next((char for char in name if char in "./"), ".")
    swapped = name if first == "/" else name.translate(str.maketrans("./", "/."))
    return swapped.encode()


def find_program(making: Making) -> None:
    """Change to the working directory, find the user's program, complete its environment."""
    x, plan = making.init, making.process
    making.environment = environ.complete(making.rootfs, plan.environment, plan.identity.uid)
    if plan.listens:
        making.environment = environ.announced(x, making.environment)
    making.program = program.find(
        x,
        plan.identity,
        plan.held,
        name=plan.argv[0],
        environment=making.environment,
        cwd=plan.cwd,
    )


def own_stdio(making: Making) -> None:
    """Give the pipes of 0, 1 and 2 to the user, by the ids that the user has outside."""
    if making.process.terminal:
        return
    uid = verify.outside(making.process.identity.uid, making.namespaces.uid_map)
    gid = verify.outside(making.process.identity.gid, making.namespaces.gid_map)
    for fd in set(making.stdio):
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            # EPERM: somebody else's pipe, and we are not root.
            making.parent.do(files.fchownat(fd, b"", uid, gid).accepting(errno.EPERM))
