"""Configurations and processes that ask for the impossible: S79, S80, S86, S87, S95 of the attack list."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
import time
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.attackers import after_each_step
from support.oci import usual_config

from holdfast.protocol.errors import HoldfastError
from holdfast.runtime import create as creating
from holdfast.runtime.create import create
from holdfast.runtime.explain import Explain
from holdfast.runtime.steps import SETUP
from holdfast.runtime.sys.call import Call

if TYPE_CHECKING:
    from pathlib import Path

    from support.containers import Containers

    from holdfast.runtime.making import Making

pytestmark = pytest.mark.root

SENTENCE_MAX = 1024
SECRET = "s3cret-value"  # noqa: S105  # of nobody


USUAL = msgspec.json.encode(usual_config())
CORPUS = {
    "nothing": b"",
    "depth": USUAL[:-1] + b',"annotations":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
    "arrays": b"[" * 100_000,
    "long number": USUAL.replace(b'"uid":0', b'"uid":' + b"1" * 5000),
    "wide number": USUAL.replace(b'"uid":0', b'"uid":18446744073709551616'),
    "NaN": USUAL.replace(b'"uid":0', b'"uid":NaN'),
    "Infinity": USUAL.replace(b'"uid":0', b'"uid":Infinity'),
    "1e400": USUAL.replace(b'"uid":0', b'"uid":1e400'),
    "duplicate": USUAL.replace(b'"uid":0', b'"uid":1000,"uid":0'),
    "escaped duplicate": USUAL.replace(b'"uid":0', b'"uid":1000,"\\u0075id":0'),
    "true for a number": USUAL.replace(b'"uid":0', b'"uid":true'),
    "surrogate": USUAL.replace(b'"inside"', b'"\\ud800"'),
    "NUL": USUAL.replace(b'"PATH=/bin"', b'"PATH=/bin\\u0000/x"'),
    "NUL in args": USUAL.replace(b'"true"', b'"true\\u0000x"'),
    "byte order mark": b"\xef\xbb\xbf" + USUAL,
    "UTF-16": USUAL.decode().encode("utf-16"),
    "not UTF-8": USUAL.replace(b'"inside"', b'"\xff"'),
    "overlong": USUAL.replace(b'"inside"', b'"\xc0\xaf"'),
    "trailing": USUAL + b"{}",
    "comment": USUAL + b"// no",
    "quotes": USUAL.replace(b'"', b"'"),
    "big": USUAL + b" " * (17 << 20),
}


class TestJson:
    """S79, through create itself: each is told in a sentence, and soon."""

    @pytest.mark.parametrize("name", CORPUS)
    def test_text_that_is_no_configuration_is_told(self, containers: Containers, name: str) -> None:
        assert USUAL != CORPUS[name]
        request = containers.request(usual_config())
        (containers.directory / "bundle/config.json").write_bytes(CORPUS[name])
        began = time.monotonic()
        with pytest.raises(HoldfastError) as told:
            create(request)
        assert time.monotonic() - began < 2
        assert str(told.value).isprintable()
        assert len(str(told.value)) < SENTENCE_MAX

    def test_control_the_usual_text_is_one(self, containers: Containers) -> None:
        assert 0 == containers.run(msgspec.json.decode(USUAL)).code


ODD_NUMBERS = [
    "1_000",
    "12\n",
    " 1",
    "+5",
    "\u0661",
    "\uff17",
    "\u00b2",
    "0x10",
    "0o7",
    "1e3",
    "-1",
    "1.0",
    "",
]


class TestNumbers:
    """S80: what Python's int() takes for a number is not one here."""

    @pytest.mark.parametrize("number", ODD_NUMBERS)
    def test_text_is_no_number_of_a_configuration(self, containers: Containers, number: str) -> None:
        config = usual_config()
        config["process"]["user"]["uid"] = number
        assert "process.user.uid" in containers.refusal(config)


class TestNames:
    """S86: without a uts namespace of its own a container would name the host."""

    def test_host_name_without_a_namespace_is_told(self, containers: Containers) -> None:
        before = os.uname()
        for name in ("hostname", "domainname"):
            config = usual_config()
            config |= {"hostname": "", name: "owned"}
            namespaces = config["linux"]["namespaces"]
            config["linux"]["namespaces"] = [one for one in namespaces if one["type"] != "uts"]
            assert name in containers.refusal(config)
        assert before == os.uname()

    @pytest.mark.parametrize("name", ["a" * 65, "a\0b", "ü" * 40])
    def test_host_name_that_the_kernel_would_cut_is_told(self, containers: Containers, name: str) -> None:
        config = usual_config()
        config["hostname"] = name
        sentence = containers.refusal(config)
        assert "hostname" in sentence

    def test_container_names_itself_and_not_the_host(self, containers: Containers) -> None:
        before = os.uname()
        assert "inside" == containers.sh("hostname")
        assert before == os.uname()


