"""Group commit: who writes for whom, whatever is cancelled."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.threads import no_threads
from triologue.errors import StoreError
from triologue.stores import SqliteStore, grouping
from triologue.stores.grouping import Group, Request, in_thread


class Disk:
    """Notes what is written together; holds each transaction up until it is let go."""

    def __init__(self) -> None:
        self.together: list[list[str]] = []
        self.gate = threading.Semaphore(0)
        self._begun = threading.Semaphore(0)

    async def begun(self) -> None:
        """Wait until the next transaction has what it writes: who comes after that is not in it."""
        assert await trio.to_thread.run_sync(lambda: self._begun.acquire(timeout=10))

    def commit(self, requests: Sequence[Request[str]]) -> None:
        self._begun.release()
        assert self.gate.acquire(timeout=10)
        self.together.append([request.work for request in requests])
        for request in requests:
            request.value = request.work.upper()
            if request.work == "wrong":
                request.error = StoreError("wrong")

    async def let_go(self, group: Group[str], transactions: int) -> None:
        self.gate.release(transactions)
        while group.transactions < transactions:
            await trio.sleep(0.001)


async def test_those_who_come_while_one_writes_are_written_together() -> None:
    disk = Disk()
    group = Group(disk.commit)
    results: dict[str, object] = {}

    async def write(work: str) -> None:
        try:
            results[work] = await group.write(work)
        except StoreError as error:
            results[work] = str(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, "a")
        await disk.begun()
        for work in ("b", "wrong", "c"):
            nursery.start_soon(write, work)
            await wait_all_tasks_blocked()
        await disk.let_go(group, 2)
    assert disk.together == [["a"], ["b", "wrong", "c"]]
    assert results == {"a": "A", "b": "B", "wrong": "wrong", "c": "C"}
    assert (group.writes, group.transactions, len(group)) == (4, 2, 0)


async def test_what_was_given_up_is_written_all_the_same_and_nobody_is_stuck() -> None:
    disk = Disk()
    group = Group(disk.commit)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(group.write, "a")
        await disk.begun()
        for work in ("b", "c"):
            nursery.start_soon(group.write, work)
            await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert disk.together == []  # who is cancelled does not wait for the disk
    await disk.let_go(group, 2)
    assert disk.together == [["a"], ["b", "c"]]
    disk.gate.release()
    assert await group.write("d") == "D"


async def test_closing_waits_for_what_was_given_up() -> None:
    disk = Disk()
    group = Group(disk.commit)
    with trio.move_on_after(0.01):
        await group.write("a")
    assert not await group.close("closed", within=0.0)
    disk.gate.release()
    assert await group.close("closed", within=10)
    assert disk.together == [["a"]]


async def test_one_more_than_may_wait_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "MAX_WAITING", 2)
    disk = Disk()
    group = Group(disk.commit)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(group.write, "a")
        await disk.begun()
        for work in ("b", "c", "d", "e"):
            nursery.start_soon(group.write, work)
            await wait_all_tasks_blocked()
        assert len(group) == 2
        disk.gate.release(5)
    # Whether d and e find room while b and c are written or after it, together or not, is the thread's to say.
    first, *others = disk.together
    written = [work for each in others for work in each]
    assert (first, written[:2], sorted(written[2:])) == (["a"], ["b", "c"], ["d", "e"])


async def test_closing_writes_what_was_taken_in_and_refuses_what_comes() -> None:
    disk = Disk()
    group = Group(disk.commit)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(group.write, "a")
        await disk.begun()
        nursery.start_soon(group.write, "b")
        await wait_all_tasks_blocked()
        assert not await group.close("closed", within=0.0)
        with pytest.raises(StoreError, match="closed"):
            await group.write("c")
        disk.gate.release(2)
        assert await group.close("closed", within=10)
    assert disk.together == [["a"], ["b"]]


async def test_without_a_thread_everybody_gets_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    group = Group(disk.commit)
    refused: list[str] = []

    async def write(work: str) -> None:
        with pytest.raises(StoreError, match="no thread can be started; raise the limit"):
            await group.write(work)
        refused.append(work)

    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(group.write, "a")
            await disk.begun()
            nursery.start_soon(write, "b")
            nursery.start_soon(write, "c")
            await wait_all_tasks_blocked()
            patch.setattr(trio.lowlevel, "start_thread_soon", no_thread)
            disk.gate.release()
        await write("d")
    assert sorted(refused) == ["b", "c", "d"]
    disk.gate.release()
    assert await group.write("e") == "E"
    assert disk.together == [["a"], ["e"]]


async def test_a_store_without_a_thread_says_so_and_is_closed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "sessions.db")
    with no_threads(), pytest.raises(StoreError, match="can be opened, as no thread can be started; raise the limit"):
        async with store:
            pass
    async with store:
        assert await store.list_sessions() == []
        with no_threads(), pytest.raises(StoreError, match="can be read, as no thread can be started; raise the limit"):
            await store.list_sessions()
    assert [file.name for file in tmp_path.iterdir()] == ["sessions.db"]


async def test_what_fails_in_its_thread_is_no_lack_of_one() -> None:
    def fail() -> None:
        raise RecursionError("too deep")

    with pytest.raises(RecursionError, match="too deep"):
        await in_thread("read", fail)
