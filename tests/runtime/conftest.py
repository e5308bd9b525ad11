"""Fixtures of the tests that make whole containers."""

from support.containers import containers

__all__ = ["containers"]
