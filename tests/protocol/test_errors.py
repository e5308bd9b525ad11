"""Errors: sentences that cannot act on a terminal, and the words that managers look for."""

from __future__ import annotations

import errno
import re

import pytest

from holdfast.protocol import errors
from holdfast.protocol.errors import ConfigError, HoldfastError, Problem, joined, quoted


def test_a_problem_with_a_value_tells_field_value_reason_and_what_is_allowed() -> None:
    problem = Problem(
        "process.rlimits[2].type", "FILES", "RLIMIT_AS, RLIMIT_CORE", "is not a resource limit"
    )

    assert (
        'process.rlimits[2].type: "FILES" is not a resource limit; allowed: RLIMIT_AS, RLIMIT_CORE'
        == problem.sentence()
    )


def test_a_problem_without_a_reason_says_that_the_value_is_not_allowed() -> None:
    assert 'a.b: "x" is not allowed; allowed: y' == Problem("a.b", "x", "y").sentence()


def test_a_problem_without_a_value_says_what_is_missing() -> None:
    assert "root.path: is missing; needed: a path" == Problem("root.path", None, "a path").sentence()


def test_config_error_tells_all_problems_that_have_room_and_counts_the_others() -> None:
    error = ConfigError([Problem(f"field{i}", "x" * 100, "y" * 100) for i in range(20)])

    sentences = str(error).split("; and ")
    assert "more" in sentences[-1]
    assert 20 == len(sentences) - 1 + int(sentences[-1].removesuffix(" more"))
    assert len(str(error)) < 1100
    assert 20 == len(error.problems)


def test_config_error_takes_a_whole_sentence() -> None:
    assert "config.json: is not UTF-8" == str(ConfigError("config.json: is not UTF-8"))
    assert () == ConfigError("config.json: is not UTF-8").problems


def test_one_long_problem_is_told_even_if_it_has_no_room() -> None:
    assert "y" * 2000 in str(ConfigError([Problem("a", "x", "y" * 2000)]))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", '"plain"'),
        ('a "b"', '"a \\"b\\""'),
        ("\x1b]52;c;aGk=\x07", '"\\x1b]52;c;aGk=\\x07"'),
        ("line\nnext\r\x85", '"line\\x0anext\\x0d\\x85"'),
        ("abc\u202etxt.exe", '"abc\\u202etxt.exe"'),
        ("x" * 201, '"' + "x" * 200 + '…"'),
        (b"a\xffb\x00", '"a\\xffb\\x00"'),
        (True, "true"),
        (None, "null"),
        (-5, "-5"),
        (1.5, "1.5"),
        (2**64 - 1, "18446744073709551615"),
        pytest.param(10**5000, "a number of more than 64 bits", id="endless"),
        (float("inf"), "a number of more than 64 bits"),
        ([1], "an array"),
        ((), "an array"),
        ({"a": 1}, "an object"),
    ],
)
def test_quoted_shows_a_value_so_that_it_cannot_act_on_a_terminal(value: object, shown: str) -> None:
    assert shown == quoted(value)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("cwd", "process.cwd"),
        ("a.b", 'process["a.b"]'),
        ("a b", 'process["a b"]'),
        ("\x1b", 'process["\\x1b"]'),
        ("é", 'process["é"]'),
        ("", 'process[""]'),
        ("k" * 65, f'process["{"k" * 65}"]'),
    ],
)
def test_a_member_with_an_odd_key_is_named_in_brackets(key: str, path: str) -> None:
    assert path == joined("process", key)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.does_not_exist("web"), "does not exist"),
        (errors.not_running("web"), "container not running"),
        (errors.command_not_found("nope"), 'exec: "nope": executable file not found in $PATH'),
        (errors.command_path_missing(b"/nope"), 'exec: "/nope": stat /nope: no such file or directory'),
        (errors.command_not_executable("/etc"), 'exec: "/etc": permission denied'),
        (errors.already_exists("web"), "container with given ID already exists"),
        (errors.not_paused("web"), "container not paused"),
        (errors.not_stopped("web", "running"), 'cannot delete container "web" that is not stopped: running'),
        (errors.cannot_start("web", "running"), "cannot start an already running container"),
        (errors.cannot_start("web", "stopped"), "cannot start a container that has stopped"),
        (errors.cannot_start("web", "paused"), "cannot start a container in the paused state"),
        (errors.nothing_to_start("web"), "process is required to start"),
        (errors.cannot_exec("web", "stopped"), "cannot exec in a stopped container"),
        (
            errors.cannot_exec("web", "paused"),
            "cannot exec in a paused container (use --ignore-paused to override)",
        ),
        (errors.start_failed("become the program", errno.ENOEXEC), "become the program: Exec format error"),
    ],
)
def test_errors_have_the_words_that_managers_and_people_look_for(error: HoldfastError, words: str) -> None:
    assert words in str(error)


def test_a_label_that_the_kernel_refuses_is_told_so_that_podman_finds_the_file() -> None:
    error = errors.security_attribute("/proc/thread-self/attr/exec", errno.EINVAL)

    # podman: libpod/oci_util.go looks for this
    found = re.search(r"`/proc/[a-z0-9-].+/attr.*`", str(error))
    assert found
    assert "`/proc/thread-self/attr/exec`" == found[0]


@pytest.mark.parametrize(
    "error",
    [
        errors.does_not_exist("web"),
        errors.not_running("web"),
        errors.already_exists("web"),
        errors.cannot_exec("web", "paused"),
        errors.nothing_to_start("web"),
        ConfigError([Problem("process.cwd", "x", "an absolute path")]),
    ],
)
def test_other_errors_do_not_have_the_words_that_set_podmans_exit_codes(error: HoldfastError) -> None:
    lower = str(error).lower()
    for words in (
        "permission denied",
        "operation not permitted",
        "executable file not found in",
        "no such file or directory",
    ):
        assert words not in lower


def test_create_and_exec_have_prefixes_that_docker_shows() -> None:
    assert "exec failed: unable to start container process: " == errors.EXEC_PREFIX
    expected = "holdfast-runtime create failed: unable to start container process: "
    assert expected == errors.create_prefix("holdfast-runtime")
