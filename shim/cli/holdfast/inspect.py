"""`holdfast inspect`: all that is known of containers, under the names that scripts for Docker look for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.protocol.oci.config import Config, parse_config
from holdfast.shim.cli.holdfast.ps import printable_line
from holdfast.shim.cli.options import Command, Option
from holdfast.shim.cli.template import Template
from holdfast.shim.cli.terms import for_each, say, say_json
from holdfast.shim.store.record import LOG_FILE, NO_LOG
from holdfast.shim.store.status import PAUSED, RUNNING, Status, status_of
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from holdfast.shim.store.places import Places
    from holdfast.shim.store.record import Record

_NEVER = "0001-01-01T00:00:00Z"
_CPU_UNIT = 1_000_000_000


class Inspect(msgspec.Struct, kw_only=True):
    """What `inspect` is asked for."""

    operands: list[str]
    format: str = "json"


COMMAND = Command(
    name="inspect",
    summary="Show all that is known of containers, as JSON",
    operands="CONTAINER...",
    kind=Inspect,
    options=(
        Option(
            ("-f", "--format"),
            "json, or a template as {{.State.ExitCode}}, {{json .Mounts}}",
            value="FORMAT",
        ),
    ),
    least=1,
)


def run(options: Inspect, places: Places) -> int:
    """Show each of them."""
    template = None if options.format == "json" else Template(options.format)
    found: list[dict[str, object]] = []
    with Store(places) as store:

        def look(reference: str) -> None:
            members = _members(store, reference)
            if template is None:
                found.append(members)
            else:
                say(printable_line(template.render(members)) + "\n")

        code = for_each(options.operands, look)
    if template is None:
        say_json(found)
    return code


def _members(store: Store, reference: str) -> dict[str, object]:
    with store.open(reference) as entry:
        record = entry.record()
        status = status_of(entry, record)
        config = parse_config(entry.config())
    directory = store.places.record_dir(entry.id).decode("utf-8", "replace")
    has_log = record.log_driver != NO_LOG
    return {
        "Id": record.id,
        "Name": record.name,
        "Created": record.created,
        "Path": record.command[0] if record.command else "",
        "Args": record.command[1:],
        "Image": record.source,
        "State": _state(status, record),
        "Config": _config(config, record),
        "HostConfig": _host_config(config, record),
        "Mounts": [
            {
                "Type": mount.type,
                "Source": mount.source,
                "Destination": mount.destination,
                "Options": mount.options,
            }
            for mount in config.mounts
        ],
        "LogPath": f"{directory}/{LOG_FILE.decode()}" if has_log else "",
        "Bundle": directory,
        "Rootfs": config.root.path,
        "Annotations": config.annotations,
    }


def _state(status: Status, record: Record) -> dict[str, object]:
    exited = status.exited
    return {
        "Status": status.state,
        "Running": status.state in (RUNNING, PAUSED),
        "Paused": status.state == PAUSED,
        "OOMKilled": exited is not None and exited.oom,
        "Pid": status.pid,
        "ExitCode": exited.exit_code if exited is not None else None if status.state == "stopped" else 0,
        "Signal": exited.signal if exited is not None else None,
        "Error": "the exit code is not known" if status.state == "stopped" else "",
        "StartedAt": exited.started_at if exited is not None else record.started or _NEVER,
        "FinishedAt": exited.finished_at if exited is not None else _NEVER,
    }


def _config(config: Config, record: Record) -> dict[str, object]:
    process = config.process
    return {
        "Hostname": config.hostname,
        "User": f"{process.user.uid}:{process.user.gid}" if process else "",
        "Tty": record.terminal,
        "OpenStdin": record.stdin,
        "Env": process.env if process else (),
        "Cmd": record.command,
        "WorkingDir": process.cwd if process else "",
        "Labels": record.labels,
        "StopSignal": record.stop_signal,
        "StopTimeout": record.stop_timeout_s,
    }


def _host_config(config: Config, record: Record) -> dict[str, object]:
    resources, process = config.linux.resources, config.process
    networks = [
        namespace.path or "none" for namespace in config.linux.namespaces if namespace.type == "network"
    ]
    cpu = resources.cpu
    return {
        "NetworkMode": networks[0] if networks else "host",
        "AutoRemove": record.remove,
        "ReadonlyRootfs": config.root.readonly,
        "Memory": resources.memory.limit or 0,
        "MemorySwap": resources.memory.swap or 0,
        "NanoCpus": cpu.quota * _CPU_UNIT // cpu.period if cpu.quota and cpu.period else 0,
        "CpuShares": cpu.shares or 0,
        "PidsLimit": resources.pids.limit or 0,
        "Capabilities": process.capabilities.bounding if process and process.capabilities else (),
        "NoNewPrivileges": process is not None and process.no_new_privileges,
        "Seccomp": config.linux.seccomp is not None,
        "LogConfig": {"Type": record.log_driver, "MaxSize": record.log_limit_bytes},
    }
