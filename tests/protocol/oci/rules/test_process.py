"""Rules for the process."""

from __future__ import annotations

from typing import Any

import pytest
from support.configs import config, problems

from holdfast.protocol.oci.check import warnings


def of_process(**changes: Any) -> list[str]:  # noqa: ANN401  # any JSON
    """Return what is wrong with a sound process after changes."""
    return problems({"process": changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cwd": ""}, 'cwd: "" is not absolute; allowed: an absolute path'),
        ({"cwd": "tmp"}, 'cwd: "tmp" is not absolute; allowed: an absolute path'),
        ({"args": []}, "args: is missing; needed: at least the program's name"),
        ({"env": ["A=b", "A"]}, 'env[1]: "A" is not NAME=value; allowed: NAME=value'),
        ({"env": ["=x"]}, 'env[0]: "" is not NAME=value; allowed: NAME=value'),
        ({"env": [""]}, 'env[0]: "" is not NAME=value; allowed: NAME=value'),
        ({"user": {"uid": 2**32 - 1}}, "user.uid: 4294967295 is out of range; allowed: 0 to 4294967294"),
        ({"user": {"gid": 2**32 - 1}}, "user.gid: 4294967295 is out of range; allowed: 0 to 4294967294"),
        (
            {"user": {"additionalGids": [0, 2**32 - 1]}},
            "user.additionalGids[1]: 4294967295 is out of range; allowed: 0 to 4294967294",
        ),
        ({"user": {"umask": 512}}, "user.umask: 512 is out of range; allowed: 0 to 511"),
        (
            {"user": {"additionalGids": list(range(65537))}},
            "user.additionalGids: 65537 groups are too many; allowed: 65536",
        ),
        ({"oomScoreAdj": 1001}, "oomScoreAdj: 1001 is out of range; allowed: -1000 to 1000"),
        ({"oomScoreAdj": -1001}, "oomScoreAdj: -1001 is out of range; allowed: -1000 to 1000"),
        (
            {"apparmorProfile": "a\nb"},
            'apparmorProfile: "a\\x0ab" has a control character in it; allowed: printable characters',
        ),
        (
            {"selinuxLabel": "a\x7f"},
            'selinuxLabel: "a\\x7f" has a control character in it; allowed: printable characters',
        ),
        (
            {"terminal": True, "consoleSize": {"height": 65536, "width": 80}},
            "consoleSize.height: 65536 is out of range; allowed: 0 to 65535",
        ),
        (
            {"terminal": True, "consoleSize": {"height": 25, "width": 2**64 - 1}},
            "consoleSize.width: 18446744073709551615 is out of range; allowed: 0 to 65535",
        ),
        (
            {"ioPriority": {"class": "IOPRIO_CLASS_NONE", "priority": 0}},
            (
                'ioPriority.class: "IOPRIO_CLASS_NONE" is not a class; '
                "allowed: IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE"
            ),
        ),
        (
            {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}},
            "ioPriority.priority: 8 is out of range; allowed: 0 to 7",
        ),
        (
            {"execCPUAffinity": {"initial": "0-", "final": "1"}},
            (
                'execCPUAffinity.initial: "0-" is not a list; '
                "allowed: numbers of 0 to 8191 and ranges of them, as in 0-3,7"
            ),
        ),
        (
            {"execCPUAffinity": {"final": "8192"}},
            (
                'execCPUAffinity.final: "8192" is not a list; '
                "allowed: numbers of 0 to 8191 and ranges of them, as in 0-3,7"
            ),
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_problem_is_told(changes: dict[str, Any], sentence: str) -> None:
    assert [f"process.{sentence}"] == of_process(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"env": ["A=", "B==", "C=\n", "A=again"]},
        {"user": {"uid": 2**32 - 2, "gid": 2**32 - 2, "additionalGids": [2**32 - 2], "umask": 0o777}},
        {"oomScoreAdj": -1000},
        {"oomScoreAdj": 1000},
        {"terminal": False, "consoleSize": {"height": 2**40, "width": 2**40}},
        {"terminal": True, "consoleSize": {"height": 65535, "width": 0}},
        {"execCPUAffinity": {"initial": "", "final": "0-3,7"}},
        {"args": [""]},
    ],
)
def test_what_is_allowed_is_no_problem(changes: dict[str, Any]) -> None:
    assert [] == of_process(**changes)


def test_the_value_of_a_bad_environment_entry_is_not_repeated() -> None:
    assert "secret" not in of_process(env=["=secret"])[0]


