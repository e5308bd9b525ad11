"""Numbers and structures on their way to the kernel: S89 of the attack list.

A number that is cut, a structure that is too short or a call that is another one on this machine is no error
to anybody: it does something else. So the tables are compared with the kernel's own headers, and each
wrapper that takes an id is asked for what would be cut to root.
"""

from __future__ import annotations

import ast
import ctypes
import re
import shutil
import struct
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.runtime.seccomp import libseccomp
from holdfast.runtime.sys import executor, files, mount, numbers, process
from holdfast.runtime.sys.call import Call, Out, Struct
from holdfast.runtime.sys.executor import here

if TYPE_CHECKING:
    from collections.abc import Callable

TREE = Path(__file__).parents[2]
SYS = sorted((TREE / "runtime/sys").glob("*.py"))
_USE_ERRNO = 8
HEADERS = {
    "x86_64": ("asm/unistd_64.h", r"#define __NR_(\w+)\s+(\d+)$"),
    "aarch64": ("asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+)\s+(\d+)$"),
}
"""Where the kernel tells the numbers, and how."""


def include(name: str) -> Path:
    """Return the path of a header of the kernel."""
    folders = [Path("/usr/include", sysconfig.get_config_var("MULTIARCH") or ""), Path("/usr/include")]
    return next(folder / name for folder in folders if (folder / name).exists())


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_the_kernels(machine: str) -> None:
    name, pattern = HEADERS[machine]
    if machine == "x86_64" and sysconfig.get_config_var("MULTIARCH") not in (None, "x86_64-linux-gnu"):
        return  # these headers are for one machine
    told = {
        name: int(number) for name, number in re.findall(pattern, include(name).read_text(), re.MULTILINE)
    }
    table = {"x86_64": numbers._X86_64, "aarch64": numbers._AARCH64}[machine]
    ours = table | numbers._EVERYWHERE
    assert len(ours) > 80
    assert {} == {call: number for call, number in ours.items() if told.get(call, number) != number}
    assert {"fcntl", "fstatfs", "sendfile", "ftruncate"} >= {call for call in ours if call not in told}


def test_each_call_that_is_made_has_a_number_on_each_machine() -> None:
    """Raw numbers are nowhere: a call is always looked up by its name."""
    used = set()
    for file in SYS:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "NUMBERS":
                used.add(ast.literal_eval(node.slice))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Call":
                assert ast.unparse(node.args[0]).startswith("NUMBERS["), ast.unparse(node)
    assert len(used) > 60
    for table in (numbers._X86_64, numbers._AARCH64):
        assert set() == used - set(table | numbers._EVERYWHERE)


def test_machine_whose_numbers_are_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.uname", lambda: type("uname", (), {"machine": "riscv64"}))
    with pytest.raises(ImportError, match='machine "riscv64"'):
        numbers._numbers()


class TestCtypes:
    def test_runtime_uses_it_in_two_places(self) -> None:
        users = {
            str(file.relative_to(TREE))
            for package in ("protocol", "runtime")
            for file in (TREE / package).rglob("*.py")
            if re.search(r"^\s*(?:import|from) ctypes", file.read_text(), re.MULTILINE)
        }
        assert {"runtime/sys/executor.py", "runtime/seccomp/libseccomp.py"} == users

    def test_syscall_takes_and_gives_whole_registers_and_keeps_errno(self) -> None:
        assert [ctypes.c_long] * 7 == list(executor._syscall.argtypes or ())
        assert ctypes.c_long == executor._syscall.restype
        assert 8 == ctypes.sizeof(ctypes.c_long)
        assert executor._syscall._flags_ & _USE_ERRNO

    def test_each_function_of_libseccomp_has_its_types(self) -> None:
        """What ctypes is not told it takes for a C int: a pointer would lose its upper half."""
        loaded = libseccomp.library()
        functions = {name: each for name, each in vars(loaded._c).items() if hasattr(each, "argtypes")}
        assert len(functions) > 5
        functions["free"] = loaded._free
        assert [] == [name for name, each in functions.items() if each.argtypes is None]

    @pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 2**80])
    def test_number_that_fits_no_register_is_refused(self, number: int) -> None:
        with pytest.raises(OverflowError):
            here.do(Call(numbers.NUMBERS["getpid"], "getpid", (number,)))

    @pytest.mark.parametrize("number", [2**64 - 1, 2**63, -1, -(2**63), 2**32])
    def test_number_that_fits_arrives_whole(self, number: int) -> None:
        assert number % 2**64 == here._word(number, [], []) % 2**64


IDS: list[Callable[[int], Call]] = [
    lambda number: process.setresuid(number, 0, 0),
    lambda number: process.setresuid(0, 0, number),
    lambda number: process.setresgid(0, number, 0),
    lambda number: process.setgroups([0, number]),
    lambda number: files.fchownat(0, b"", number, 0),
    lambda number: files.fchownat(0, b"", 0, number),
]


@pytest.mark.parametrize("wrapper", IDS)
def test_id_that_would_be_cut_is_refused_by_each_wrapper(wrapper: Callable[[int], Call]) -> None:
    for number in (2**32 - 1, 2**32, 2**32 + 1000, 2**64, -2):
        with pytest.raises(ValueError, match="out of range"):
            wrapper(number)
    assert wrapper(2**32 - 2)


STRUCTURES: dict[str, tuple[str, Call, int]] = {
    "struct clone_args": ("linux/sched.h", process.clone3(0, channel=4), 0),
    "struct open_how": ("linux/openat2.h", files.openat2(0, b"x", 0, resolve=0), 2),
    "struct mount_attr": ("linux/mount.h", mount.mount_setattr(0), 3),
    "struct statx": ("linux/stat.h", files.statx(0, b"", files.new_stat()), 4),
    "struct statfs": ("asm/statfs.h", files.fstatfs(0, Out(files.STATFS_SIZE)), 1),
    "struct rlimit64": ("linux/resource.h", process.prlimit(0, 0, 0, 0), 2),
    "struct sock_fprog": ("linux/filter.h", process.seccomp_load(bytes(8), 0), 2),
    "struct __user_cap_data_struct[2]": ("linux/capability.h", process.capset(0, 0, 0), 1),
    "struct __user_cap_header_struct": ("linux/capability.h", process.capset(0, 0, 0), 0),
}
"""Structure → the header that has it, a call that takes one, and as which argument."""


def test_structures_have_the_sizes_of_the_kernels(tmp_path: Path) -> None:
    compiler = next(found for name in ("cc", "gcc", "clang") if (found := shutil.which(name)))
    headers = "".join(f"#include <{header}>\n" for header, _, _ in STRUCTURES.values())
    sizes = ", ".join(f"sizeof({name})" for name in STRUCTURES)
    (tmp_path / "sizes.c").write_text(f"{headers}const unsigned long sizes[] = {{ {sizes} }};\n")
    made = tmp_path / "sizes.o"
    subprocess.run([compiler, "-c", tmp_path / "sizes.c", "-o", made], check=True)
    raw = tmp_path / "sizes.raw"
    subprocess.run(["objcopy", "-O", "binary", "-j", ".rodata", made, raw], check=True)
    told = struct.unpack(f"{len(STRUCTURES)}Q", raw.read_bytes())
    assert dict(zip(STRUCTURES, told, strict=True)) == {
        name: size_of(call.args[place]) for name, (_, call, place) in STRUCTURES.items()
    }


def size_of(argument: object) -> int:
    """Return how much memory an argument points to."""
    match argument:
        case Struct(raw, _):
            return len(raw)
        case Out():
            return argument.size
        case bytes():
            return len(argument)
    raise TypeError(argument)
