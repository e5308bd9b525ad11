"""The options of a mount, sorted by what they are for.

mount(2) knew one set of flags. For the kernel they are of two kinds: attributes of the mount, which can
differ between two mounts of one filesystem (read-only, nosuid, noatime), and parameters of the filesystem
(sync, lazytime). The spec adds attributes for a whole tree (`rro`), propagation, which takes calls of its
own, and words that mean something to the runtime. What is none of these is a parameter that only the
filesystem knows.

Sources: runtime-spec, config.md "Linux mount options"; mount(8), mount_setattr(2), fsconfig(2).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.errors import Problem
from holdfast.protocol.oci import names
from holdfast.runtime.mounts import propagation
from holdfast.runtime.mounts.entry import Attributes, Propagation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ATTRIBUTES = {
    names.MS_RDONLY: names.MOUNT_ATTR_RDONLY,
    names.MS_NOSUID: names.MOUNT_ATTR_NOSUID,
    names.MS_NODEV: names.MOUNT_ATTR_NODEV,
    names.MS_NOEXEC: names.MOUNT_ATTR_NOEXEC,
    names.MS_NODIRATIME: names.MOUNT_ATTR_NODIRATIME,
    names.MS_NOSYMFOLLOW: names.MOUNT_ATTR_NOSYMFOLLOW,
}
_ACCESS_TIMES = names.MS_NOATIME | names.MS_RELATIME | names.MS_STRICTATIME
_PARAMETERS = names.MS_SYNCHRONOUS | names.MS_DIRSYNC | names.MS_MANDLOCK | names.MS_LAZYTIME
"""Flags that fsconfig takes by the name of the option. `silent` and `iversion` mean nothing any more."""
_UNSUPPORTED = "copy-symlink"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the options of one mount ask for."""

    attributes: Attributes
    propagation: tuple[Propagation, ...]
    flags: int
    """MS_ flags that are on in the end: MS_BIND, MS_REC, MS_REMOUNT, MS_RDONLY are looked at."""
    parameters: tuple[tuple[bytes, bytes | None], ...]
    """Flags of the filesystem, as options of its own."""
    data: tuple[tuple[bytes, bytes | None], ...]
    """Options that only the filesystem knows, in their order."""
    extensions: frozenset[str]
    """Words for the runtime: `tmpcopyup`, `idmap`, …"""

    def has(self, flag: int) -> bool:
        """Whether an MS_ flag is on."""
        return bool(self.flags & flag)


def parse(options: Sequence[str], field: str, problems: list[Problem]) -> Options:
    """Sort the options of a mount. What cannot be done is noted in `problems`; `field` is the list's own."""
    flags = asked = recursive_set = recursive_clear = 0
    parameters, data, extensions = [], [], set()
    for i, option in enumerate(options):
        if option in names.MOUNT_FLAGS:
            flag, clear = names.MOUNT_FLAGS[option]
            flags, asked = flags & ~flag if clear else flags | flag, asked | flag
            if flag & _PARAMETERS:
                parameters.append((option.encode(), None))
        elif option in names.RECURSIVE_MOUNT_FLAGS:
            set_, clear_ = _recursive(names.RECURSIVE_MOUNT_FLAGS[option])
            recursive_set = recursive_set & ~clear_ | set_
            recursive_clear |= clear_
        elif not option or option in names.PROPAGATION:
            continue
        elif option == _UNSUPPORTED or option.startswith(("idmap=", "ridmap=")):
            allowed = "idmap with uidMappings and gidMappings, src-nofollow, dest-nofollow"
            problems.append(Problem(f"{field}[{i}]", option, allowed))
        elif option in names.MOUNT_EXTENSIONS:
            extensions.add(option)
        else:
            key, equals, value = option.partition("=")
            data.append((os.fsencode(key), os.fsencode(value) if equals else None))
    set_, clear_ = _attributes(flags, asked)
    return Options(
        attributes=Attributes(set_, clear_, recursive_set, recursive_clear),
        propagation=tuple(propagation.named(option) for option in options if option in names.PROPAGATION),
        flags=flags,
        parameters=tuple(parameters),
        data=tuple(data),
        extensions=frozenset(extensions),
    )


def _attributes(flags: int, asked: int) -> tuple[int, int]:
    """Turn MS_ flags into MOUNT_ATTR_ bits to set and to clear; only what was asked for is touched."""
    set_ = _bits(attribute for flag, attribute in _ATTRIBUTES.items() if flags & asked & flag)
    clear = _bits(attribute for flag, attribute in _ATTRIBUTES.items() if ~flags & asked & flag)
    if asked & _ACCESS_TIMES:
        # One number of three, so whoever sets it clears it first; 0 is relatime, the kernel's default.
        clear |= names.MOUNT_ATTR_ATIME
        if flags & names.MS_NOATIME:
            set_ |= names.MOUNT_ATTR_NOATIME
        elif flags & names.MS_STRICTATIME:
            set_ |= names.MOUNT_ATTR_STRICTATIME
    return set_, clear


def _recursive(option: names.Flag) -> tuple[int, int]:
    """Return the bits that an option for a whole tree sets and clears."""
    if option.flag & ~names.MOUNT_ATTR_ATIME:
        return (0, option.flag) if option.clear else (option.flag, 0)
    return 0 if option.clear else option.flag, names.MOUNT_ATTR_ATIME


def _bits(attributes: Iterable[int]) -> int:
    return sum(attributes)
