"""Fixtures of the shim's tests."""

from support.held import hold

__all__ = ["hold"]
