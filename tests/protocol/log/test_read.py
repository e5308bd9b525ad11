from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.protocol.log.read import Entry, Joiner, TailCounter, parse_line

TIME = b"2026-01-02T03:04:05.013443244+00:00"


def line(content: bytes, tag: bytes = b"F", stream: bytes = b"stdout") -> bytes:
    return b" ".join((TIME, stream, tag, content))


def tail(lines: list[bytes], wanted: int) -> list[bytes]:
    counter = TailCounter(wanted)
    start = len(lines)
    for place in range(len(lines) - 1, -1, -1):
        if counter.is_before(lines[place]):
            break
        start = place
    return lines[start:]


def test_parse_line_reads_the_fields_and_leaves_the_content_alone() -> None:
    assert Entry(TIME, b"stderr", True, b" a  b\r\0\xff ") == parse_line(
        line(b" a  b\r\0\xff ", stream=b"stderr")
    )
    assert Entry(TIME, b"stdout", False, b"") == parse_line(line(b"", b"P"))


def test_parse_line_of_a_torn_one_is_none() -> None:
    for torn in (b"", TIME, TIME + b" stdout", TIME + b" stdout F", TIME + b" stdout X x"):
        assert parse_line(torn) is None


def parsed(text: bytes) -> Entry:
    entry = parse_line(text)
    assert entry is not None
    return entry


def test_joiner_puts_partial_lines_together_and_keeps_streams_apart() -> None:
    entries = [
        parsed(text)
        for text in (line(b"a", b"P"), line(b"b"), line(b"e", stream=b"stderr"), line(b"c", b"P"))
    ]
    assert [(b"stdout", b"ab\n"), (b"stderr", b"e\n"), (b"stdout", b"c")] == Joiner(with_time=False).join(
        entries
    )


def test_joiner_puts_the_time_where_lines_begin_also_across_calls() -> None:
    joiner = Joiner(with_time=True)
    assert [(b"stdout", TIME + b" a")] == joiner.join([parsed(line(b"a", b"P"))])
    assert [(b"stdout", b"b\n" + TIME + b" c\n")] == joiner.join([parsed(line(b"b")), parsed(line(b"c"))])


def test_tail_counts_lines_of_the_container_not_of_the_log() -> None:
    lines = [line(b"1"), line(b"2a", b"P"), line(b"2b"), line(b"3"), line(b"4", b"P")]
    assert [] == tail(lines, 0)
    assert lines[4:] == tail(lines, 1)
    assert lines[3:] == tail(lines, 2)
    assert lines[1:] == tail(lines, 3)
    assert lines == tail(lines, 9)


@given(st.lists(st.binary().filter(lambda text: b"\n" not in text)), st.integers(0, 9))
def test_tail_of_full_lines_is_the_last_of_them(contents: list[bytes], wanted: int) -> None:
    lines = [line(content) for content in contents]
    assert lines[max(0, len(lines) - wanted) :] == tail(lines, wanted)


@given(st.binary())
def test_parse_line_of_anything_gives_an_entry_or_none(text: bytes) -> None:
    entry = parse_line(text)
    assert entry is None or entry.content in text
