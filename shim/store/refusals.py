"""What is asked of a container that is not there, or not in a state for it: no mistake in the command, and no failure."""

from __future__ import annotations

from holdfast.protocol.errors import HoldfastError


class Refused(HoldfastError):  # noqa: N818  # a state of affairs, told to the user
    """The container is not in a state for this."""


class UnknownContainer(Refused):
    """There is no such container."""
