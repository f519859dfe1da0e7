"""What the log tells of a session that is taken from a host which did not give it back."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from triologue.ports import SessionStore
from triologue.stores import MemoryStore, SqliteStore

Open: TypeAlias = Callable[[Path, Callable[[], float]], AbstractAsyncContextManager[SessionStore]]

NIGHT = "bot.py on web-1, pid 4711 [0b1d]"


class Hand:
    """Of a clock, moved by the story."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@asynccontextmanager
async def open_memory(folder: Path, now: Callable[[], float]) -> AsyncGenerator[SessionStore]:
    yield MemoryStore(now=now)


@asynccontextmanager
async def open_sqlite(folder: Path, now: Callable[[], float]) -> AsyncGenerator[SessionStore]:
    async with SqliteStore(folder / "sessions.db", now=now) as store:
        yield store


@pytest.mark.parametrize("open_store", [open_memory, open_sqlite])
async def test_a_session_whose_host_stood_still_is_taken_over_and_the_log_says_from_whom(
    open_store: Open,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = Hand()
    async with open_store(tmp_path, now) as store:
        await store.acquire("k", owner=NIGHT, ttl=30)
        now.time += 100
        await store.acquire("k", owner=NIGHT, ttl=30)
        assert caplog.records == [], "who holds it may take it anew"
        now.time += 42
        await store.acquire("k", owner="me", ttl=30)
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("triologue.stores", logging.WARNING)
        assert record.getMessage() == (
            "the session 'k' is taken over from bot.py on web-1, pid 4711, whose lease ended 12 s ago"
        )
        assert (vars(record)["session_key"], vars(record)["turn_id"]) == ("k", None)


@pytest.mark.parametrize("open_store", [open_memory, open_sqlite])
async def test_a_session_that_was_given_back_or_whose_host_is_known_to_be_dead_is_no_news(
    open_store: Open,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = Hand()
    async with open_store(tmp_path, now) as store:
        lease, _ = await store.acquire("k", owner=NIGHT, ttl=30)
        await store.release(lease)
        now.time += 100
        await store.acquire("k", owner="me", ttl=30)
        await store.acquire("k", owner="you", ttl=30, replaces="me")
    assert caplog.records == []
