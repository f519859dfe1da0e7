"""`open_remote` over real sockets: a gateway that goes and comes back, and certificates."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

import triologue as tri
from tests.support.certificates import contexts
from tests.support.gateway import said
from triologue.testing import Say, ScriptedAgent
from triologue.wire import encode_record

STORY = "once upon a time there was a gateway that went away and came back"


def new_agent() -> ScriptedAgent:
    agent = ScriptedAgent()
    agent.on("story", Say(STORY, every=0.05))
    return agent


async def free_port() -> int:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listener.socket.getsockname()[1]
    await listener.aclose()
    return port


async def test_a_gateway_is_started_again_in_the_middle_of_a_word() -> None:
    port = await free_port()
    async with tri.open_manager(new_agent(), limits=tri.Limits(log_bytes=1 << 20)) as manager:
        async with trio.open_nursery() as nursery:

            async def come_and_go(task_status: trio.TaskStatus[None]) -> None:
                async with tri.open_gateway(manager, port=port):
                    task_status.started()
                    await reached.wait()
                    await trio.sleep(0.3)
                for seconds in (0.3, 0.3, 60):
                    async with tri.open_gateway(manager, port=port):
                        await trio.sleep(seconds)

            reached = trio.Event()
            await nursery.start(come_and_go)
            async with tri.open_remote(f"ws://127.0.0.1:{port}") as far:
                reached.set()
                session, view = far.session("k"), list[tri.Event]()
                async with session.subscribe(0) as events, session.turn("story", id="t") as turn:
                    messages = [message async for message in turn if not isinstance(message, tri.StreamEvent)]
                    outcome = await turn.wait()
                    last = (await manager.session("k").read())[-1].seq
                    while not view or view[-1].seq != last:
                        view.append(await anext(events))
            nursery.cancel_scope.cancel()
        log = await manager.session("k").read()
    assert outcome.unwrap().result == STORY
    assert said(view) == said(log)[: len(said(view))]
    assert encode_record(messages[-1]) == encode_record(outcome.unwrap())


async def test_a_host_is_started_again_on_its_store(tmp_path: Path) -> None:
    port, path, agent = await free_port(), tmp_path / "sessions.db", new_agent()

    @asynccontextmanager
    async def host() -> AsyncGenerator[tri.SessionManager]:
        async with tri.open_manager(agent, store=path) as manager, tri.open_gateway(manager, port=port):
            await manager.recover()
            yield manager

    async with trio.open_nursery() as nursery:

        async def come_and_go(task_status: trio.TaskStatus[None]) -> None:
            async with host():
                task_status.started()
                await asked.wait()
            async with host():
                await trio.sleep_forever()

        asked = trio.Event()
        await nursery.start(come_and_go)
        async with tri.open_remote(f"ws://127.0.0.1:{port}") as far:
            session = far.session("k")
            await session.ask("hello")
            async with session.subscribe(0) as events:
                asked.set()
                result = await session.ask("story", id="t")
                view = [await anext(events)]
                while not (view[-1].turn_id == "t" and isinstance(view[-1].message, tri.TurnEnded)):
                    view.append(await anext(events))
            seqs = [event.seq for event in view if event.seq is not None]
            assert seqs == list(range(1, len(seqs) + 1))
            assert result.result == STORY
            accepted = [event.turn_id for event in view if isinstance(event.message, tri.TurnAccepted)]
            assert accepted[1:] == ["t"]
        nursery.cancel_scope.cancel()


async def test_certificates_count(tmp_path: Path) -> None:
    theirs, ours = contexts(tmp_path)
    async with tri.open_manager(new_agent()) as manager, tri.open_gateway(manager, port=0, tls=theirs) as gateway:
        url = f"wss://localhost:{gateway.port}"
        async with tri.open_remote(url, tls=ours) as far:
            assert (await far.session("k").ask("story")).result == STORY
        with pytest.raises(tri.GatewayRefused, match="certificate"):
            async with tri.open_remote(url):
                pass
