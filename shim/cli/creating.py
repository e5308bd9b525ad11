"""Making a container: its name, its files, its config.json, its record; everything but starting it.

What goes wrong on the way takes everything away again. Used by `create` and `run`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.protocol.oci.names import parse_signal
from holdfast.runtime.clock import now
from holdfast.shim.bundle import config as bundle_config
from holdfast.shim.bundle.given import adapt_bundle
from holdfast.shim.bundle.wishes import HOST, Wishes
from holdfast.shim.cli.sizes import parse_size
from holdfast.shim.cli.terminal import DEFAULT_DETACH_KEYS, parse_detach_keys, window_size
from holdfast.shim.store import words
from holdfast.shim.store.places import OPEN_DIRECTORY, open_private
from holdfast.shim.store.record import K8S_FILE, NO_LOG, ROOTFS, Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.protocol.oci.config import Config
    from holdfast.shim.store.store import Entry, Store

_SHORT_ID = 12
_LOG_LIMIT_LEAST = 1 << 10
HOST_SOURCE = "host"


class NewContainer(Wishes, kw_only=True):
    """What `create` and `run` are asked for: the inside (`Wishes`), and what is to be done with it."""

    name: str | None = None
    rm: bool = False
    label: list[str] = []  # noqa: RUF012  # a Struct copies it
    log_driver: str = K8S_FILE
    log_opt: list[str] = []  # noqa: RUF012
    stop_signal: str = "TERM"
    stop_timeout: int = 10
    detach_keys: str = DEFAULT_DETACH_KEYS
    cidfile: str = ""
    pidfile: str = ""


def make_container(store: Store, asked: NewContainer, own: Mapping[str, str]) -> Record:
    """Make a container. own: the caller's environment.

    Raises HoldfastError or OSError, each a sentence; nothing is left behind then.
    """
    container_id = words.new_id()
    record = _record(asked, container_id)
    with store.held(alone=False):
        entry, name = store.reserve(container_id, asked.name)
        with entry:
            try:
                config = _config(store, entry, asked, own)
                entry.write_config(bundle_config.encode(config))
                process = config.process
                record = msgspec.structs.replace(
                    record,
                    name=name,
                    command=list(process.args) if process else [],
                    terminal=process is not None and process.terminal,
                )
                entry.save(record)
                if asked.cidfile:
                    _write_new(asked.cidfile, container_id)
            except BaseException:
                store.remove(entry)
                raise
    return record


def _record(asked: NewContainer, container_id: str) -> Record:
    """Return the record, as far as it follows from the flags alone. Raises HoldfastError."""
    try:
        parse_detach_keys(asked.detach_keys)
    except ValueError as error:
        raise HoldfastError(f"--detach-keys: {error}") from None
    if asked.log_driver not in (K8S_FILE, NO_LOG):
        raise HoldfastError(
            f"--log-driver: {quoted(asked.log_driver)} is not one; allowed: {K8S_FILE}, {NO_LOG}"
        )
    return Record(
        id=container_id,
        name="",
        created=now(),
        command=[],
        source=asked.bundle or asked.rootfs or HOST_SOURCE,
        stdin=asked.interactive,
        remove=asked.rm,
        log_driver=asked.log_driver,
        log_limit_bytes=_log_limit(asked.log_opt),
        stop_signal=parse_signal(asked.stop_signal),
        stop_timeout_s=asked.stop_timeout,
        detach_keys=asked.detach_keys,
        pid_file=os.path.abspath(asked.pidfile) if asked.pidfile else "",
        labels=dict(_label(text) for text in asked.label),
    )


def _log_limit(options: list[str]) -> int:
    limit = 0
    for option in options:
        key, _, value = option.partition("=")
        if key != "max-size":
            raise HoldfastError(f"--log-opt: {quoted(key)} is not an option; allowed: max-size=SIZE")
        try:
            limit = parse_size(value)
        except ValueError as error:
            raise HoldfastError(f"--log-opt max-size: {error}") from None
        if limit < _LOG_LIMIT_LEAST:
            raise HoldfastError(f"--log-opt max-size: {limit} bytes are too few; allowed: 1k and more")
    return limit


def _label(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key:
        raise HoldfastError(f"--label: {quoted(text)} is not KEY or KEY=VALUE")
    return key, value


def _config(store: Store, entry: Entry, asked: NewContainer, own: Mapping[str, str]) -> Config:
    """Return the configuration, and make the rootfs if there is none. Raises HoldfastError, OSError."""
    if asked.bundle:
        if asked.rootfs:
            raise HoldfastError("--rootfs: does not go with --bundle, which has one")
        return adapt_bundle(asked)
    hostname = asked.hostname or (os.uname().nodename if asked.uts == HOST else entry.id[:_SHORT_ID])
    if asked.rootfs:
        path = os.path.abspath(asked.rootfs)
        fd = _open_rootfs(path)
        files = bundle_config.Files(path=path, fd=fd)
    else:
        files, fd = _default_files(store, entry, hostname, host_network=asked.network == HOST)
    try:
        return bundle_config.make_config(asked, files, hostname=hostname, own=own, size=window_size(0))
    finally:
        os.close(fd)


def _open_rootfs(path: str) -> int:
    try:
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a NUL byte in a path"
        raise HoldfastError(f"--rootfs {quoted(path)}: {reason}") from None


def _default_files(
    store: Store, entry: Entry, hostname: str, *, host_network: bool
) -> tuple[bundle_config.Files, int]:
    """Make the default rootfs.

    Returns the files and the descriptor that they are read by, the caller's to close.
    """
    from holdfast.shim.bundle.etc import Own  # noqa: PLC0415  # these are for the default rootfs only
    from holdfast.shim.bundle.hidden import unreadable_paths  # noqa: PLC0415
    from holdfast.shim.bundle.mappable import mappable_paths  # noqa: PLC0415
    from holdfast.shim.bundle.rootfs import host_mounts, make_rootfs  # noqa: PLC0415

    paths = make_rootfs(entry.fd, ROOTFS, Own(hostname, entry.id[:32], host_network))
    run_fd = open_private(store.places.run)
    try:
        mappable = mappable_paths(paths, run_fd)
    finally:
        os.close(run_fd)
    fd = os.open(ROOTFS, OPEN_DIRECTORY, dir_fd=entry.fd)
    files = bundle_config.Files(
        path=os.fsdecode(store.places.record_dir(entry.id) + b"/" + ROOTFS),
        fd=fd,
        extra_mounts=host_mounts(paths, mappable),
        hidden=unreadable_paths(path for path in paths if path not in mappable),
    )
    return files, fd


def _write_new(path: str, content: str) -> None:
    """Write a file that must not be there yet. Raises HoldfastError, OSError."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise HoldfastError(f"--cidfile {quoted(path)}: {error.strerror}") from None
    try:
        os.write(fd, content.encode())
    finally:
        os.close(fd)
