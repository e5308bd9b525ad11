"""Images that lie in wait for whoever looks something up in them: S27, S28, S29 of the attack list.

They hold what an interpreter or a C library would load if it stood in the container: modules at the paths of
the host's, a nsswitch.conf that names a library, a fifo in the place of our source. Each leaves a mark.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.attackers import after_each_step
from support.oci import usual_config

from holdfast.runtime import create as creating
from holdfast.runtime.steps import SETUP
from holdfast.runtime.sys.call import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.containers import Containers
    from support.holdfast import Holdfast

    from holdfast.runtime.making import Making

pytestmark = pytest.mark.root

MARK = "mark-of-the-image"
LIBRARY = f"""\
extern int creat(const char *, unsigned);
__attribute__((constructor)) static void leave_a_mark(void) {{ creat("/{MARK}", 0666); }}
"""
SOURCE = f"""\
import posix
posix.close(posix.open("/{MARK}", posix.O_CREAT | posix.O_WRONLY))
raise SystemExit(99)
"""


def plant_modules(rootfs: Path) -> None:
    """Put a marking module at each path where this Python looks for one, and for our own."""
    folders = [Path(path) for path in sys.path if path.startswith("/") and Path(path).is_dir()]
    codecs = Path(sysconfig.get_path("stdlib")) / "encodings"
    for folder in (*folders, codecs, Path(creating.__file__).parent):
        there = rootfs / str(folder.resolve())[1:]
        there.mkdir(parents=True, exist_ok=True)
        names = {path.stem for path in folder.glob("*.py")} | {"sitecustomize", "usercustomize", "cp1252"}
        for name in names:
            (there / f"{name}.py").write_text(SOURCE)
        (there / "any.pth").write_text("import cp1252\n")


def plant_nss(rootfs: Path) -> None:
    """Have every look-up of a name load a marking library, wherever it is looked for."""
    compiler = next(found for name in ("cc", "gcc", "clang") if (found := shutil.which(name)))
    (rootfs / "etc/nsswitch.conf").write_text("passwd: evil\ngroup: evil\nhosts: evil\n")
    (rootfs / "evil.c").write_text(LIBRARY)
    built = rootfs / "libnss_evil.so.2"
    command: list[str | Path] = [compiler, "-shared", "-fPIC", "-nostdlib", rootfs / "evil.c", "-o", built]
    subprocess.run(command, check=True)
    triplet = sysconfig.get_config_var("MULTIARCH") or "nowhere"
    for folder in ("lib", "lib64", "usr/lib", "usr/lib64", f"lib/{triplet}", f"usr/lib/{triplet}"):
        (rootfs / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(built, rootfs / folder / built.name)


def in_root(rootfs: Path, code: str) -> bytes:
    """Do what the design forbids: have an interpreter stand in the image. Returns what it said."""
    stand = f"import os, pwd, traceback\nos.chroot({str(rootfs)!r})\nos.chdir('/')\n{code}"
    return subprocess.run([sys.executable, "-I", "-c", stand], check=False, capture_output=True).stderr


def every_way(hf: Holdfast, rootfs: Path) -> None:
    """Run, exec, and fail, with what is looked up in an image."""
    hf.ok("run", "-d", "--name", "x", "--rootfs", rootfs, "-u", "user", "--", "sleep", "1000")
    assert "uid=1000(user)" in hf.ok("exec", "-u", "user:root", "x", "id")
    hf.ok("exec", "-t", "x", "true")
    for words in (["-u", "nobody-here"], ["-w", "/bin/sh"], []):
        assert 0 != hf("exec", *words, "x", "no-such").code
    assert 0 != hf("run", "--rm", "--rootfs", rootfs, "-u", "nobody-here", "--", "true").code
    hf.ok("rm", "-f", "x")


def test_nothing_of_the_image_is_imported_or_loaded(hf: Holdfast, rootfs: Path) -> None:
    """S27 and S28 at once: both leave the same mark."""
    plant_modules(rootfs)
    plant_nss(rootfs)
    every_way(hf, rootfs)
    assert not (rootfs / MARK).exists()


def test_control_a_codec_would_be_imported(rootfs: Path) -> None:
    """S27: so would a lazy import, and what a .pth file names."""
    plant_modules(rootfs)
    in_root(rootfs, "'x'.encode('cp1252')")
    assert (rootfs / MARK).exists()


def test_control_a_look_up_of_a_name_would_load_the_library(rootfs: Path) -> None:
    """S28 (CVE-2019-14271): the C library does as the image's nsswitch.conf says."""
    plant_nss(rootfs)
    in_root(rootfs, "pwd.getpwnam('user')")
    assert (rootfs / MARK).exists()


class TestTracebacks:
    """S29: whoever formats an error in the container opens the path of its own source there."""

    TEXT = "\x1b]0;of the image\x07"

    def plant(self, rootfs: Path, how: Callable[[Path], None]) -> None:
        runtime = Path(creating.__file__).parent
        sources = list(runtime.glob("**/*.py"))
        assert len(sources) > 50
        for source in {*sources, *(source.resolve() for source in sources)}:
            there = rootfs / str(source)[1:]
            there.parent.mkdir(parents=True, exist_ok=True)
            how(there)

    def as_text(self, there: Path) -> None:
        there.write_text(f"{self.TEXT}\n" * 2000)

    @pytest.mark.parametrize("kind", ["fifo", "text"])
    def test_fault_after_each_step_is_told_at_once_in_our_words(
        self, containers: Containers, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        self.plant(containers.rootfs, os.mkfifo if kind == "fifo" else self.as_text)
        names = [step.name for step in SETUP]
        victim = ""

        def fail(name: str, making: Making) -> None:
            if name == victim:
                making.init.subject = f"fail after {name}"
                making.init.do(Call(0x7FFF, "nothing", ()))
                making.init.flush()

        after_each_step(monkeypatch, creating, "SETUP", fail)
        told = 0
        for victim in names[names.index("clone init with its namespaces") :]:
            began = time.monotonic()
            if victim == "report and wait for start":  # it reads no batch any more
                break
            sentence = ""
            try:
                box = containers.create(usual_config())
            except OSError as error:
                sentence = str(error)
            else:  # this configuration takes no such step
                box.delete(force=True)
            assert time.monotonic() - began < 2
            assert sentence in ("", f"fail after {victim}: Function not implemented")
            told += bool(sentence)
        assert told > 10

    def test_control_a_traceback_would_show_the_images_text(self, rootfs: Path) -> None:
        self.plant(rootfs, self.as_text)
        source = Path(creating.__file__).resolve()
        fault = f"exec(compile('1/0', {str(source)!r}, 'exec'))"
        shown = in_root(rootfs, f"try: {fault}\nexcept ZeroDivisionError: traceback.print_exc()")
        assert self.TEXT.encode() in shown
