"""Who the program is in the end: S19, S20, S30, S72, S85 of the attack list.

What is asked inside is asked of the kernel by the program itself, so it is what the program really has.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import struct
from typing import TYPE_CHECKING, Any

import pytest
from support.containers import status_of
from support.oci import CAPABILITIES, usual_config
from support.trees import ID_MAPPINGS

from holdfast.protocol.oci.names import capability
from holdfast.runtime import create as creating
from holdfast.runtime import plan
from holdfast.runtime.setup import parking
from holdfast.runtime.steps import SETUP
from holdfast.runtime.sys import files, process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.containers import Box, Containers
    from support.holdfast import Holdfast

pytestmark = pytest.mark.root

OWN_MODE = status_of(os.getpid())["Seccomp"]
USERS: list[tuple[int, int, list[int]]] = [(0, 0, []), (1000, 1001, [5, 7])]
SHOW = ("/bin/cat", "/proc/self/status")


def mask(names: list[str]) -> str:
    """Return a capability set as the kernel shows it."""
    return f"{sum(1 << (capability(name) or 0) for name in names):016x}"


NONE, BOUND = mask([]), mask(CAPABILITIES)


def lines(text: str) -> dict[str, str]:
    """Return the lines of a status file."""
    parts = (line.partition(":") for line in text.splitlines())
    return {name: " ".join(value.split()) for name, _, value in parts}


def config(*, userns: bool, nnp: bool, user: tuple[int, int, list[int]], filtered: bool) -> dict[str, Any]:
    """Return the configuration for a place of the matrix."""
    made = usual_config(*SHOW)
    made["mounts"].pop()  # a file to be made in the rootfs, which root of the user namespace may not
    uid, gid, groups = user
    made["process"] |= {"noNewPrivileges": nnp, "user": {"uid": uid, "gid": gid, "additionalGids": groups}}
    if userns:
        made["linux"]["namespaces"].append({"type": "user"})
        made["linux"] |= {"uidMappings": ID_MAPPINGS, "gidMappings": ID_MAPPINGS}
    if not filtered:
        del made["linux"]["seccomp"]
    return made


def expected(*, nnp: bool, user: tuple[int, int, list[int]], filtered: bool) -> dict[str, str]:
    """Return what the program has to see of itself."""
    uid, gid, groups = user
    gained = NONE if uid else BOUND  # the kernel's rule for root at an exec, within the bounding set
    return {
        "Uid": " ".join([str(uid)] * 4),
        "Gid": " ".join([str(gid)] * 4),
        "Groups": " ".join(map(str, groups)),
        "CapInh": NONE,
        "CapPrm": gained,
        "CapEff": gained,
        "CapBnd": BOUND,
        "CapAmb": NONE,
        "NoNewPrivs": str(int(nnp)),
        "Seccomp": "2" if filtered else OWN_MODE,
        "SigBlk": NONE,
        "SigIgn": NONE,
    }


class TestMatrix:
    """S20: the order of the steps differs with each of these; what comes of it must not."""

    @pytest.mark.parametrize("userns", [False, True])
    @pytest.mark.parametrize("nnp", [False, True])
    def test_program_is_exactly_who_was_asked_for(
        self, containers: Containers, userns: bool, nnp: bool
    ) -> None:
        for user, filtered in itertools.product(USERS, [False, True]):
            made = config(userns=userns, nnp=nnp, user=user, filtered=filtered)
            wanted = expected(nnp=nnp, user=user, filtered=filtered)
            ran = containers.run(made)
            assert wanted == {name: lines(ran.out)[name] for name in wanted}
            made["process"]["args"] = ["/bin/sleep", "1000"]
            box = containers.begin(made)
            rights = {name: made["process"][name] for name in ("user", "capabilities", "noNewPrivileges")}
            ran = box.execute(*SHOW, **rights)
            assert wanted == {name: lines(ran.out)[name] for name in wanted}
            box.delete(force=True)


class TestInheritable:
    """S19: capabilities that come back at an exec (CVE-2022-29162, CVE-2022-24769)."""

    def gains(self, containers: Containers, sets: dict[str, list[str]]) -> set[str]:
        """Run a program whose file gives capabilities, as a user who has none. Returns its sets."""
        program = containers.rootfs / "home/grep"
        program.write_bytes((containers.rootfs / "bin/busybox").read_bytes())
        program.chmod(0o755)
        chown = 1 << 0
        # Revision 2, effective; permitted, inheritable, and the upper halves. Source: capabilities(7).
        os.setxattr(program, "security.capability", struct.pack("<5I", 0x2000001, 0, chown, 0, 0))
        made = usual_config("/home/grep", "-E", "^Cap(Prm|Eff)", "/proc/self/status")
        made["process"] |= {
            "noNewPrivileges": False,
            "user": {"uid": 1000, "gid": 1000},
            "capabilities": {"bounding": CAPABILITIES, "effective": [], "permitted": [], **sets},
        }
        return set(lines(containers.run(made).out).values())

    def test_program_with_file_capabilities_gains_nothing(self, containers: Containers) -> None:
        assert {NONE} == self.gains(containers, {})

    def test_control_an_inheritable_set_would_have_it_gain(self, containers: Containers) -> None:
        """What older managers asked for."""
        held = {"inheritable": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"]}
        assert {mask(["CAP_CHOWN"])} == self.gains(containers, held)

    def test_none_is_inheritable_by_the_commands_own_configuration(self, hf: Holdfast) -> None:
        show = ("sh", "-c", "grep -E '^Cap(Inh|Amb)' /proc/self/status")
        hf.ok("run", "-d", "--name", "x", "--cap-add", "NET_RAW", "--", "sleep", "1000")
        for words in (["exec", "x"], ["exec", "-u", "1000", "x"], ["run", "--rm", "--cap-add", "ALL", "--"]):
            assert {NONE} == set(lines(hf.ok(*words, *show)).values())
        hf.ok("rm", "-f", "x")


class TestIds:
    """S30: a number that means "leave it", or is cut to nothing, on its way to the kernel."""

    WRONG = ("-1", "4294967295", "4294967296", "18446744073709551616", "true", "1.0", '"0"', "[0]", "1e0")
    FIELDS = ("uid", "gid", "additionalGids")

    def refusal(self, containers: Containers, field: str, text: str) -> str:
        made = usual_config(*SHOW)
        value = json.loads(text)
        made["process"]["user"][field] = [value] if field == "additionalGids" else value
        return containers.refusal(made)

    @pytest.mark.parametrize("field", FIELDS)
    def test_number_that_is_no_id_is_told(self, containers: Containers, field: str) -> None:
        for text in self.WRONG:
            assert f"process.user.{field}" in self.refusal(containers, field, text), text

    @pytest.mark.parametrize("number", [2**31 - 1, 2**31, 2**32 - 2])
    def test_large_id_is_exact(self, containers: Containers, number: int) -> None:
        made = usual_config(*SHOW)
        made["process"]["user"] = {"uid": number, "gid": number, "additionalGids": [number]}
        found = lines(containers.run(made).out)
        assert [" ".join([str(number)] * 4)] * 2 == [found["Uid"], found["Gid"]]
        assert str(number) == found["Groups"]

    def unchanged(self) -> dict[str, Any]:
        made = usual_config(*SHOW)
        made["process"]["user"] = {"uid": 2**32 - 1, "gid": 2**32 - 1}
        return made

    def without(
        self, monkeypatch: pytest.MonkeyPatch, *, check: bool = True, wrapper: bool = True, look: bool = True
    ) -> None:
        """Leave only some of the three defences."""
        if not check:
            monkeypatch.setattr(plan, "check", lambda _: ())
        if not wrapper:
            monkeypatch.setattr(process, "_checked_id", lambda _, number: number)
            monkeypatch.setattr(files, "_ID_MAX", 2**64)
        if not look:
            steps = tuple(step for step in SETUP if step.do is not parking.check_identity)
            monkeypatch.setattr(creating, "SETUP", steps)

    def test_wrapper_refuses_what_the_check_lets_pass(
        self, containers: Containers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.without(monkeypatch, check=False)
        with pytest.raises(ValueError, match="4294967295 is out of range"):
            containers.create(self.unchanged())

    def test_look_at_the_kernels_word_finds_what_both_let_pass(
        self, containers: Containers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.without(monkeypatch, check=False, wrapper=False)
        assert "check who init has become: Uid is '0 0 0 0'" in containers.refusal(self.unchanged())

    def test_control_without_all_three_it_is_root(
        self, containers: Containers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.without(monkeypatch, check=False, wrapper=False, look=False)
        assert "0 0 0 0" == lines(containers.run(self.unchanged()).out)["Uid"]


class TestSignals:
    """S72: Python ignores SIGPIPE and SIGXFSZ, and whoever calls may ignore or block anything."""

    @pytest.fixture(autouse=True)
    def deaf(self) -> Iterator[None]:
        """Ignore and block what can be."""
        numbers = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 3}
        before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        yield
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        for number, handler in before.items():
            signal.signal(number, handler)

    def test_program_and_exec_ignore_and_block_nothing(self, containers: Containers) -> None:
        own = status_of(os.getpid())
        assert NONE not in (own["SigIgn"], own["SigBlk"])
        script = "grep -E '^Sig(Ign|Blk)' /proc/self/status; exec sleep 1000"
        box = containers.begin(usual_config("/bin/sh", "-c", script))
        assert f"SigBlk:\t{NONE}\nSigIgn:\t{NONE}\n" == os.read(box.out_fd, 4096).decode()
        ran = box.execute("grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status")
        assert f"SigBlk:\t{NONE}\nSigIgn:\t{NONE}\n" == ran.out


def read(box: Box, name: str) -> str:
    """Return a file of init's /proc."""
    with open(f"/proc/{box.pid}/{name}") as file:
        return file.read()


def test_score_and_limits_are_those_of_the_configuration(containers: Containers) -> None:
    """S85."""
    made = usual_config("sleep", "1000")
    made["process"]["rlimits"].append({"type": "RLIMIT_CORE", "soft": 0, "hard": 4096})
    with open("/proc/self/oom_score_adj") as file:
        own = int(file.read())  # less than that takes a right that the test may not have
    for score in (own, 999, 1000):
        made["process"]["oomScoreAdj"] = score
        box = containers.begin(made)
        assert f"{score}\n" == read(box, "oom_score_adj")
        limits = dict(line.split("  ", 1) for line in read(box, "limits").splitlines())
        assert ["512", "512", "files"] == limits["Max open files"].split()
        assert ["0", "4096", "bytes"] == limits["Max core file size"].split()
