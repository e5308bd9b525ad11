"""Frames of the attach socket, and messages of the control socket: round trips, bounds, garbage."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.protocol import attach, control

streams = st.sampled_from([attach.STDOUT, attach.STDERR])


@given(streams, st.binary(max_size=3 * attach.CONTENT_MAX))
def test_packets_hold_the_chunk_and_fit_a_clients_buffer(stream: int, chunk: bytes) -> None:
    packets = list(attach.packets(stream, chunk))
    assert all(1 < len(packet) <= attach.PACKET_MAX for packet in packets)
    parsed = [attach.parse(packet) for packet in packets]
    assert chunk == b"".join(content for _, content in parsed)
    assert {stream} >= {found for found, _ in parsed}


@given(st.binary(max_size=20))
def test_garbage_is_no_frame(packet: bytes) -> None:
    if packet[:1] in (b"\2", b"\3"):
        assert packet[1:] == attach.parse(packet)[1]
    else:
        with pytest.raises(ValueError, match="no frame"):
            attach.parse(packet)


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_resize_round_trip(height: int, width: int) -> None:
    request = control.Resize(height, width)
    assert request == control.decode_request(control.encode(request))


@given(st.one_of(st.integers(max_value=-1), st.integers(min_value=65536)))
def test_resize_beyond_the_kernels_bits_is_refused(size: int) -> None:
    line = b'{"do":"resize","height":%d,"width":80}' % size
    with pytest.raises(ValueError, match="control request"):
        control.decode_request(line)


@given(st.one_of(st.binary(max_size=100), st.text(max_size=50).map(str.encode)))
def test_garbage_is_refused_with_a_sentence(line: bytes) -> None:
    for decode in (control.decode_request, control.decode_event):
        with contextlib.suppress(ValueError):
            decode(line)


@given(
    st.builds(
        control.Exited,
        pid=st.integers(1, 2**22),
        exit_code=st.integers(0, 255),
        signal=st.none() | st.integers(1, 64),
        oom=st.booleans(),
        started_at=st.text(max_size=40),
        finished_at=st.text(max_size=40),
    )
)
def test_exit_record_round_trip(exited: control.Exited) -> None:
    assert exited == control.decode_event(control.encode(exited))
