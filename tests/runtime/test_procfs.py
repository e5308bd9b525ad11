"""The private procfs, in this process and through a puppet."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from support.inits import MAPPED, new_init

from holdfast.runtime.procfs import Procfs
from holdfast.runtime.sys import files, mount
from holdfast.runtime.sys.call import CallFailed, number_of
from holdfast.runtime.sys.executor import Here
from holdfast.runtime.sys.numbers import AT_FDCWD


def test_reads_a_file_of_a_process() -> None:
    assert Path("/proc/self/status").read_bytes()[:6] == Procfs.shared().read(b"%d/status" % os.getpid())[:6]


def test_reads_a_file_that_is_longer_than_one_piece() -> None:
    assert len(Path("/proc/kallsyms").read_bytes()) == len(Procfs.shared().read(b"kallsyms"))


def test_process_that_is_gone_is_told_as_such() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(FileNotFoundError):
        Procfs.shared().read(b"%d/stat" % pid)


def test_way_out_by_a_magic_link_is_closed() -> None:
    with pytest.raises(CallFailed) as failure:
        Procfs.shared().read(b"self/root/etc/passwd")
    assert failure.value.errno in (errno.ELOOP, errno.EXDEV)


def test_failure_is_told_with_the_subject_of_the_executor() -> None:
    x = Here()
    x.subject = "set the OOM score"
    with pytest.raises(CallFailed, match=r"set the OOM score: (Permission denied|Invalid)"):
        Procfs.shared(x).write(b"self/oom_score_adj", b"5000")


def test_shared_one_leaves_no_second_descriptor() -> None:
    Procfs.shared()
    before = os.listdir("/proc/self/fd")
    Procfs.shared().read(b"self/stat")
    assert before == os.listdir("/proc/self/fd")


def test_shows_the_pid_namespace_of_its_executor() -> None:
    with new_init() as init:
        proc = Procfs.open(init.x)
        assert proc.read(b"self/stat").startswith(b"1 (")
        proc.close()
        init.x.flush()


def test_writes_a_sysctl_of_the_executors_namespaces() -> None:
    with new_init() as init:
        Procfs.open(init.x).write(b"sys/net/ipv4/ip_default_ttl", b"33")
        init.x.flush()
        assert b"33\n" == Procfs.open(init.x).read(b"sys/net/ipv4/ip_default_ttl")
    assert b"33\n" != Path("/proc/sys/net/ipv4/ip_default_ttl").read_bytes()


def test_opens_the_namespace_of_a_process() -> None:
    with new_init(id_map=MAPPED) as init:
        fd = number_of(Procfs.shared().namespace(init.pid, b"user"))
        assert os.stat(f"/proc/{init.pid}/ns/user").st_ino == os.fstat(fd).st_ino
        os.close(fd)


def test_file_bound_over_another_one_is_not_met() -> None:
    """S10: what was planted at the path /proc is out of the way of a procfs of our own."""
    with new_init() as init:
        x = init.x
        x.do(mount.mount_setattr(AT_FDCWD, path=b"/", propagation=mount.MS_PRIVATE, recursive=True))
        plant = mount.new_filesystem(x, b"proc", [], 0)
        x.do(mount.move_mount(plant, AT_FDCWD, b"/proc"))
        fake = x.do(mount.open_tree(AT_FDCWD, b"/proc/self/comm"))
        x.do(mount.move_mount(fake, AT_FDCWD, b"/proc/sys/kernel/hostname"))
        x.flush()
        control = x.do(files.openat(AT_FDCWD, b"/proc/sys/kernel/hostname", os.O_WRONLY))
        x.do(files.write(control, b"fooled"))
        x.flush()
        assert b"fooled" == Path(f"/proc/{init.pid}/comm").read_bytes().strip()
        proc = Procfs.open(init.x)
        proc.write(b"sys/kernel/hostname", b"reached")
        assert b"reached\n" == proc.read(b"sys/kernel/hostname")
        assert b"fooled" == proc.read(b"self/comm").strip()
