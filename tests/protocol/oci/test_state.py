"""The state as JSON: what managers, people and hooks read."""

from __future__ import annotations

import json

from holdfast.protocol.oci.state import State, encode, encode_for_hook, encode_list

RUNNING = State(
    id="web",
    pid=4242,
    status="running",
    bundle="/b",
    rootfs="/b/rootfs",
    created="2026-01-02T03:04:05.013443244Z",
    owner="root",
    annotations={"k": "v"},
)


def test_state_is_printed_indented_with_all_that_managers_read() -> None:
    printed = encode(RUNNING)

    assert printed.startswith(b'{\n  "ociVersion": "1.3.0",\n')
    assert printed.endswith(b"\n}\n")
    assert {
        "ociVersion": "1.3.0",
        "id": "web",
        "pid": 4242,
        "status": "running",
        "bundle": "/b",
        "rootfs": "/b/rootfs",
        "created": "2026-01-02T03:04:05.013443244Z",
        "annotations": {"k": "v"},
        "owner": "root",
    } == json.loads(printed)


def test_a_stopped_container_has_pid_0_and_no_empty_annotations() -> None:
    state = json.loads(encode(State(id="web", pid=0, status="stopped", bundle="/b")))

    assert 0 == state["pid"]
    assert "annotations" not in state
    assert "" == state["owner"]


def test_list_is_one_line() -> None:
    printed = encode_list([RUNNING, RUNNING])

    assert 1 == printed.count(b"\n")
    assert ["web", "web"] == [state["id"] for state in json.loads(printed)]


def test_an_empty_list_is_an_empty_array() -> None:
    assert b"[]\n" == encode_list([])


def test_a_hook_gets_what_the_spec_has_and_no_more() -> None:
    state = json.loads(encode_for_hook(RUNNING))

    assert {"ociVersion", "id", "pid", "status", "bundle", "annotations"} == set(state)
