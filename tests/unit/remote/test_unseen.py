"""Turns of which nothing is told: they are withdrawn all the same, and it can be asked what became of them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from tests.support.gateway import house
from tests.support.remote import Line, remote
from tests.support.slow_store import SlowStore
from tests.unit.remote.model_gateway import ModelGateway, open_model
from triologue.gateway.tokens import MemoryTokens
from triologue.protocol import asked, told
from triologue.testing import Say, ScriptedAgent, Wait


@asynccontextmanager
async def open_sender() -> AsyncGenerator[tuple[tri.SessionManager, tri.RemoteManager]]:
    """A manager, and its sessions for a token that may only send."""
    agent, tokens = ScriptedAgent(), MemoryTokens()
    agent.on("long", Wait(300), Say("at last"))
    token = tokens.add(name="bot", rights=["prompt"], prefix="a:")
    async with (
        tri.open_manager(agent) as manager,
        house(manager, tokens=tokens) as gateway,
        remote(Line(gateway).connect, token=token) as far,
    ):
        yield manager, far


async def kind_of(far: tri.RemoteManager, id: str) -> str | None:
    """How the turn of this id has ended, a second later."""
    await trio.sleep(1)
    turn = await far.session("a:1").find(id)
    assert turn is not None
    return turn.outcome.kind if turn.outcome is not None else None


async def test_a_token_that_may_only_send(autojump_clock: MockClock) -> None:
    async with open_sender() as (manager, far):
        assert (far.welcome.name, far.welcome.rights, far.welcome.prefix) == ("bot", ["prompt"], "a:")
        turn = await far.session("a:1").send("hello", id="t")
        with pytest.raises(tri.Forbidden, match="watch"):
            await turn.wait()
        with pytest.raises(tri.Forbidden):
            await far.session("a:1").close()
        with pytest.raises(tri.TriologueError):
            await far.session("b:1").send("hello")
        await trio.sleep(1)
        found = await manager.session("a:1").find("t")
        assert found is not None
        assert found.outcome is not None


async def test_it_asks_what_became_of_a_turn(autojump_clock: MockClock) -> None:
    async with open_sender() as (manager, far):
        session = far.session("a:1")
        await session.send("hello", id="t")
        await session.send("long", id="u", meta={"by": "ann"})
        await trio.sleep(1)
        done, running = await session.find("t"), await session.find("u")
        assert done is not None
        assert running is not None
        assert ((await done.wait()).kind, done.state, running.outcome, running.state) == (
            "answered",
            "ended",
            None,
            "running",
        )
        with pytest.raises(tri.Forbidden, match="watch"):
            async for _ in done:
                pass
        await manager.session("a:1").send("hello", id="of somebody else")
        assert await session.find("of somebody else") is None


async def test_it_cancels_its_turns(autojump_clock: MockClock) -> None:
    async with open_sender() as (_, far):
        session = far.session("a:1")
        turn = await session.send("long", id="cancelled")
        with pytest.raises(tri.Forbidden, match="watch"):  # which is about the outcome
            await turn.cancel()
        assert await kind_of(far, "cancelled") == "interrupted"
        async with session.turn("long", id="left"):
            pass
        assert await kind_of(far, "left") == "interrupted"


async def test_it_is_told_that_ask_would_hear_no_answer_before_anything_is_sent(autojump_clock: MockClock) -> None:
    async with open_sender() as (_, far):
        with pytest.raises(tri.Forbidden, match="not sent"):
            await far.session("a:1").ask("hello", id="t")
        assert await far.session("a:1").find("t") is None


async def test_a_turn_whose_session_is_not_told_any_more_is_withdrawn(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        await far.session("k").send("busy")
        gateway.answers[asked.Attach] = [told.Failed(re=0, code="store_error", message="the disk is gone")]
        with pytest.raises(tri.StoreError):
            async with far.session("k").turn("hello", id="t") as turn:
                gateway.cut()
                await turn.wait()
    assert gateway.session("k").outcomes["t"].kind == "cancelled"


async def test_who_waits_for_a_turn_when_the_disk_over_there_is_full_hears_of_it(autojump_clock: MockClock) -> None:
    agent, store = ScriptedAgent(), SlowStore()
    agent.on("long", Say("well"), Wait(300), Say("at last"))
    async with (
        tri.open_manager(agent, store=store.as_store) as manager,
        house(manager) as gateway,
        remote(Line(gateway).connect) as far,
    ):
        turn = await far.session("k").send("long", id="t")
        await trio.sleep(1)
        store.is_full = True
        with trio.fail_after(600), pytest.raises(tri.StoreError, match="attach again"):
            await turn.wait()
        store.is_full = False
        assert (await far.session("k").ask("hello")).result is not None
        found = await far.session("k").find("t")
        assert found is not None
        assert (await found.wait()).kind in ("failed", "lost")
