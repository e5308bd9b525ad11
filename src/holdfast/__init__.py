"""Holdfast: a container supervisor and runtime. The packages below are links to the top of the tree."""

__version__ = "0.1.0"
