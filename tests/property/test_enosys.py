"""The instructions that answer ENOSYS, against the plain definition of what they are to answer."""

from __future__ import annotations

import errno
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from support import cbpf

from holdfast.runtime.seccomp import bpf
from holdfast.runtime.seccomp.enosys import Span, assemble, unknown_spans

NUMBER_MAX = 2**32 - 1
NO_SUCH_CALL = bpf.RETURN_ERRNO | errno.ENOSYS
THE_PROFILE_DECIDES = 0x7FF00001
"""A verdict that nothing else gives, for the profile's own program."""

numbers = st.integers(0, NUMBER_MAX)


@st.composite
def disjoint_spans(draw: st.DrawFn) -> list[Span]:
    """Give up to some dozens of spans that do not overlap, in any order; some touch."""
    cuts = sorted(draw(st.sets(numbers | st.integers(0, 40), max_size=60)))
    between = pairwise([*cuts, NUMBER_MAX + 1])
    return draw(st.permutations([Span(first, after - 1) for first, after in between if draw(st.booleans())]))


def edges(spans: list[Span]) -> set[int]:
    """Return the numbers where an answer may be off by one."""
    return {
        number
        for span in spans
        for number in (span.first - 1, span.first, span.last, span.last + 1)
        if 0 <= number <= NUMBER_MAX
    }


@given(st.dictionaries(numbers, disjoint_spans(), max_size=4), numbers, numbers)
def test_program_answers_enosys_for_the_spans_of_the_architecture_and_else_falls_through(
    unknown: dict[int, list[Span]], architecture: int, number: int
) -> None:
    code = cbpf.decode(assemble(unknown) + bpf.verdict(THE_PROFILE_DECIDES))
    for tried in {architecture, *unknown}:
        spans = unknown.get(tried, [])
        for call in edges(spans) | {number, 0, NUMBER_MAX}:
            is_unknown = any(span.first <= call <= span.last for span in spans)
            expected = NO_SUCH_CALL if is_unknown else THE_PROFILE_DECIDES
            assert expected == cbpf.run(code, tried, call).verdict


names = st.sampled_from("abcdefgh")


@given(st.dictionaries(st.integers(10, 40), names), st.sets(names), st.integers(0, 10), st.integers(40, 60))
def test_number_is_unknown_if_it_is_above_the_newest_name_or_nobodys(
    calls: dict[int, str], named: set[str], first: int, last: int
) -> None:
    spans = unknown_spans(calls, named, Span(first, last))
    told = [number for span in spans for number in range(span.first, span.last + 1)]
    newest = max((number for number, name in calls.items() if name in named), default=None)
    if newest is None:
        assert [] == told
    else:
        everything = range(first, last + 1)
        assert [number for number in everything if number > newest or number not in calls] == told
