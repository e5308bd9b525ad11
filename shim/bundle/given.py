"""A bundle that somebody else has made, run as it is: only the command and the terminal can be another.

The container gets a config.json of its own, so that nothing that is written to the bundle later
changes it, and Holdfast writes nothing into the bundle. What was relative to the bundle is made
absolute for that.

Source: runtime-spec, bundle.md.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.protocol.oci.config import parse_config
from holdfast.shim.bundle.wishes import Wishes

if TYPE_CHECKING:
    from holdfast.protocol.oci.config import Config, Mount

_CONFIG_MAX = 16 << 20
_ADAPTABLE = frozenset(("operands", "bundle", "tty", "interactive"))


def adapt_bundle(wishes: Wishes) -> Config:
    """Read the configuration of the bundle that is asked for, and make it independent of where it stands.

    Raises HoldfastError: there is none, or it is wrong, or something is asked for that only a
    config of ours can do.
    """
    for field, default in zip(Wishes.__struct_fields__, _defaults(), strict=True):
        if field not in _ADAPTABLE and getattr(wishes, field) != default:
            flag = "--" + field.replace("_", "-")
            raise HoldfastError(f"{flag}: does not go with --bundle, whose config.json decides that")
    path = os.path.abspath(wishes.bundle)
    config = parse_config(_read(path))
    process = config.process
    if process is not None:
        process = msgspec.structs.replace(
            process, args=tuple(wishes.operands) or process.args, terminal=wishes.tty or process.terminal
        )
    return msgspec.structs.replace(
        config,
        root=msgspec.structs.replace(config.root, path=os.path.join(path, config.root.path)),
        mounts=tuple(_absolute(path, mount) for mount in config.mounts),
        process=process,
    )


def _defaults() -> list[object]:
    nothing = Wishes(operands=[])
    return [getattr(nothing, field) for field in Wishes.__struct_fields__]


def _absolute(bundle: str, mount: Mount) -> Mount:
    """Make the source of a bind absolute. Source: runtime-spec, config.md "Mounts"."""
    if mount.source and ("bind" in mount.options or "rbind" in mount.options or mount.type == "bind"):
        return msgspec.structs.replace(mount, source=os.path.join(bundle, mount.source))
    return mount


def _read(bundle: str) -> bytes:
    what = f"bundle {quoted(bundle)}"
    try:
        directory_fd = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a NUL byte in a path"
        raise HoldfastError(f"{what}: {reason}") from None
    try:
        fd = os.open("config.json", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory_fd)
    except OSError as error:
        raise HoldfastError(f"{what}: config.json: {error.strerror}") from None
    finally:
        os.close(directory_fd)
    with os.fdopen(fd, "rb") as file:
        content = file.read(_CONFIG_MAX + 1)
    if len(content) > _CONFIG_MAX:
        raise HoldfastError(f"{what}: config.json: more than {_CONFIG_MAX} bytes")
    return content