class TestSecrets:
    """S87: what is told of a failure holds nothing of the environment."""

    def test_fault_after_each_step_tells_no_secret(
        self, containers: Containers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        names = [step.name for step in SETUP]
        victim = ""

        def fail(name: str, making: Making) -> None:
            if name == victim:
                making.init.do(Call(0x7FFF, "nothing", ()))
                making.init.flush()

        after_each_step(monkeypatch, creating, "SETUP", fail)
        config = usual_config()
        config["process"]["env"] += [f"TOKEN={SECRET}", f"LD_PRELOAD={SECRET}"]
        told = 0
        with (tmp_path / "explained").open("wb") as explained:
            for name in names[: names.index("report and wait for start")]:
                victim, sentence = name, ""
                try:
                    box = containers.create(config, explain=Explain(explained.fileno()))
                except OSError as error:
                    sentence = f"{error} {error!r} {error.args}"
                else:
                    box.delete(force=True)
                told += bool(sentence)
                assert SECRET not in sentence
        assert told > 10
        assert SECRET.encode() not in (tmp_path / "explained").read_bytes()

    @pytest.mark.parametrize("entry", [SECRET, f"={SECRET}", f"A={SECRET}\0", f"\0={SECRET}"])
    def test_entry_that_is_refused_is_not_shown(self, containers: Containers, entry: str) -> None:
        config = usual_config()
        config["process"]["env"].append(entry)
        sentence = containers.refusal(config)
        assert "process.env[1]" in sentence
        if entry != SECRET:  # a name alone may be one that was forgotten to be given a value
            assert SECRET not in sentence

    @pytest.mark.parametrize(
        "env",
        [{"TOKEN": SECRET}, [{"name": "TOKEN", "value": SECRET}], [["TOKEN", SECRET]], f"TOKEN={SECRET}"],
    )
    def test_environment_in_the_shape_of_others_is_not_shown(
        self, containers: Containers, env: object
    ) -> None:
        config = usual_config()
        config["process"]["env"] = env
        sentence = containers.refusal(config)
        assert "process.env" in sentence
        assert SECRET not in sentence

    def test_error_of_start_does_not_show_it(self, containers: Containers) -> None:
        (containers.rootfs / "bin/broken").write_text("#!/no/such\n")
        (containers.rootfs / "bin/broken").chmod(0o755)
        config = usual_config("broken", SECRET)
        config["process"]["env"].append(f"TOKEN={SECRET}")
        box = containers.create(config)
        with pytest.raises(HoldfastError) as told:
            box.start()
        assert SECRET not in str(told.value)
        assert "broken" in str(told.value)

    def test_text_of_others_is_escaped_and_cut(self, containers: Containers) -> None:
        evil = "\x1b]52;c;aGk=\x07\u202e" + "x" * 5000
        for field, value in (("cwd", evil), ("cwd", "/" + evil), ("args", [evil]), ("args", ["/" + evil])):
            config = usual_config()
            config["process"][field] = value
            sentence = containers.refusal(config)
            assert sentence.isprintable(), field
        config = usual_config()
        config["mounts"].append({"destination": "/" + evil, "type": evil, "source": evil, "options": [evil]})
        assert containers.refusal(config).isprintable()


class TestExec:
    """S95: what a container that runs has ready for an exec."""

    def test_program_is_searched_for_in_the_container_alone(
        self, containers: Containers, tmp_path: Path
    ) -> None:
        """Its PATH leads through links and to paths of the host."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "tool").write_text("#!/bin/sh\necho of the host\n")
        (outside / "tool").chmod(0o755)
        box = containers.begin(usual_config("sleep", "1000"))
        (containers.rootfs / "up").symlink_to("../" * 30 + str(outside)[1:])
        (containers.rootfs / "root/tool").write_text("#!/bin/sh\necho of the image\n")
        (containers.rootfs / "root/tool").chmod(0o755)
        path = f"PATH={outside}:/up:/proc/1/root{outside}:/root:/bin"
        assert (0, "of the image\n") == box.execute("tool", env=[path])
        with pytest.raises(HoldfastError, match="tool"):
            box.execute("tool", env=[f"PATH={outside}:/up"])

    @pytest.mark.parametrize("cwd", ["/up", "/proc/self/fd/7", "/gone", "relative", ""])
    def test_working_directory_is_the_containers_or_told(self, containers: Containers, cwd: str) -> None:
        box = containers.begin(usual_config("sleep", "1000"))
        (containers.rootfs / "up").symlink_to("../" * 30 + str(containers.directory)[1:])
        with pytest.raises((HoldfastError, OSError)) as told:
            box.execute("true", cwd=cwd)
        assert "process.cwd" in str(told.value)

    @pytest.mark.parametrize("side", [65536, 2**32, 2**64, -1])
    def test_size_that_is_none_is_told(self, containers: Containers, side: int) -> None:
        box = containers.begin(usual_config("sleep", "1000"))
        for size in ({"height": side, "width": 80}, {"height": 24, "width": side}):
            with pytest.raises(HoldfastError, match="consoleSize"):
                box.execute("true", terminal=True, consoleSize=size)

    @pytest.mark.parametrize("size", [(0, 0), (65535, 65535), (1, 1)])
    def test_any_other_size_arrives(self, containers: Containers, size: tuple[int, int]) -> None:
        config = usual_config("sleep", "1000")
        config["process"] |= {"terminal": True, "consoleSize": {"height": size[0], "width": size[1]}}
        box = containers.begin(config)
        assert box.console is not None
        _, (ptm_fd,), _, _ = socket.recv_fds(box.console, 1, 1)
        assert (*size, 0, 0) == struct.unpack("4H", fcntl.ioctl(ptm_fd, termios.TIOCGWINSZ, bytes(8)))
        os.close(ptm_fd)
