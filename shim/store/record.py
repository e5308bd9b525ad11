"""What is kept of a container for as long as it exists, running or not: container.json in its directory.

How it is set up is not here but in config.json beside it. This is what people and the shim want to
know besides: its name, what it is to do with its streams, how it is to be stopped. The file is
versioned, so that a later Holdfast can tell what an earlier one has written.
"""

from __future__ import annotations

import msgspec

from holdfast.protocol.errors import HoldfastError

VERSION = 1
RECORD_FILE = b"container.json"
CONFIG_FILE = b"config.json"
LOG_FILE = b"ctr.log"
ROOTFS = b"rootfs"

K8S_FILE = "k8s-file"
NO_LOG = "none"


class Record(msgspec.Struct, kw_only=True, frozen=True):
    """A container as it was asked for."""

    version: int = VERSION
    id: str
    name: str
    created: str
    """RFC 3339, UTC, nanoseconds."""
    boot_id: str = ""
    """The boot in which it was last started; empty if it never was."""
    started: str = ""
    """When it was last started, RFC 3339; empty if it never was."""
    command: list[str]
    """Program and arguments, to be shown."""
    source: str
    """What its files come from, to be shown: `host`, or the directory that was given."""
    terminal: bool = False
    stdin: bool = False
    """Whether the container's stdin is what attach clients send; else it is at its end from the start."""
    remove: bool = False
    """Whether it is removed as soon as it has ended."""
    log_driver: str = K8S_FILE
    log_limit_bytes: int = 0
    """The size at which the log is begun anew; 0: never."""
    stop_signal: int = 15
    stop_timeout_s: int = 10
    pid_file: str = ""
    """Where init's pid is written while it runs; empty: nowhere."""
    detach_keys: str = ""
    labels: dict[str, str] = {}


def encode_record(record: Record) -> bytes:
    """Return the content of container.json."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def decode_record(content: bytes, container_id: str) -> Record:
    """Read the content of container.json. Raises HoldfastError if it is none, or another container's."""
    where = f'container "{container_id}": container.json'
    try:
        record = msgspec.json.decode(content, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HoldfastError(f"{where}: {error}") from None
    if record.version != VERSION:
        raise HoldfastError(f"{where}: has version {record.version}; allowed: {VERSION}")
    if record.id != container_id:
        raise HoldfastError(f'{where}: is of container "{record.id[:80]}"')
    return record
