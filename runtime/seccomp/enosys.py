"""Calls that a profile's author cannot have known get ENOSYS, by instructions in front of the profile's own.

A profile names calls.  Whatever it does not name meets its default action, often EPERM.  That is right for a
call that the author left out and wrong for one that did not exist yet: a C library tries the new call first,
and falls back to the old one if the answer is ENOSYS ("this kernel has no such call"), but takes EPERM for
an answer.  So a profile that is older than the C library inside would break programs.  How to tell the two
apart: numbers are given out upwards, so what is above the newest call that the profile names (by any rule)
was not there when it was written; and a number that libseccomp cannot name is no call at all, or a younger
one that has filled a gap (uretprobe, 335 on x86-64, did, and EPERM for it killed traced programs).

Each architecture has its own numbers, and so its own section.  The figures are those of an x86-64 profile
whose newest name is futex_waitv:

    load the architecture
    is it x86-64?  if not, leave the section out
        load the number
        is it below 335?  to the profile          one line for each number at which the answer changes,
        is it below 424?  to ENOSYS               in ascending order
        is it below 450?  to the profile
        is it below 0x40000000?  to ENOSYS
        to the profile
        ENOSYS
    is it i386? …
    (the program that libseccomp made)

x32 is the exception: it has numbers of its own (bit 30 is set) but comes with the architecture of x86-64, so
the two share a section.  If a profile leaves x32 out, its numbers go to libseccomp's program, which kills.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from msgspec import Struct

from holdfast.runtime.seccomp import bpf
from holdfast.runtime.seccomp.libseccomp import ARCH_ARM, ARCH_X32, ARCH_X86_64

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from holdfast.runtime.seccomp.libseccomp import Library

_X32_BIT = 0x40000000
_NUMBER_MAX = 0xFFFFFFFF
_TABLE_SIZE = 1024
"""How many numbers an architecture may have given out; in 2026 it is some 470, and x32 ends at 547."""


class Span(Struct, frozen=True):
    """Numbers from first to last, both included."""

    first: int
    last: int


NO_CALL = Span(_NUMBER_MAX, _NUMBER_MAX)
"""-1, which a tracer puts in the place of a number to have the call left out."""

_SPANS = {
    ARCH_X86_64: Span(0, _X32_BIT - 1),
    ARCH_X32: Span(_X32_BIT, _NUMBER_MAX),
    # From 0xf0000 on ARM has private calls (cacheflush, set_tls), which are not young for being high.
    ARCH_ARM: Span(0, 0xEFFFF),
}


def prologue(library: Library, architectures: Iterable[int], named: AbstractSet[str]) -> bytes:
    """Make the instructions that go in front of a profile's program.

    architectures: libseccomp's tokens, as in the profile.
    named: all calls that the profile names, in any rule.
    Returns whole instructions, perhaps none; what they do not answer goes on to whatever follows them.
    """
    unknown: dict[int, list[Span]] = {}
    for token in architectures:
        span = _SPANS.get(token, Span(0, _NUMBER_MAX))
        numbers = range(span.first, span.first + _TABLE_SIZE)
        calls = {number: name for number in numbers if (name := library.name(token, number)) is not None}
        spans = unknown_spans(calls, named, span)
        if spans and token == ARCH_X86_64 and ARCH_X32 not in architectures:
            spans.append(NO_CALL)
        unknown.setdefault(ARCH_X86_64 if token == ARCH_X32 else token, []).extend(spans)
    return assemble(unknown)


def unknown_spans(calls: Mapping[int, str], named: AbstractSet[str], span: Span) -> list[Span]:
    """Return the numbers of an architecture that the author of a profile cannot have known.

    calls: number → name, all that there is. named: what the profile names. span: where the numbers may lie.
    Empty if the profile names none of the calls: then there is no telling how old it is.
    """
    known = sorted(calls)
    newest = max((number for number in known if calls[number] in named), default=None)
    if newest is None:
        return []
    spans = []
    expected = span.first
    for number in known:
        if number > newest:
            break
        if number > expected:
            spans.append(Span(expected, number - 1))
        expected = number + 1
    spans.append(Span(expected, span.last))
    return spans


def assemble(unknown: Mapping[int, Iterable[Span]]) -> bytes:
    """Make the sections.

    unknown: architecture (AUDIT_ARCH_) → the numbers to answer with ENOSYS; the spans must not overlap.
    """
    sections = [(architecture, _section(spans)) for architecture, spans in unknown.items() if spans]
    code = b""
    # From the last to the first, since each has to know how much follows it.
    for architecture, section in reversed(sections):
        to_profile = bpf.jump(len(code) // bpf.INSTRUCTION.size + 1)
        whole = section + to_profile + bpf.verdict(bpf.RETURN_ERRNO | errno.ENOSYS)
        code = bpf.jump_equal(architecture, 0, len(whole) // bpf.INSTRUCTION.size) + whole + code
    return bpf.load(bpf.ARCHITECTURE) + code if code else b""


def _section(spans: Iterable[Span]) -> bytes:
    """Make one section up to its two ends, which the caller adds: to the profile, then ENOSYS."""
    turns: set[int] = set()
    for span in spans:
        # Where one span begins right behind another, the answer does not change: the two turns cancel out.
        turns ^= {span.first, span.last + 1}
    edges = sorted(turns - {_NUMBER_MAX + 1})
    code = bpf.load(bpf.NUMBER)
    for place, edge in enumerate(edges):
        to_come = len(edges) - place - 1
        below_is_unknown = place % 2
        above_is_unknown = 1 - below_is_unknown
        # Only behind the last edge does it matter what is above.
        code += bpf.jump_at_least(edge, 0 if to_come else above_is_unknown, to_come + below_is_unknown)
    return code
