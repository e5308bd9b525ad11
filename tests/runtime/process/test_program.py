"""Finding the program as execvp(3) would, as the user, and telling what is wrong with the best candidate."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from support.oci import CAPABILITIES, usual_config

from holdfast.protocol.errors import CommandNotExecutable, CommandNotFound
from holdfast.runtime.create import create

if TYPE_CHECKING:
    from support.containers import Containers

pytestmark = pytest.mark.root

USER = {"uid": 1000, "gid": 1000}


def with_process(*args: str, **changes: object) -> dict[str, Any]:
    config = usual_config(*args)
    config["process"] |= changes
    return config


def script(containers: Containers, path: str, says: str, mode: int = 0o755) -> None:
    file = containers.rootfs / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'#!/bin/sh\necho "{says} $0"\n')
    file.chmod(mode)


def test_first_executable_of_the_path_is_run(containers: Containers) -> None:
    script(containers, "one/tool", "one", 0o644)
    script(containers, "two/tool", "two")
    script(containers, "three/tool", "three")
    (containers.rootfs / "zero/tool").mkdir(parents=True)
    ran = containers.run(with_process("tool", env=["PATH=/missing:/zero:/one:/two:/three"]))
    assert "two /two/tool\n" == ran.out


def test_empty_element_of_the_path_is_the_working_directory(containers: Containers) -> None:
    script(containers, "work/tool", "here")
    ran = containers.run(with_process("tool", env=["PATH=/missing::/bin"], cwd="/work"))
    assert "here ./tool\n" == ran.out


def test_without_a_path_the_usual_directories_are_searched(containers: Containers) -> None:
    assert 0 == containers.run(with_process("true", env=[])).code


def test_relative_path_starts_from_the_working_directory(containers: Containers) -> None:
    script(containers, "work/sub/tool", "sub")
    assert "sub sub/tool\n" == containers.run(with_process("sub/tool", cwd="/work")).out


@pytest.mark.parametrize("path", [[], ["PATH="], ["PATH=/missing"]])
def test_missing_program_is_told_as_managers_read_it(containers: Containers, path: list[str]) -> None:
    told = containers.refusal(with_process("no-such-program", env=path))
    assert 'exec: "no-such-program": executable file not found in $PATH' == told


def test_missing_path_is_told_as_managers_read_it(containers: Containers) -> None:
    told = containers.refusal(with_process("/no/such"))
    assert 'exec: "/no/such": stat /no/such: no such file or directory' == told


@pytest.mark.parametrize("path", ["/etc", "/etc/passwd", "/etc/", "./etc"])
def test_what_is_no_program_is_told_as_managers_read_it(containers: Containers, path: str) -> None:
    assert f'exec: "{path}": permission denied' == containers.refusal(with_process(path))


def test_errors_have_kinds_by_which_exit_codes_are_chosen(containers: Containers) -> None:
    for name, kind in (("no", CommandNotFound), ("/no", CommandNotFound), ("/etc", CommandNotExecutable)):
        with pytest.raises(kind):
            create(containers.request(with_process(name)))


def test_program_that_only_root_may_execute_is_refused_for_a_user(containers: Containers) -> None:
    script(containers, "tool", "root", 0o700)
    assert "root /tool\n" == containers.run(with_process("/tool")).out
    config = with_process("/tool", user=USER, capabilities={})
    assert 'exec: "/tool": permission denied' == containers.refusal(config)


def test_program_that_a_capability_opens_is_found(containers: Containers) -> None:
    script(containers, "tool", "root", 0o700)
    assert "CAP_DAC_OVERRIDE" in CAPABILITIES
    box = containers.create(with_process("/tool", user=USER))
    box.start()
    assert "root" not in box.finish().out  # the interpreter is another program, without it


def test_program_of_an_additional_group_is_found(containers: Containers) -> None:
    script(containers, "tool", "group", 0o750)
    os.chown(containers.rootfs / "tool", 0, 2000)
    user = {**USER, "additionalGids": [2000]}
    assert "group /tool\n" == containers.run(with_process("/tool", user=user)).out


def test_directory_that_the_user_may_not_search_hides_the_program(containers: Containers) -> None:
    script(containers, "closed/tool", "closed")
    (containers.rootfs / "closed").chmod(0o700)
    config = with_process("/closed/tool", user=USER, capabilities={})
    assert 'exec: "/closed/tool": permission denied' == containers.refusal(config)


@pytest.mark.parametrize("target", ["/bin/busybox", "../../../../../../../bin/busybox"])
def test_links_to_the_program_stay_inside(containers: Containers, target: str) -> None:
    (containers.rootfs / "links").mkdir()
    os.symlink(target, containers.rootfs / "links/hostname")
    assert "inside\n" == containers.run(with_process("/links/hostname")).out


# The working directory


def test_working_directory_is_made_if_missing(containers: Containers) -> None:
    assert "/a/b/c" == containers.sh("pwd", cwd="/a/b/c")
    assert 0o755 == (containers.rootfs / "a/b").stat().st_mode & 0o777


def test_working_directory_through_links_stays_inside(containers: Containers) -> None:
    os.symlink("/../../../tmp", containers.rootfs / "led")
    assert "/tmp" == containers.sh("pwd -P", cwd="/led")


@pytest.mark.parametrize("cwd", ["/etc/passwd", "/etc/passwd/below"])
def test_working_directory_that_is_none_is_told(containers: Containers, cwd: str) -> None:
    told = containers.refusal(with_process(cwd=cwd))
    assert told.startswith("process.cwd: ")
    assert "Not a directory" in told


def test_working_directory_need_not_be_open_to_the_user(containers: Containers) -> None:
    """As with other runtimes: `docker run --user 1000 --workdir /root` works."""
    (containers.rootfs / "closed").mkdir(mode=0o700)
    config = with_process("/bin/true", cwd="/closed", user=USER, capabilities={})
    assert 0 == containers.run(config).code


@pytest.mark.parametrize("number", range(3, 14))
def test_working_directory_by_a_descriptor_never_leads_out(containers: Containers, number: int) -> None:
    """CVE-2024-21626: a descriptor of the host that init still has is a way out."""
    config = with_process("sh", "-c", "pwd -P; ls", cwd=f"/proc/self/fd/{number}")
    told = containers.refusal(config)
    assert told.startswith("process.cwd: ")
