"""Whatever the device rules are: the program of v2 and the lists of v1 decide as the rules say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support import ebpf
from support.devices import Asked, V1Kernel, is_allowed

from holdfast.runtime.cgroups import devices_v1, devices_v2
from holdfast.runtime.cgroups.devices import ANY_ACCESS, BLOCK, CHAR, DEFAULT_RULES, Rule
from holdfast.runtime.cgroups.limits import Limits

NUMBERS = st.one_of(st.none(), st.integers(0, 3), st.sampled_from([5, 136, 2**31, 2**32 - 1]))
RULE = st.builds(
    Rule,
    allow=st.booleans(),
    kinds=st.sampled_from([BLOCK, CHAR, BLOCK + CHAR]),
    major=NUMBERS,
    minor=NUMBERS,
    access=st.integers(1, ANY_ACCESS),
)
RULES = st.lists(RULE, max_size=12)
ASKED = st.builds(
    Asked,
    kind=st.sampled_from([BLOCK, CHAR]),
    major=NUMBERS.map(lambda number: number or 0),
    minor=NUMBERS.map(lambda number: number or 0),
    access=st.integers(1, ANY_ACCESS),
)


@given(RULES, st.lists(ASKED, max_size=20))
def test_program_decides_as_the_rules_say(rules: list[Rule], asked: list[Asked]) -> None:
    program = devices_v2.assemble(rules)
    for one in asked:
        assert is_allowed(rules, one) == ebpf.run(program, one.context())


@given(RULES)
def test_program_has_no_part_that_cannot_be_reached(rules: list[Rule]) -> None:
    program = devices_v2.assemble([*rules, *DEFAULT_RULES])
    assert set(range(len(program) // 8)) == ebpf.reachable(program)


@given(RULES, st.lists(ASKED, max_size=20))
def test_lists_decide_as_the_rules_say_or_are_refused(rules: list[Rule], asked: list[Asked]) -> None:
    out, kernel = Limits(), V1Kernel()
    devices_v1.plan(rules, out)
    if out.problems:
        return
    kernel.write_all(write for group in out.groups for write in group)
    for one in asked:
        assert is_allowed(rules, one) == kernel.is_allowed(one)


@given(st.lists(RULE.filter(lambda rule: rule.allow), max_size=6))
def test_lists_of_what_is_allowed_are_never_refused(rules: list[Rule]) -> None:
    out = Limits()
    devices_v1.plan([Rule(False, BLOCK + CHAR, None, None, ANY_ACCESS), *rules, *DEFAULT_RULES], out)
    assert [] == out.problems


@given(RULES)
def test_harmless_devices_stay_allowed_whatever_comes_before(rules: list[Rule]) -> None:
    program = devices_v2.assemble([*rules, *DEFAULT_RULES])
    assert 1 == ebpf.run(program, Asked(CHAR, 1, 3, ANY_ACCESS).context())
