"""The grammar of container ids.

An id becomes the name of a directory and of sockets, so it must not be able to mean another place: a check
that forgets `..` lets `delete ..` remove the folder above all containers (crun 1.8 does). Every door checks
an id before a path is made of it, those that only look one up too.

Source: runtime-spec, runtime.md "State" (unique on the host, the rest is the runtime's to say).
"""

from __future__ import annotations

from holdfast.protocol.errors import HoldfastError, quoted

LENGTH_MAX = 255
_ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-")
_DIRECTORIES = (".", "..")


def is_id(text: str) -> bool:
    """Whether the text can be the id of a container."""
    return 0 < len(text) <= LENGTH_MAX and text not in _DIRECTORIES and _ALLOWED.issuperset(text)


def check_id(container_id: str) -> None:
    """Raise HoldfastError, telling what is wrong, unless this can be the id of a container."""
    if is_id(container_id):
        return
    if not container_id:
        what = "an empty container ID"
    elif container_id in _DIRECTORIES:
        what = f"container ID {quoted(container_id)} means a directory"
    elif len(container_id) > LENGTH_MAX:
        what = f"container ID of {len(container_id)} characters; allowed: {LENGTH_MAX}"
    else:
        wrong = next(char for char in container_id if char not in _ALLOWED)
        what = f"invalid character {quoted(wrong)} in container ID {quoted(container_id)}"
    raise HoldfastError(f"invalid container ID format: {what}")
