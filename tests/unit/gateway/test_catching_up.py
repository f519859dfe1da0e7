"""What catching up holds in memory: what is sent next, however much was missed, and however long its events are."""

import tracemalloc
from typing import Any, cast, final

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.gateway import house, said
from triologue.gateway.attachment import PAGE
from triologue.ports import Record, SessionStore
from triologue.protocol import asked
from triologue.stores import MemoryStore
from triologue.testing import Line, ScriptedAgent

LONG, KEYS = 500_000, "abcd"


@final
class Disk:
    """A store whose records are new objects whenever they are read, as those of a file are."""

    def __init__(self) -> None:
        self.kept = MemoryStore()
        self.pages: list[int] = []
        """How many records each page had."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kept, name)

    async def read(self, key: str, *, after: int = 0, limit: int = 1000, turn_id: str | None = None) -> list[Record]:
        found = await self.kept.read(key, after=after, limit=limit, turn_id=turn_id)
        self.pages.append(len(found))
        return [msgspec.structs.replace(each, line=bytes(bytearray(each.line))) for each in found]


def new_agent() -> ScriptedAgent:
    agent = ScriptedAgent(max_message_bytes=1 << 20)
    agent.on("paint", *[Line(b'{"type":"picture","x":"%s"}' % (b"x" * LONG))] * 10)
    return agent


@pytest.mark.parametrize("after", [0, 7])
async def test_who_reads_nothing_holds_one_long_event_of_each_session(after: int, autojump_clock: MockClock) -> None:
    disk = Disk()
    async with tri.open_manager(
        new_agent(), store=cast("SessionStore", disk), limits=tri.Limits(log_bytes=1_000)
    ) as manager:
        for key in KEYS:
            await manager.session(key).ask("paint")
        await trio.sleep(1)
        async with house(manager) as gateway:
            client = await gateway.client(slow=True)
            client.may_read = trio.Event()
            tracemalloc.start()
            try:
                for key in KEYS:
                    await client.say(client.numbered(asked.Attach, key=key, after=after))
                await wait_all_tasks_blocked()
                held, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert gateway.hall.statistics().viewers == len(KEYS)
            assert held < len(KEYS) * 3 * LONG  # a line, what is made of it, and its frame
            client.may_read.set()
            for key in KEYS:
                log = said(await manager.session(key).read(limit=1_000))
                while len(client.events.get(key, [])) < len(log) - after:
                    await trio.sleep(0.1)
                assert said(client.events[key]) == log[after:]


async def test_short_events_are_still_read_many_at_once(autojump_clock: MockClock) -> None:
    disk = Disk()
    async with tri.open_manager(
        new_agent(), store=cast("SessionStore", disk), limits=tri.Limits(log_bytes=1_000)
    ) as manager:
        for _ in range(40):
            await manager.session("k").ask("hello")
        await trio.sleep(1)
        async with house(manager) as gateway:
            client = await gateway.client()
            disk.pages.clear()
            await client.ask(asked.Attach, key="k", after=0)
            await wait_all_tasks_blocked()
            assert disk.pages[0] == 1
            assert set(disk.pages[1:-1]) == {PAGE}
