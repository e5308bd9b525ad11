"""`holdfast version`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from holdfast import __version__
from holdfast.protocol.oci.state import OCI_VERSION
from holdfast.shim.cli.options import Command
from holdfast.shim.cli.terms import say

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places


class Version(msgspec.Struct, kw_only=True):
    """What `version` is asked for."""

    operands: list[str]


COMMAND = Command(name="version", summary="Show the version", operands="", kind=Version, most=0)


def run(_options: Version, _places: Places) -> int:
    """Print the versions that a bug report needs."""
    kernel = os.uname()
    python = ".".join(str(part) for part in sys.version_info[:3])
    say(
        f"holdfast {__version__}\n"
        f"OCI runtime-spec {OCI_VERSION}\n"
        f"Python {python}\n"
        f"{kernel.sysname} {kernel.release} {kernel.machine}\n"
    )
    return 0
