"""What went wrong, told in one sentence; and the words in such sentences that managers look for.

Of a failure a manager sees only text: what the runtime wrote to its log or to stderr. Podman, CRI-O,
containerd and Docker search it for the words that runc happens to use, and decide by them: whether a
container is gone (then all is well), whether the command was missing (then the exit code is 127). Such
words are written here and nowhere else, with the reader's name beside them. The other side of it: words
such as "permission denied" or "no such file or directory" have no place in a sentence of which they are not
the cause, since Podman looks for them anywhere and in any case.

Values in a sentence came from somebody else, so they are shown by `quoted`: what could act on a terminal is
escaped, and there is a limit to how much of one is repeated.

Sources: containers/podman libpod/oci_util.go; containerd cmd/containerd-shim-runc-v2/process/utils.go; cri-o
internal/oci/runtime_oci.go; moby daemon/errors.go.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from holdfast.protocol.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

_VALUE_MAX = 200
_MESSAGE_MAX = 1024
_WORD_MAX = 64

EXEC_PREFIX = "exec failed: unable to start container process: "
"""In front of what failed in exec. Docker shows it to people, after "OCI runtime "."""


def create_prefix(program: str) -> str:
    """Return what stands in front of what failed in create; program is the runtime's own name."""
    return f"{program} create failed: unable to start container process: "


class HoldfastError(Exception):
    """Something that a person can do something about, told in one sentence without a full stop."""


class ConfigError(HoldfastError):
    """A configuration that cannot be carried out: at least one problem, or one sentence."""

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        """Keep the problems; the message tells as many as have room in 1 KiB."""
        self.problems = () if isinstance(problems, str) else tuple(problems)
        super().__init__(problems if isinstance(problems, str) else _all_of(self.problems))


class Problem(NamedTuple):
    """What is wrong with one field of a configuration."""

    field: str
    """Its path, as in `linux.namespaces[3].type`; see `joined`."""
    was: object
    """The value found; None if there was none."""
    allowed: str
    """What may stand there: `0 to 7`, `an absolute path`, a list of names."""
    why: str = ""
    """What is wrong with the value, where what is allowed does not say it: `is not a resource limit`."""

    def sentence(self) -> str:
        """Tell it: `process.rlimits[2].type: "FILES" is not a resource limit; allowed: RLIMIT_AS, …`."""
        if self.was is None:
            return f"{self.field}: {self.why or 'is missing'}; needed: {self.allowed}"
        return f"{self.field}: {quoted(self.was)} {self.why or 'is not allowed'}; allowed: {self.allowed}"


def joined(path: str, key: str) -> str:
    """Return the path of a member: `process.cwd`, or `linux.sysctl["net.core.x"]` for odd keys."""
    if key.isascii() and key.isidentifier() and len(key) <= _WORD_MAX:
        return f"{path}.{key}" if path else key
    return f"{path}[{quoted(key)}]"


def quoted(value: object) -> str:
    """Show a value that came from somebody else, safe to print: text in double quotes, numbers as in JSON.

    Control and format characters, and bytes that are not UTF-8, are shown by their numbers; of more than 200
    characters the first 200 are shown.
    """
    if isinstance(value, (bool, type(None))):
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (int, float)):
        return str(value) if -(2**64) < value < 2**64 else "a number of more than 64 bits"
    if isinstance(value, bytes):
        value = os.fsdecode(value[: _VALUE_MAX * 4])
    if isinstance(value, str):
        shown = printable(value[:_VALUE_MAX]).replace('"', '\\"')
        return f'"{shown}…"' if len(value) > _VALUE_MAX else f'"{shown}"'
    return "an array" if isinstance(value, (list, tuple)) else "an object"


def _all_of(problems: tuple[Problem, ...]) -> str:
    """Tell as many of the problems as there is room for, and how many more there are."""
    message = ""
    for done, problem in enumerate(problems):
        sentence = problem.sentence()
        if message and len(message) + len(sentence) > _MESSAGE_MAX:
            return f"{message}; and {len(problems) - done} more"
        message = f"{message}; and {sentence}" if message else sentence
    return message


# A container's state


class DoesNotExist(HoldfastError):  # noqa: N818  # reads as what it tells
    """There is no container with this id."""


