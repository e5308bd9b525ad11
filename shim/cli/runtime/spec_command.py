"""`holdfast-runtime spec`: a config.json to begin with, for a shell in the bundle's `rootfs`.

Source: runc-spec(8); runtime-spec, config.md.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.protocol.errors import HoldfastError, quoted
from holdfast.protocol.oci.state import OCI_VERSION
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.runtime.context import PROGRAM, absolute

if TYPE_CHECKING:
    from holdfast.shim.cli.runtime.context import Context

_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_SAFE = ["nosuid", "noexec", "nodev"]


class Spec(msgspec.Struct, kw_only=True):
    """What `spec` is asked for."""

    operands: list[str]
    bundle: str = "."
    rootless: bool = False


COMMAND = Command(
    name="spec",
    program=PROGRAM,
    summary="Write a config.json to begin with",
    operands="",
    kind=Spec,
    options=(
        Option(("-b", "--bundle"), "directory to write it to (the current one)", value="DIR"),
        Option(("--rootless",), "for a container of somebody who is not root"),
    ),
    most=0,
    single_dash=True,
    notes="A file that is there is not overwritten.",
)


def run(options: Spec, _context: Context) -> int:
    """Write it."""
    path = absolute(options.bundle) + b"/config.json"
    content = msgspec.json.format(msgspec.json.encode(_config(rootless=options.rootless)), indent=4) + b"\n"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise HoldfastError(f"write {quoted(path)}: {error.strerror}") from None
    with os.fdopen(fd, "wb") as file:
        file.write(content)
    return 0


def _config(*, rootless: bool) -> dict[str, Any]:
    namespaces = ["pid", "ipc", "uts", "mount", "cgroup", "user" if rootless else "network"]
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in namespaces],
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
            "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
        ],
        "readonlyPaths": [
            "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
        ],
    }  # fmt: skip
    if rootless:
        linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
    else:
        linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "holdfast",
        "mounts": _mounts(rootless=rootless),
        "linux": linux,
    }


def _mounts(*, rootless: bool) -> list[dict[str, Any]]:
    pts_options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    sys: dict[str, Any] = {
        "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*_SAFE, "ro"],
    }  # fmt: skip
    if rootless:  # who has no network namespace cannot mount one
        sys = {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", *_SAFE, "ro"]}
    else:
        pts_options.append("gid=5")
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": pts_options},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",  # noqa: S108  # inside
         "options": [*_SAFE, "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": _SAFE},
        sys,
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": [*_SAFE, "relatime", "ro"]},
    ]  # fmt: skip
