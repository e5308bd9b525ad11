"""The environment of the container's program: a few things that programs expect, and what was asked for.

Nothing of the caller's own environment gets in unless it is named: it may hold secrets.

Sources: environ(7); Docker's documentation of `-e` and `--env-file`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import HoldfastError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FILE_MAX = 1 << 20


def defaults(hostname: str, *, terminal: bool) -> dict[str, str]:
    """Return the variables that are there in any case; but for HOME, which depends on the user."""
    found = {"PATH": _PATH, "HOSTNAME": hostname, "container": "holdfast"}
    return found | {"TERM": "xterm"} if terminal else found


def wished(entries: Iterable[str], files: Iterable[str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that were asked for; those of files first, so that a flag overrides them.

    entries: NAME=VALUE, or NAME for the caller's own value. own: the caller's environment. Raises
    HoldfastError.
    """
    found: dict[str, str] = {}
    for path in files:
        for number, line in enumerate(_lines(path), start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                _add(found, line, own, f"--env-file {quoted(path)}, line {number}")
    for entry in entries:
        _add(found, entry, own, "--env")
    return found


def _add(found: dict[str, str], entry: str, own: Mapping[str, str], what: str) -> None:
    name, equals, value = entry.partition("=")
    if not name or "\0" in entry:
        raise HoldfastError(f"{what}: {quoted(entry)} is not NAME=VALUE or NAME")
    if equals:
        found[name] = value
    elif name in own:
        found[name] = own[name]


def _lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            content = file.read(_FILE_MAX + 1)
    except OSError as error:
        raise HoldfastError(f"--env-file {quoted(path)}: {error.strerror}") from None
    if len(content) > _FILE_MAX:
        raise HoldfastError(f"--env-file {quoted(path)}: more than {_FILE_MAX} bytes")
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError:
        raise HoldfastError(f"--env-file {quoted(path)}: not UTF-8") from None
    return [line.rstrip("\r") for line in lines]
