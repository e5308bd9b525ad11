"""The containers that there are: reserved under an id and a name, found, changed, removed.

Commands run beside each other, and any of them can be killed at any moment. So

- a name is a symbolic link, made by one system call that fails if it is there: of two that want it
  one gets it, and there is no moment at which it exists without saying whose it is;
- whoever changes a container holds a lock on its directory, and looks whether it is still there
  once it has the lock;
- a container exists from the moment its record has its name to the moment it has lost it; anything
  else that is found (a name without a container, a directory without a record) is an orphan, of a
  command that was killed. Commands that make a container hold the store's lock, shared; whoever
  sweeps holds it alone.

Locks are those of flock(2) on the directories themselves: they go with the last process that holds
them, and there is no lock file to be left behind.

Sources: flock(2); symlink(2); rename(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.runtime.durable import read_ours, write_durably
from holdfast.runtime.sys.executor import here
from holdfast.shim import sockets
from holdfast.shim.store import words
from holdfast.shim.store.places import OPEN_DIRECTORY, Places, check_private, open_private
from holdfast.shim.store.record import CONFIG_FILE, RECORD_FILE, ROOTFS, Record, decode_record, encode_record
from holdfast.shim.store.refusals import UnknownContainer
from holdfast.shim.store.remove import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

_TARGET = "../containers/"
_RECORD_MAX = 1 << 20
_CONFIG_MAX = 16 << 20
_SHORT_ID = 12


class Entry:
    """A container's directory, open. Use it as a context manager: leaving closes and unlocks it."""

    def __init__(self, store: Store, container_id: str, fd: int) -> None:
        """Take over the descriptor of the directory."""
        self.store = store
        self.id = container_id
        self.fd = fd

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; see the class."""
        self.close()

    def close(self) -> None:
        """Close it. A lock is given up, also if a process that was forked meanwhile has the descriptor."""
        if self.fd >= 0:
            fcntl.flock(self.fd, fcntl.LOCK_UN)
            os.close(self.fd)
            self.fd = -1

    def lock(self) -> Entry:
        """Wait until nobody else changes the container.

        Raises UnknownContainer if it was removed meanwhile.
        """
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        self.store.check_still_there(self)
        return self

    def record(self) -> Record:
        """Read the record. Raises HoldfastError if there is none that can be trusted."""
        return decode_record(self.read(RECORD_FILE, _RECORD_MAX), self.id)

    def save(self, record: Record) -> None:
        """Write the record, so that a reader sees the old or the new one, also after a power cut."""
        write_durably(here, self.fd, RECORD_FILE, encode_record(record))

    def config(self) -> bytes:
        """Return the content of config.json."""
        return self.read(CONFIG_FILE, _CONFIG_MAX)

    def write_config(self, content: bytes) -> None:
        """Write config.json."""
        write_durably(here, self.fd, CONFIG_FILE, content)

    def read(self, name: bytes, limit: int) -> bytes:
        """Read a file of ours.

        Raises FileNotFoundError, HoldfastError if it is not as we would have made it.
        """
        return read_ours(self.fd, name, limit)


class Store:
    """All containers. Use it as a context manager: leaving closes it."""

    def __init__(self, places: Places) -> None:
        """Open the directories, making them if need be.

        Raises HoldfastError if they are not ours, OSError.
        """
        self.places = places
        self._lib_fd = open_private(places.lib)
        self.containers_fd = open_private(b"containers", self._lib_fd)
        self.names_fd = open_private(b"names", self._lib_fd)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; see the class."""
        for fd in (self.names_fd, self.containers_fd, self._lib_fd):
            os.close(fd)

    @contextmanager
    def held(self, *, alone: bool) -> Iterator[None]:
        """Hold the store's lock: shared to make a container, alone to sweep."""
        fcntl.flock(self._lib_fd, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        try:
            yield
        finally:
            fcntl.flock(self._lib_fd, fcntl.LOCK_UN)

    def reserve(self, container_id: str, name: str | None) -> tuple[Entry, str]:
        """Make the directory of a new container, and its name: the given one, or one that is free.

        To be called with the store held. Returns the entry, locked, and the name. Raises HoldfastError.
        """
        chosen = self._reserve_name(container_id, name)
        try:
            os.mkdir(container_id, 0o700, dir_fd=self.containers_fd)
            entry = Entry(
                self, container_id, os.open(container_id, OPEN_DIRECTORY, dir_fd=self.containers_fd)
            )
        except BaseException:
            os.unlink(chosen, dir_fd=self.names_fd)
            raise
        return entry.lock(), chosen

    def _reserve_name(self, container_id: str, name: str | None) -> str:
        if name is not None:
            words.check_name(name)
            try:
                os.symlink(_TARGET + container_id, name, dir_fd=self.names_fd)
            except FileExistsError:
                holder = self.id_of_name(name) or "another container"
                raise HoldfastError(f'container name "{name}": is taken by container {holder}') from None
            return name
        while True:
            name = words.random_name()
            try:
                os.symlink(_TARGET + container_id, name, dir_fd=self.names_fd)
            except FileExistsError:
                continue
            return name

    def id_of_name(self, name: str) -> str | None:
        """Return the id behind a name; None if there is no such name."""
        try:
            target = os.readlink(name, dir_fd=self.names_fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.EINVAL:  # no link, so nothing that we have made
                return None
            raise
        container_id = target.removeprefix(_TARGET)
        return container_id if words.is_id(container_id) else None

    def find(self, reference: str) -> str:
        """Return the id of the container with that id, name, or beginning of an id.

        Raises UnknownContainer, HoldfastError if several ids begin so.
        """
        if words.is_name(reference):
            found = self.id_of_name(reference)
            if found is not None:
                return found
        if words.is_id_prefix(reference):
            matching = [name for name in os.listdir(self.containers_fd) if name.startswith(reference)]
            if len(matching) == 1:
                return matching[0]
            if matching:
                shown = ", ".join(sorted(match[:_SHORT_ID] for match in matching)[:4])
                raise HoldfastError(
                    f'container "{reference}": several ids begin so: {shown}; give more of it'
                )
        raise UnknownContainer(f"container {quoted(reference)}: no such container")

    def open(self, reference: str) -> Entry:
        """Open a container by id, name or beginning of an id. Raises UnknownContainer, HoldfastError."""
        return self._open(self.find(reference))

    def _open(self, container_id: str) -> Entry:
        try:
            fd = os.open(container_id, OPEN_DIRECTORY, dir_fd=self.containers_fd)
        except FileNotFoundError:
            raise UnknownContainer(f"container {quoted(container_id)}: no such container") from None
        try:
            check_private(fd, container_id.encode())
            os.stat(RECORD_FILE, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:  # just being made or removed
            os.close(fd)
            raise UnknownContainer(f"container {quoted(container_id)}: no such container") from None
        except BaseException:
            os.close(fd)
            raise
        return Entry(self, container_id, fd)

    def ids(self) -> list[str]:
        """Return the ids of all directories of containers, with or without record."""
        return sorted(name for name in os.listdir(self.containers_fd) if words.is_id(name))

    def entries(self) -> Iterator[Entry]:
        """Yield each container, open; the caller's loop closes it by going on."""
        for container_id in self.ids():
            try:
                entry = self._open(container_id)
            except UnknownContainer:
                continue
            with entry:
                yield entry

    def check_still_there(self, entry: Entry) -> None:
        """Raise UnknownContainer if an open container has been removed."""
        try:
            status = os.stat(entry.id, dir_fd=self.containers_fd, follow_symlinks=False)
        except FileNotFoundError:
            status = None
        if status is None or not os.path.samestat(status, os.fstat(entry.fd)):
            raise UnknownContainer(f"container {quoted(entry.id)}: no such container")

    def remove(self, entry: Entry) -> None:
        """Remove a container that has ended, with its files and its name.

        To be called with the entry locked.

        Raises HoldfastError if something is mounted in it, OSError.
        """
        # First, since it may fail: the container is then still there to be seen.
        remove_tree(entry.fd, ROOTFS)
        sockets.remove(self.places.run_dir(entry.id))  # what a shim that was killed has left
        for name in os.listdir(self.names_fd):
            if self.id_of_name(name) == entry.id:
                os.unlink(name, dir_fd=self.names_fd)
        self.remove_directory(entry.id)

    def remove_directory(self, container_id: str) -> None:
        """Remove a container's directory."""
        remove_tree(self.containers_fd, container_id.encode())
