"""Fixtures of all integration tests."""

from support.holdfast import hf
from support.leftovers import leftovers

__all__ = ["hf", "leftovers"]
