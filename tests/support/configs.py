"""Makes configurations for tests: a sound one, changed in the one place that a test is about."""

from __future__ import annotations

import json
from typing import Any

from holdfast.protocol.oci.check import check
from holdfast.protocol.oci.config import Config, parse_config

SOUND: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs"},
    "process": {"cwd": "/", "args": ["true"], "user": {"uid": 0, "gid": 0}},
    "linux": {
        "namespaces": [{"type": name} for name in ("pid", "network", "mount", "ipc", "uts", "cgroup")]
    },
}
"""A configuration with nothing wrong in it: six new namespaces, no user namespace."""


def changed(changes: dict[str, Any], base: dict[str, Any] = SOUND) -> dict[str, Any]:
    """Return the JSON value with changes: objects are merged, all else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        is_object = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = changed(value, base[key]) if is_object else value
    return merged


def text(changes: dict[str, Any]) -> bytes:
    """Return the sound config.json with changes."""
    return json.dumps(changed(changes)).encode()


def config(changes: dict[str, Any]) -> Config:
    """Return the sound configuration with changes, as types."""
    return parse_config(text(changes))


def problems(changes: dict[str, Any]) -> list[str]:
    """Return a sentence for each thing that is wrong with the sound configuration after the changes."""
    return [problem.sentence() for problem in check(config(changes))]