def does_not_exist(container_id: str) -> DoesNotExist:
    """Return the error for an unknown id.

    containerd's shim looks for "does not exist": its delete then succeeds, other requests become NotFound.
    """
    return DoesNotExist(f"container {quoted(container_id)}: container does not exist")


def already_exists(container_id: str) -> HoldfastError:
    """Return the error for an id that is taken. People and test suites know these words."""
    return HoldfastError(f"container {quoted(container_id)}: container with given ID already exists")


def not_running(container_id: str) -> HoldfastError:
    """Return the error for an operation that needs a container which has not ended.

    containerd's shim looks for "container not running" and says "process already finished"; CRI-O looks for
    the same and takes a kill for done.
    """
    return HoldfastError(f"container {quoted(container_id)}: container not running")


def not_paused(container_id: str) -> HoldfastError:
    """Return the error for a resume of a container that is not paused."""
    return HoldfastError(f"container {quoted(container_id)}: container not paused")


def not_stopped(container_id: str, status: str) -> HoldfastError:
    """Return the error for a delete of a container that runs. The words are runc's."""
    return HoldfastError(f"cannot delete container {quoted(container_id)} that is not stopped: {status}")


def cannot_start(container_id: str, status: str) -> HoldfastError:
    """Return the error for a start of a container that is not created. The words are runc's."""
    words = {
        "running": "cannot start an already running container",
        "stopped": "cannot start a container that has stopped",
    }
    reason = words.get(status, f"cannot start a container in the {status} state")
    return HoldfastError(f"container {quoted(container_id)}: {reason}")


def nothing_to_start(container_id: str) -> HoldfastError:
    """Return the error for a start of a container whose config names no process."""
    return HoldfastError(f"container {quoted(container_id)}: process is required to start")


def cannot_exec(container_id: str, status: str) -> HoldfastError:
    """Return the error for an exec in a container that is paused or has ended. The words are runc's."""
    override = " (use --ignore-paused to override)" if status == "paused" else ""
    return HoldfastError(f"container {quoted(container_id)}: cannot exec in a {status} container{override}")


def start_failed(step: str, error: int) -> HoldfastError:
    """Return the error for an init that could not become the user's program.

    step: what it was at. error: the kernel's errno, whose words Podman takes for its exit codes 126 and 127.
    """
    return HoldfastError(f"{step}: {os.strerror(error)}")


# The user's program


def never_executed(name: str | bytes) -> HoldfastError:
    """Return the error for a process that ended before its exec, and was not let say why."""
    needed = "a seccomp profile that permits execve"
    return HoldfastError(f"exec {quoted(name)}: it ended before; needed: {needed}")


class CommandNotFound(HoldfastError):  # noqa: N818  # reads as what it tells
    """There is no such program in the container; shells say it with exit code 127."""


class CommandNotExecutable(HoldfastError):  # noqa: N818  # reads as what it tells
    """What is there is no program, or not one for this user; shells say it with exit code 126."""


def command_not_found(name: str | bytes) -> CommandNotFound:
    """Return the error for a command that the search path does not have.

    Podman looks for "executable file not found in", Docker for the same beside the command's name: both then
    exit with 127. The kubelet looks for it with "$PATH".
    """
    return CommandNotFound(f"exec: {quoted(name)}: executable file not found in $PATH")


def command_path_missing(path: str | bytes) -> CommandNotFound:
    """Return the error for a command given as a path where nothing is.

    Podman and Docker look for "no such file or directory" and exit with 127.
    """
    return CommandNotFound(f"exec: {quoted(path)}: stat {quoted(path)[1:-1]}: no such file or directory")


def command_not_executable(path: str | bytes) -> CommandNotExecutable:
    """Return the error for a command that is a directory, or that the user may not execute.

    Podman and Docker look for "permission denied" and exit with 126.
    """
    return CommandNotExecutable(f"exec: {quoted(path)}: permission denied")


def security_attribute(path: str, error: int) -> HoldfastError:
    """Return the error for a label or profile that the kernel did not take.

    path: the file below /proc. Podman looks for it in backquotes, `/proc/…/attr/exec`, and tells of a label.
    """
    return HoldfastError(f"write `{path}`: {os.strerror(error)}")
