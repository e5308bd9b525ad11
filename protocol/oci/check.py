"""The rules of a configuration that its types cannot say, all in one go.

`check` comes after `parse_config` and before anything is made: whatever is wrong with a configuration by
itself is told here, every mistake at once, and leaves nothing behind. What depends on the kernel, on paths,
or on who runs the runtime is told by the step that finds it.

Sources: runtime-spec, config.md and config-linux.md; beside the rules, in protocol/oci/rules/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.errors import Problem
from holdfast.protocol.oci.rules import linux, mounts, process, resources
from holdfast.protocol.oci.rules.common import is_absolute, is_between, is_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.protocol.oci.config import Config, Hook, Process, Resources

_TIMEOUT_MAX = 2**31 - 1
_VERSION_PARTS = 3


def check(config: Config) -> list[Problem]:
    """Return all that is wrong with a configuration; nothing of it is then carried out."""
    return list(_problems(config))


def check_process(to_run: Process) -> list[Problem]:
    """Return all that is wrong with a process that is to join a container."""
    return list(process.problems(to_run))


def check_resources(limits: Resources) -> list[Problem]:
    """Return all that is wrong with limits that are to replace those of a container."""
    return list(resources.problems(limits))


def warnings(config: Config) -> list[str]:
    """Return what of a configuration will not be done, and is no error: a sentence each."""
    of_process = process.warnings(config.process) if config.process else ()
    return [*of_process, *mounts.warnings(config), *linux.warnings(config)]


def _problems(config: Config) -> Iterator[Problem]:
    yield from _version(config.oci_version)
    if not config.root.path:
        yield Problem("root.path", None, "the path of a directory")
    yield from mounts.problems(config)
    if config.process:
        yield from process.problems(config.process)
    yield from linux.problems(config)
    hooks = config.hooks
    for attribute, name in zip(hooks.__struct_fields__, hooks.__struct_encode_fields__, strict=True):
        for i, hook in enumerate(getattr(hooks, attribute)):
            yield from _hook(f"hooks.{name}[{i}]", hook)
    if "" in config.annotations:
        yield Problem("annotations", "", "a key that is not empty", "is not a key")


def _version(version: str) -> Iterator[Problem]:
    """Tell of all but 1.x.y, with what may follow: `1.0.2-dev`, `1.2.0+dev`. Source: semver.org, 2.0.0."""
    numbers = version.partition("-")[0].partition("+")[0].split(".")
    is_version = len(numbers) == _VERSION_PARTS and all(
        part.isascii() and part.isdigit() for part in numbers
    )
    if not is_version or numbers[0] != "1":
        yield Problem("ociVersion", version, "1.0.0 and later versions 1.x.y", "is not supported")


def _hook(field: str, hook: Hook) -> Iterator[Problem]:
    yield from is_absolute(f"{field}.path", hook.path)
    yield from is_environment(f"{field}.env", hook.env)
    yield from is_between(f"{field}.timeout", hook.timeout, 1, _TIMEOUT_MAX)
