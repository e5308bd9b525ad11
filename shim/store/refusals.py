"""What cannot be done with a container as it is: neither a mistake in the command, nor a failure."""

from __future__ import annotations

from holdfast.protocol.errors import HoldfastError


class Refused(HoldfastError):  # noqa: N818  # a state of affairs, told to the user
    """The container is not in a state for this."""


class UnknownContainer(Refused):
    """There is no such container."""
