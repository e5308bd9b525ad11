"""The k8s-file encoding.

Whatever is written, and however it is cut into chunks, it can be read back to the byte.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.protocol.log.k8s import LINE_MAX, Encoder

TIME = b"2026-11-25T03:24:42.279378927+00:00"

pieces = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\n", b"\n\n", b"x\n", b"\r\n", b"\0", b" F ", TIME + b" stdout F forged\n"]),
    st.integers(LINE_MAX - 2, LINE_MAX + 2).map(lambda size: b"l" * size),
    st.integers(0, 3 * LINE_MAX).map(lambda size: b"n" * size + b"\n"),
)
chunks = st.lists(st.lists(pieces, max_size=4).map(b"".join), max_size=6)


def read_back(records: bytes) -> bytes:
    """Read records as Podman and the kubelet do: split at spaces; F ends a line, P does not."""
    content = b""
    for record in records.split(b"\n")[:-1]:
        time, stream, tag, text = record.split(b" ", 3)
        assert TIME == time
        assert b"stdout" == stream
        assert len(text) <= LINE_MAX
        content += text + {b"F": b"\n", b"P": b""}[tag]
    return content


@given(chunks)
def test_what_is_written_is_read_back(written: list[bytes]) -> None:
    encoder = Encoder("stdout")
    records = b"".join(encoder.encode(chunk, TIME) for chunk in written) + encoder.flush(TIME)
    assert b"".join(written) == read_back(records)


@given(chunks)
def test_a_line_is_whole_however_it_was_cut_into_chunks(written: list[bytes]) -> None:
    together, apart = Encoder("stdout"), Encoder("stdout")
    whole = b"".join(written)
    expected = together.encode(whole, TIME) + together.flush(TIME)
    assert expected == b"".join(apart.encode(chunk, TIME) for chunk in written) + apart.flush(TIME)


@given(st.binary(max_size=200).map(lambda text: text.replace(b"\n", b"")))
def test_beginning_of_a_line_waits_for_its_end(text: bytes) -> None:
    encoder = Encoder("stderr")
    assert b"" == encoder.encode(text, TIME)
    assert bool(text) == encoder.has_rest
    assert TIME + b" stderr F " + text + b"\n" == encoder.encode(b"\n", TIME)
    assert not encoder.has_rest