def test_rlimits_have_a_known_type_once_and_soft_below_hard() -> None:
    def limit(name: str, soft: int = 1, hard: int = 2) -> dict[str, Any]:
        return {"type": name, "soft": soft, "hard": hard}

    assert [] == of_process(rlimits=[limit("RLIMIT_AS"), limit("RLIMIT_CPU", 2**64 - 1, 2**64 - 1)])
    assert [
        (
            'process.rlimits[1].type: "RLIMIT_FILES" is not a resource limit; allowed: RLIMIT_CPU, '
            "RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_NPROC, RLIMIT_NOFILE, "
            "RLIMIT_MEMLOCK, RLIMIT_AS, "
            "RLIMIT_LOCKS, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME"
        )
    ] == of_process(rlimits=[limit("RLIMIT_AS"), limit("RLIMIT_FILES")])
    assert ['process.rlimits[1].type: "RLIMIT_AS" is there twice; allowed: each type once'] == of_process(
        rlimits=[limit("RLIMIT_AS"), limit("RLIMIT_AS")]
    )
    assert ["process.rlimits[0].soft: 3 is above the hard limit; allowed: 0 to 2"] == of_process(
        rlimits=[limit("RLIMIT_AS", 3, 2)]
    )


@pytest.mark.parametrize(
    "scheduler",
    [
        {"policy": "SCHED_OTHER", "nice": -20},
        {"policy": "SCHED_BATCH", "nice": 19},
        {"policy": "SCHED_FIFO", "priority": 99, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
        {"policy": "SCHED_RR", "priority": 1},
        {"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 3},
        {"policy": "SCHED_IDLE"},
        {"policy": "SCHED_ISO"},
    ],
)
def test_a_sound_scheduler_is_no_problem(scheduler: dict[str, Any]) -> None:
    assert [] == of_process(scheduler=scheduler)


@pytest.mark.parametrize(
    ("scheduler", "sentence"),
    [
        (
            {"policy": "SCHED_FAST", "nice": 50},
            (
                'policy: "SCHED_FAST" is not a policy; allowed: SCHED_OTHER, SCHED_FIFO, SCHED_RR, '
                "SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE"
            ),
        ),
        ({"policy": "SCHED_OTHER", "nice": 20}, "nice: 20 is out of range; allowed: -20 to 19"),
        ({"policy": "SCHED_BATCH", "nice": -21}, "nice: -21 is out of range; allowed: -20 to 19"),
        (
            {"policy": "SCHED_FIFO", "priority": 1, "nice": 1},
            "nice: 1 means nothing to SCHED_FIFO; allowed: with SCHED_OTHER or SCHED_BATCH",
        ),
        ({"policy": "SCHED_RR", "priority": 100}, "priority: 100 is out of range; allowed: 1 to 99"),
        ({"policy": "SCHED_RR"}, "priority: 0 is out of range; allowed: 1 to 99"),
        (
            {"policy": "SCHED_OTHER", "priority": 1},
            "priority: 1 means nothing to SCHED_OTHER; allowed: with SCHED_FIFO or SCHED_RR",
        ),
        (
            {"policy": "SCHED_IDLE", "period": 7},
            "period: 7 means nothing to SCHED_IDLE; allowed: with SCHED_DEADLINE",
        ),
        (
            {"policy": "SCHED_DEADLINE", "runtime": 2**64 - 1},
            "runtime: 18446744073709551615 is out of range; allowed: 0 to 9223372036854775807",
        ),
    ],
)
def test_a_scheduler_that_the_kernel_would_refuse_or_ignore_is_told(
    scheduler: dict[str, Any], sentence: str
) -> None:
    assert [f"process.scheduler.{sentence}"] == of_process(scheduler=scheduler)


def test_an_unknown_flag_of_a_scheduler_is_told() -> None:
    (sentence,) = of_process(scheduler={"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RECLAIM", "X"]})

    assert sentence.startswith(
        'process.scheduler.flags[1]: "X" is not a flag; allowed: SCHED_FLAG_RESET_ON_FORK, '
    )


def test_unknown_and_ungrantable_capabilities_are_warnings() -> None:
    capabilities = {
        "bounding": ["CAP_KILL", "CAP_NEW\x1b"],
        "permitted": ["kill", "CAP_CHOWN"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL", "CAP_CHOWN"],
    }

    assert [] == of_process(capabilities=capabilities)
    assert [
        'process.capabilities.bounding[1]: "CAP_NEW\\x1b" is not a capability of Linux, and left out',
        (
            'process.capabilities.ambient[1]: "CAP_CHOWN" is left out, '
            "since it is not both permitted and inheritable"
        ),
    ] == warnings(config({"process": {"capabilities": capabilities}}))
