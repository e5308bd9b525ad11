from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from holdfast.protocol.errors import HoldfastError
from holdfast.shim.store import words
from holdfast.shim.store.places import Places, places_below
from holdfast.shim.store.record import Record
from holdfast.shim.store.refusals import UnknownContainer
from holdfast.shim.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return places_below(os.fsencode(tmp_path / "root"))


@pytest.fixture
def store(places: Places) -> Iterator[Store]:
    with Store(places) as opened:
        yield opened


def make(store: Store, name: str | None = None, container_id: str | None = None, **more: Any) -> Record:  # noqa: ANN401  # any member
    container_id = container_id or words.new_id()
    entry, name = store.reserve(container_id, name)
    with entry:
        record = Record(id=container_id, name=name, created="now", command=["true"], source="host", **more)
        entry.save(record)
    return record


def test_a_container_is_found_by_name_id_and_beginning_of_its_id(store: Store) -> None:
    record = make(store, "web")
    for reference in ("web", record.id, record.id[:12], record.id[:1]):
        with store.open(reference) as entry:
            assert record == entry.record()


def test_a_container_without_a_name_gets_one(store: Store) -> None:
    record = make(store)
    assert record.id == store.find(record.name)


def test_a_name_that_is_also_the_beginning_of_an_id_means_the_name(store: Store) -> None:
    make(store, container_id="ab" + "0" * 62)
    named = make(store, "ab", container_id="cd" + "0" * 62)
    assert named.id == store.find("ab")


def test_the_beginning_of_several_ids_is_told_with_them(store: Store) -> None:
    make(store, container_id="ab" + "0" * 62)
    make(store, container_id="ab" + "1" * 62)
    with pytest.raises(
        HoldfastError, match='container "ab": several ids begin so: ab0000000000, ab1111111111'
    ):
        store.find("ab")


@pytest.mark.parametrize(
    "reference", ["", ".", "..", "nobody", "../names", "a/b", "x" * 300, "\0", "-f", "a\udcff", "f" * 64]
)
def test_what_is_no_container_is_told(store: Store, reference: str) -> None:
    with pytest.raises(UnknownContainer, match="no such container") as caught:
        store.find(reference) and store.open(reference)
    assert str(caught.value).isprintable()


def test_a_taken_name_is_told_with_its_holder(store: Store) -> None:
    holder = make(store, "web")
    with pytest.raises(HoldfastError, match=f'container name "web": is taken by container {holder.id}'):
        make(store, "web")
    assert [holder.id] == store.ids()


def test_of_two_that_want_a_name_at_once_one_gets_it(places: Places) -> None:
    results: list[Record | HoldfastError] = []
    barrier = threading.Barrier(8)

    def want() -> None:
        with Store(places) as own:
            barrier.wait()
            try:
                results.append(make(own, "web"))
            except HoldfastError as error:
                results.append(error)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [result for result in results if isinstance(result, Record)]
    assert 1 == len(winners)
    with Store(places) as own:
        assert winners[0].id == own.find("web")
        assert [winners[0].id] == own.ids()


def test_remove_takes_files_and_name(store: Store, places: Places) -> None:
    record = make(store, "web")
    with store.open("web") as entry:
        os.makedirs(places.record_dir(record.id) + b"/rootfs/a/b")
        store.remove(entry.lock())
    assert [] == store.ids()
    assert [] == os.listdir(places.lib + b"/names")
    make(store, "web")


def test_lock_on_a_container_that_was_removed_meanwhile_says_that_it_is_gone(
    store: Store, places: Places
) -> None:
    make(store, "web")
    with store.open("web") as late:
        with Store(places) as other, other.open("web") as entry:
            other.remove(entry.lock())
        with pytest.raises(UnknownContainer):
            late.lock()


def test_lock_waits_for_whoever_has_it(store: Store, places: Places) -> None:
    make(store, "web")
    order = []
    has_it, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with Store(places) as own, own.open("web") as entry:
            entry.lock()
            has_it.set()
            may_go.wait()
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    has_it.wait()
    with store.open("web") as entry:
        may_go.set()
        entry.lock()
        order.append("second")
    thread.join()
    assert ["first", "second"] == order


def test_lock_is_given_up_although_a_forked_process_has_the_descriptor(store: Store) -> None:
    make(store, "web")
    read_fd, write_fd = os.pipe()
    with store.open("web") as entry:
        entry.lock()
        pid = os.fork()
        if pid == 0:
            os.close(write_fd)
            os.read(read_fd, 1)
            os._exit(0)
    os.close(read_fd)
    try:
        with store.open("web") as entry:
            entry.lock()
    finally:
        os.close(write_fd)
        os.waitpid(pid, 0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "container.json: Input data was truncated"),
        (b"{", "container.json: Input data was truncated"),
        (b"[]", "container.json: Expected `object`, got `array`"),
        (
            b'{"id":"x","name":"n","created":"","command":[],"source":"","version":2}',
            "has version 2; allowed: 1",
        ),
        (b'{"id":"x","name":"n","created":"","command":[],"source":""}', 'is of container "x"'),
        (b" " * (2 << 20), "more than 1048576 bytes"),
    ],
)
def test_a_record_that_was_tampered_with_is_told(
    store: Store, places: Places, content: bytes, sentence: str
) -> None:
    record = make(store, "web")
    with open(places.record_dir(record.id) + b"/container.json", "wb") as file:
        file.write(content)
    with store.open("web") as entry, pytest.raises(HoldfastError, match=sentence):
        entry.record()


def test_a_record_that_is_a_link_or_a_fifo_is_not_followed(
    store: Store, places: Places, tmp_path: Path
) -> None:
    record = make(store, "web")
    path = places.record_dir(record.id) + b"/container.json"
    (tmp_path / "planted").write_bytes(msgspec.json.encode(record))
    os.unlink(path)
    os.symlink(tmp_path / "planted", path)
    with store.open("web") as entry, pytest.raises(OSError, match="Too many levels of symbolic links"):
        entry.record()
    os.unlink(path)
    os.mkfifo(path)
    with store.open("web") as entry, pytest.raises(HoldfastError, match="not a regular file"):
        entry.record()


def test_a_name_that_is_no_link_of_ours_is_nobodys(store: Store, places: Places) -> None:
    os.symlink("/etc", places.lib + b"/names/planted")
    os.mkdir(places.lib + b"/names/directory")
    for name in ("planted", "directory"):
        with pytest.raises(UnknownContainer):
            store.find(name)


def test_a_directory_without_a_record_is_no_container(store: Store, places: Places) -> None:
    container_id = words.new_id()
    os.mkdir(places.record_dir(container_id), 0o700)
    assert [] == list(store.entries())
    with pytest.raises(UnknownContainer):
        store.open(container_id)
