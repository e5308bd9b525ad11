"""The runtimes that a shim can drive: one interface, and which one is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.shim.runtimes.builtin import BuiltIn

if TYPE_CHECKING:
    from holdfast.shim.order import ShimOrder
    from holdfast.shim.runtimes.interface import Runtime


def choose(order: ShimOrder) -> Runtime:
    """Return the runtime that an order asks for."""
    return BuiltIn(order)
