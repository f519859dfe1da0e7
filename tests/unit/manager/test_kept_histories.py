"""Histories of agents in a manager's store: told as they come about, and there where the session wakes."""

import json
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from tests.support.slow_store import SlowStore
from tests.support.standin_program import agent_program
from tests.unit.supervision.test_memory import overseer_of
from triologue.engine import Transcripts
from triologue.ports import TranscriptEntry
from triologue.stores import MemoryStore


def embedded() -> tri.Embedded:
    """The built-in agent as in another process: it remembers nothing of the others."""
    return tri.Embedded(transcripts=Transcripts())


async def test_the_built_in_agent_remembers_in_another_process(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with tri.open_manager(embedded(), store=store) as manager:
        await manager.session("k").ask("Remember: I like Python")
    for number in (2, 3):
        async with tri.open_manager(embedded(), store=store) as manager:
            session = manager.session("k")
            assert (await session.ask("What do I like?")).result == "You like Python."
            assert f"{2 * number - 1}" in ((await session.ask("How many messages?")).result or "")
    async with tri.open_manager(embedded(), store=store) as manager:
        copy = await manager.session("k").fork("copy")
        assert (await copy.ask("What do I like?")).result == "You like Python."
    async with tri.open_manager(embedded(), store=store) as manager:
        assert (await manager.session("copy").ask("What do I like?")).result == "You like Python."


class SilentStore(SlowStore):
    """It does not answer the first time that it is asked for a history."""

    is_asked = False

    async def read_transcript(self, session_id: str) -> list[TranscriptEntry]:
        if not self.is_asked:
            self.is_asked = True
            await trio.sleep_forever()
        return await self.kept.read_transcript(session_id)


async def test_a_history_that_the_store_does_not_give_holds_up_no_session_for_ever(autojump_clock: MockClock) -> None:
    store = SilentStore()
    async with tri.open_manager(embedded(), store=store.as_store) as manager:
        await manager.session("k").ask("Remember: I like Python")
    async with tri.open_manager(embedded(), store=store.as_store) as manager:
        session = manager.session("k")
        with trio.fail_after(60), pytest.raises(tri.TurnFailed) as failed:
            turn = await session.send("What do I like?")
            await trio.sleep(1)
            assert manager.explain("k").waits_for == "the history that the agent goes on with to be found"
            (await turn.wait()).unwrap()
        assert isinstance(failed.value.__cause__, tri.StoreError)
        assert str(failed.value.__cause__) == "the store did not give the history of the session 'k' within 30 s"
        assert session.resume_outcome == "transient"
        assert (await session.ask("What do I like?")).result == "You like Python."


class LateStore(SlowStore):
    """It takes its time for a history."""

    async def read_transcript(self, session_id: str) -> list[TranscriptEntry]:
        await trio.sleep(5)
        return await self.kept.read_transcript(session_id)


async def test_a_drain_lets_a_turn_end_whose_history_is_still_read(autojump_clock: MockClock) -> None:
    store = LateStore()
    async with tri.open_manager(embedded(), store=store.as_store) as manager:
        await manager.session("k").ask("Remember: I like Python")
    began = trio.current_time()
    async with tri.open_manager(embedded(), store=store.as_store) as manager:
        turn = await manager.session("k").send("What do I like?")
        await trio.sleep(1)
        assert manager.explain("k").waits_for == "the history that the agent goes on with to be found"
    assert turn.outcome is not None
    assert (turn.outcome.unwrap().result, trio.current_time()) == ("You like Python.", began + 5)


async def test_a_copy_ends_with_a_message_that_there_is(autojump_clock: MockClock) -> None:
    store, agent, unknown = MemoryStore(), embedded(), "5d0c1a7e-0000-4000-8000-000000000001"
    async with tri.open_manager(agent, store=store) as manager:
        session = manager.session("k")
        turn = await session.send("Remember: I like Python")
        uuids = [message.uuid async for message in turn if isinstance(message, tri.AssistantMessage)]
        await session.ask("Remember: I like tea")
        # What was said last may not be kept yet, so the agent is left to say what it does not know.
        with pytest.raises(tri.TurnFailed, match="no such message there"):
            await (await session.fork("left to the agent", at=unknown)).ask("hi")
    async with tri.open_manager(agent, store=store) as manager:
        for wrong in ("", 5):
            with pytest.raises(tri.InvalidOption, match=f"at={wrong!r} is no uuid of a message; leave it out"):
                await manager.session("k").fork("copy", at=wrong)  # type: ignore[arg-type]
        with pytest.raises(tri.InvalidOption, match="no message of the session 'k' has this uuid"):
            await manager.session("k").fork("copy", at=unknown)
        assert await store.get_session("copy") is None
        copy = await manager.session("k").fork("copy", at=uuids[-1])
        assert "2nd message" in ((await copy.ask("How many messages?")).result or "")


async def test_a_session_goes_on_where_it_was_last_and_not_with_what_its_host_remembers(
    autojump_clock: MockClock,
) -> None:
    store, first, second = MemoryStore(), embedded(), embedded()
    for agent, prompt in ((first, "one"), (second, "two"), (first, "three"), (second, "four")):
        async with tri.open_manager(agent, store=store) as manager:
            await manager.session("k").ask(prompt)
    async with tri.open_manager(first, store=store) as manager:
        assert "5th message" in ((await manager.session("k").ask("How many messages?")).result or "")


async def test_a_prewarmed_program_tells_too(tmp_path: Path) -> None:
    store, program = MemoryStore(), str(agent_program(tmp_path))

    def place(name: str) -> tuple[tri.ClaudeCode, tri.Options]:
        (tmp_path / name).mkdir()
        agent = tri.ClaudeCode(environ={"HOME": str(tmp_path / name), "PATH": "/usr/bin:/bin"})
        return agent, tri.Options(cli_path=program, cwd=tmp_path / name)

    agent, options = place("a")
    async with tri.open_manager(agent, options=options, store=store, prewarm=1) as manager:
        prewarming = overseer_of(manager).prewarming
        assert prewarming is not None
        with trio.fail_after(20):
            while not (ready := prewarming.processes()):
                await trio.sleep(0.01)
        await manager.session("k").ask("Remember: I like Python")
        assert manager.session("k").pid in ready
    (head,) = await store.list_sessions()
    kept = await store.read_transcript(head.session_id or "")
    assert "user" in [json.loads(entry.line)["type"] for entry in kept]
    agent, options = place("b")
    async with tri.open_manager(agent, options=options, store=store) as manager:
        assert (await manager.session("k").ask("What do I like?")).result == "You like Python."
    assert list((tmp_path / "b").rglob("*.jsonl")) == []
