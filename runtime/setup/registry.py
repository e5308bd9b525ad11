"""Steps that keep the container's record.

Reserve the id, note the process, declare the container created.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.runtime import container, durable
from holdfast.runtime.cgroups import intent
from holdfast.runtime.clock import now
from holdfast.runtime.container import Record, start_time
from holdfast.runtime.sys import files
from holdfast.runtime.sys.call import shown
from holdfast.runtime.sys.numbers import AT_FDCWD

if TYPE_CHECKING:
    from holdfast.runtime.making import Making


def reserve(making: Making) -> None:
    """Make the state directory, with the record of a container that is being created."""
    plan, x = making.plan, making.parent
    x.subject = f'container "{plan.id}": reserve the id'
    making.state_fd = container.reserve(x, plan.root, plan.id)
    making.lock_fd = container.lock_directory(making.state_fd, plan.id)
    making.record = Record(
        id=plan.id,
        bundle=os.fsdecode(plan.bundle),
        rootfs=os.fsdecode(plan.mounts.rootfs),
        created=now(),
        boot_id=container.boot_id(),
        owner=str(os.geteuid()),
        annotations=plan.config.annotations,
        namespaces=plan.namespaces,
        has_keyring=plan.process.keyring is not None,
        cgroup=intent.intend(x, plan.cgroup),
    )
    container.save_record(x, making.state_fd, making.record)
    durable.write_durably(x, making.state_fd, container.CONFIG_FILE, plan.snapshot)
    x.subject = ""


def release(making: Making) -> None:
    """Give the id free. Nothing is done if it was not this create that reserved it."""
    if making.state_fd >= 0:
        container.remove(making.plan.root, making.plan.id, making.state_fd)


def note_process(making: Making) -> None:
    """Record init, so that whoever finds a create that was killed can end it."""
    making.record.pid = making.pid
    making.record.namespaces = making.namespaces  # with the maps of a user namespace that was joined
    making.record.start_time = start_time(making.pid)
    making.record.cgroup = making.cgroup
    _save(making)


def declare_created(making: Making) -> None:
    """Record the container as created, then tell the manager its pid by the pid file."""
    making.record.ready = True
    _save(making)
    write_pid_file(making)


def write_pid_file(making: Making) -> None:
    """Write the pid file: decimal, no newline, complete before it has its name."""
    if making.pid_file is None:
        return
    x = making.parent
    directory, _, name = making.pid_file.rpartition(b"/")
    x.subject = f"write the pid file {shown(making.pid_file)}"
    directory_fd = x.do(files.openat(AT_FDCWD, directory + b"/", os.O_RDONLY | os.O_DIRECTORY))
    durable.write_durably(x, directory_fd, name, b"%d" % making.pid, mode=0o644)
    x.do(files.close(directory_fd))
    x.subject = ""


def _save(making: Making) -> None:
    making.parent.subject = f'container "{making.plan.id}": write its record'
    container.save_record(making.parent, making.state_fd, making.record)
    making.parent.subject = ""
