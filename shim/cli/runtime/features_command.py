"""`holdfast-runtime features`: what this runtime can do, for managers that ask before they rely on it.

Only what is really carried out is named; what the spec has and this version refuses is left out.

Source: runtime-spec, features.md and features-linux.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.protocol.oci import names
from holdfast.protocol.oci.state import OCI_VERSION
from holdfast.runtime.namespaces.plan import CLONE_FLAGS
from holdfast.runtime.seccomp.flags import supported_flags
from holdfast.shim.cli.options import Command
from holdfast.shim.cli.runtime.context import PROGRAM
from holdfast.shim.cli.terms import say

if TYPE_CHECKING:
    from holdfast.shim.cli.runtime.context import Context

_MOUNT_OPTIONS = (
    *names.MOUNT_FLAGS,
    *names.RECURSIVE_MOUNT_FLAGS,
    *names.PROPAGATION,
    *(name for name in names.MOUNT_EXTENSIONS if name != "copy-symlink"),
)


class Features(msgspec.Struct, kw_only=True):
    """What `features` is asked for."""

    operands: list[str]


COMMAND = Command(
    name="features",
    program=PROGRAM,
    summary="Print what this runtime can do",
    operands="",
    kind=Features,
    most=0,
    single_dash=True,
)


def run(_options: Features, _context: Context) -> int:
    """Print it."""
    say(msgspec.json.format(msgspec.json.encode(_features()), indent=2).decode() + "\n")
    return 0


def _features() -> dict[str, Any]:
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": [],
        "mountOptions": sorted(_MOUNT_OPTIONS),
        "linux": {
            "namespaces": sorted(CLONE_FLAGS),
            "capabilities": list(names.CAPABILITIES),
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(names.SECCOMP_ACTIONS),
                "operators": sorted(names.SECCOMP_OPERATORS),
                "archs": sorted(names.SECCOMP_ARCHITECTURES),
                "knownFlags": sorted(names.SECCOMP_FLAGS),
                "supportedFlags": sorted(supported_flags()),
            },
            "apparmor": {"enabled": False},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
            "netDevices": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
        },
        "annotations": {},
        "potentiallyUnsafeConfigAnnotations": [],
    }
