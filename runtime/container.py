"""A container on disk: its state directory, its record, and what the kernel says has become of it.

The record says what was made; whether the container still runs is asked of the kernel each time. A process
id alone proves nothing: ids are used again, and not only after a reboot. So the record carries the time at
which init was started (as the kernel counts it) and the id of the boot.

Below the runtime's root, mode 0700:

    ID/state.json   the record; written to a temporary file, synced, renamed
    ID/config.json  the configuration as it was at create; later edits of the bundle change nothing
    ID/lock         held by whoever makes or changes the container (fcntl locks are not inherited by init)
    ID/start        the socket on which a created init waits for `start`

Sources: runtime-spec, runtime.md "State", "Lifecycle"; proc_pid_stat(5); fcntl(2) "Advisory record locking".
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol import errors
from holdfast.protocol.oci import ids
from holdfast.runtime import durable
from holdfast.runtime.cgroups.place import Cgroup  # noqa: TC001  # msgspec looks at it
from holdfast.runtime.namespaces.plan import NamespacesPlan
from holdfast.runtime.procfs import Procfs
from holdfast.runtime.puppet.puppet import PROGRAM_NAME
from holdfast.runtime.sys import files, process
from holdfast.runtime.sys.call import CallFailed, number_of
from holdfast.runtime.sys.executor import here
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from typing import Self

    from holdfast.runtime.sys.call import Executor
    from holdfast.runtime.sys.executor import Here

VERSION = 1

RECORD_FILE = b"state.json"
CONFIG_FILE = b"config.json"
LOCK_FILE = b"lock"
START_SOCKET = b"start"

CONFIG_MAX = 16 << 20
"""Bytes of a config.json that are read."""

_RECORD_MAX = 1 << 20
_PID_MAX = 1 << 22
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Record(msgspec.Struct, kw_only=True):
    """What is known of a container, as kept in state.json."""

    version: int = VERSION
    id: str
    bundle: str
    rootfs: str
    created: str
    """RFC 3339, UTC, nanoseconds."""
    boot_id: str
    owner: str = ""
    annotations: dict[str, str] = {}
    namespaces: NamespacesPlan
    has_keyring: bool = True
    """Whether init has begun a session keyring, which execs join."""
    cgroup: Cgroup | None = None
    """As long as there is no init, what create is about to make: see cgroups/intent.py."""
    pid: int = 0
    """Of init; 0 until it has been cloned."""
    start_time: int = 0
    """When init was started, in clock ticks since the boot."""
    ready: bool = False
    """Whether create has succeeded."""
    program: str = ""
    """What init is going to exec."""
    after_start: list[str] = []
    """What init does between `start` and the user's program.

    Init names a failed call by its place in this list.
    """


class Container:
    """A container's state directory, open. Use it as a context manager: leaving closes (and unlocks) it."""

    def __init__(self, directory_fd: int, record: Record) -> None:
        self.directory_fd = directory_fd
        self.record = record
        self._lock_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: object) -> None:
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
        os.close(self.directory_fd)

    def lock(self) -> None:
        """Wait until nobody else changes the container, and read the record again.

        Raises DoesNotExist if it was deleted meanwhile.
        """
        self._lock_fd = lock_directory(self.directory_fd, self.record.id)
        self.record = _read_record(self.directory_fd, self.record.id)

    def status(self) -> str:
        """Return `creating`, `created`, `running` or `stopped`; a frozen one is what it is besides."""
        if not self.record.pid:
            return "stopped" if self.record.ready else "creating"
        if not self.is_alive():
            return "stopped"
        if not self.record.ready:
            return "creating"
        return "created" if self._waits_for_start() else "running"

    def is_alive(self) -> bool:
        """Whether the init of the record, and not another process with its id, still runs."""
        pidfd = self.pidfd()
        if pidfd is None:
            return False
        os.close(pidfd)
        return True

    def await_end(self, timeout_s: float) -> bool:
        """Wait until init has ended. Returns False if it still runs after so many seconds."""
        pidfd = self.pidfd()
        if pidfd is None:
            return True
        try:
            gone, _, _ = select.select([pidfd], [], [], timeout_s)
        finally:
            os.close(pidfd)
        return bool(gone)

    def pidfd(self) -> int | None:
        """Return a descriptor that stands for init, the caller's to close; None when init is gone."""
        record = self.record
        if not record.pid or record.boot_id != boot_id():
            return None
        try:
            # Opened before the look at its start time: what is compared is then the process that it stands
            # for.
            pidfd = here.do(process.pidfd_open(record.pid))
        except CallFailed as error:
            if error.errno == errno.ESRCH:
                return None
            raise
        if start_time(record.pid) == record.start_time:
            return pidfd
        os.close(pidfd)
        return None

    def _waits_for_start(self) -> bool:
        """Whether init has not become the user's program yet."""
        try:
            os.stat(START_SOCKET, dir_fd=self.directory_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        try:
            # A start that was killed on its way leaves the socket, and the program runs nevertheless.
            return PROGRAM_NAME in Procfs.shared().link(b"%d/exe" % self.record.pid)
        except CallFailed:  # not for us to see, or init is ending
            return True


def open_container(root: bytes, container_id: str) -> Container:
    """Open a container by its id.

    Raises HoldfastError: no such container, or a record that cannot be trusted.
    """
    ids.check_id(container_id)
    root_fd = _open_root(root, container_id)
    try:
        directory_fd = os.open(container_id, _OPEN_DIRECTORY, dir_fd=root_fd)
    except FileNotFoundError:
        raise errors.does_not_exist(container_id) from None
    finally:
        os.close(root_fd)
    try:
        _check_ours(directory_fd, container_id)
        return Container(directory_fd, _read_record(directory_fd, container_id))
    except BaseException:
        os.close(directory_fd)
        raise


def container_ids(root: bytes) -> list[str]:
    """Return the ids of all containers below a root, in order; none if there is no such directory."""
    try:
        root_fd = os.open(root, _OPEN_DIRECTORY)
    except FileNotFoundError:
        return []
    try:
        return sorted(name for name in os.listdir(root_fd) if ids.is_id(name))
    finally:
        os.close(root_fd)


def reserve(x: Executor, root: bytes, container_id: str) -> int:
    """Make the state directory of a new container and return a descriptor of it.

    Raises HoldfastError if the id is taken, CallFailed if the root cannot be made.
    """
    parts = root.strip(b"/").split(b"/")
    for depth in range(1, len(parts) + 1):
        x.do(files.mkdirat(AT_FDCWD, b"/" + b"/".join(parts[:depth]), 0o700).accepting(errno.EEXIST))
    root_fd = number_of(x.do(files.openat(AT_FDCWD, root, _OPEN_DIRECTORY)))
    name = container_id.encode()
    try:
        if x.do(files.mkdirat(root_fd, name, 0o700).accepting(errno.EEXIST)) == -errno.EEXIST:
            raise errors.already_exists(container_id)
        try:
            return number_of(x.do(files.openat(root_fd, name, _OPEN_DIRECTORY)))
        except BaseException:
            os.rmdir(name, dir_fd=root_fd)
            raise
    finally:
        os.close(root_fd)


def lock_directory(directory_fd: int, container_id: str) -> int:
    """Wait until nobody else changes the container of a state directory.

    Returns the descriptor that holds the lock. Raises DoesNotExist if the directory was removed meanwhile.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        lock_fd = os.open(LOCK_FILE, flags, 0o600, dir_fd=directory_fd)
    except FileNotFoundError:
        raise errors.does_not_exist(container_id) from None
    fcntl.lockf(lock_fd, fcntl.LOCK_EX)
    if os.fstat(directory_fd).st_nlink:
        return lock_fd
    os.close(lock_fd)
    raise errors.does_not_exist(container_id)


def remove(root: bytes, container_id: str, directory_fd: int) -> None:
    """Remove a container's state directory, which is open, with the files that we have made in it.

    It may be half there or gone; and if its name belongs to another one by now, that one stays.
    """
    try:
        root_fd = os.open(root, _OPEN_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        ours, named = os.fstat(directory_fd), os.stat(container_id, dir_fd=root_fd, follow_symlinks=False)
        if (ours.st_dev, ours.st_ino) != (named.st_dev, named.st_ino):
            return
        for name in os.listdir(directory_fd):
            os.unlink(name, dir_fd=directory_fd)
        os.rmdir(container_id, dir_fd=root_fd)
    except FileNotFoundError:
        return
    finally:
        os.close(root_fd)


def save_record(x: Here, directory_fd: int, record: Record) -> None:
    """Write state.json: temporary file, sync, rename. Source: rename(2), fsync(2)."""
    durable.write_durably(x, directory_fd, RECORD_FILE, msgspec.json.encode(record) + b"\n")


def read_config(container: Container) -> bytes:
    """Return the configuration as it was at create. Raises OSError, HoldfastError."""
    content = _read_file(container.directory_fd, CONFIG_FILE, CONFIG_MAX)
    if content is None:
        raise errors.HoldfastError(f'container "{container.record.id}": its config.json is too large')
    return content


def boot_id() -> str:
    """Return the id that the kernel gave to this boot.

    Source: random(4), /proc/sys/kernel/random/boot_id.
    """
    return Procfs.shared().read(b"sys/kernel/random/boot_id").decode().strip()


def start_time(pid: int) -> int:
    """Return when a process was started, in clock ticks since the boot; 0 for one that is gone or a zombie.

    Source: proc_pid_stat(5), fields 3 and 22.
    """
    try:
        content = Procfs.shared().read(b"%d/stat" % pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The command's name stands in parentheses and may hold anything, parentheses too.
    fields = content.rpartition(b")")[2].split()
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def name_of(pid: int) -> bytes:
    """Return the name that the kernel shows for a process, which an exec changes; empty if it is gone.

    Source: proc_pid_comm(5).
    """
    try:
        return Procfs.shared().read(b"%d/comm" % pid)
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _open_root(root: bytes, container_id: str) -> int:
    try:
        return os.open(root, _OPEN_DIRECTORY)
    except FileNotFoundError:
        raise errors.does_not_exist(container_id) from None


def _check_ours(directory_fd: int, container_id: str) -> None:
    """Raise HoldfastError unless nobody else could have written what is in the directory."""
    status = os.fstat(directory_fd)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
        raise errors.HoldfastError(
            f'container "{container_id}": its state directory can be written to by others'
        )


def _read_record(directory_fd: int, container_id: str) -> Record:
    try:
        content = _read_file(directory_fd, RECORD_FILE, _RECORD_MAX)
    except FileNotFoundError:  # reserved a moment ago, or by a create that was killed
        nothing = NamespacesPlan(new=0)
        return Record(id=container_id, bundle="", rootfs="", created="", boot_id="", namespaces=nothing)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise errors.HoldfastError(f'container "{container_id}": read its record: {reason}') from None
    if content is None:
        raise errors.HoldfastError(f'container "{container_id}": its record is too large')
    try:
        record = msgspec.json.decode(content, type=Record)
    except msgspec.MsgspecError as error:
        raise errors.HoldfastError(f'container "{container_id}": its record is damaged: {error}') from None
    if record.version != VERSION or record.id != container_id or not 0 <= record.pid <= _PID_MAX:
        raise errors.HoldfastError(f'container "{container_id}": its record is not one of this version')
    return record


def _read_file(directory_fd: int, name: bytes, limit: int) -> bytes | None:
    """Return the content of a file; None if that is more than `limit` bytes."""
    # Not blocking: a fifo in its place must not hold the runtime up.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(name, flags, dir_fd=directory_fd)
    try:
        return durable.read_at_most(fd, limit)
    finally:
        os.close(fd)
