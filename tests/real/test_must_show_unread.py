"""Control is never behind data: it goes on while ten thousand messages of the real Claude Code lie unread."""

import pytest
import trio

import triologue as tri
from tests.support.live import bash, open_live_manager, read_story, read_to_the_end
from tests.support.real_cli import CleanPlace
from triologue.manager import Subscription

pytestmark = pytest.mark.real_cli

COUNT = 10_000
WORDS = " ".join(f"word{number}" for number in range(1, COUNT + 1))
PARTIALS = tri.Options(include_partial_messages=True)
ROOMY = tri.Limits(log_bytes=10_000_000)


async def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hi {name}"


async def wait_all_said(events: Subscription) -> None:
    """Returns when the agent has said all the words; this reader is a fast one."""
    said = ""
    async for event in events:
        if isinstance(event.message, tri.StreamEvent):
            said += tri.text(event.message)
            if said == WORDS:
                return


async def test_interrupt_and_control_requests_return_while_nobody_reads(place: CleanPlace) -> None:
    async with open_live_manager(place, PARTIALS, limits=ROOMY) as manager:
        session = manager.session("a")
        async with session.subscribe() as fast, session.subscribe() as unread:
            turn = await session.send(f"[[words {COUNT}]] [[wait gate]]")
            begun = aiter(turn)
            await anext(begun)
            await wait_all_said(fast)
            # Nobody reads `unread`, and `begun` stopped after its first message.
            await session.set_model("model-b")
            await session.set_permission_mode("plan")
            assert await session.interrupt() == "stopped"
            assert turn.outcome is not None
            assert turn.outcome.kind == "interrupted"
            # What they missed is there when they come back: the records, and not each partial.
            rest = [message async for message in begun]
            assert "".join(tri.text(message) for message in rest if isinstance(message, tri.AssistantMessage)) == WORDS
            assert isinstance(rest[-1], tri.ResultMessage)
            kept: list[tri.Event] = []
            async for event in unread:
                kept.append(event)
                if isinstance(event.message, tri.TurnEnded):
                    break
            seqs = [event.seq for event in kept if event.seq is not None]
            assert seqs == list(range(seqs[0], seqs[-1] + 1))
            assert not any(isinstance(event.message, tri.Gap) for event in kept)
        assert (await session.ask("[[say on]]")).result == "on"
        assert place.api.turns[-1].body["model"] == "model-b"


@pytest.mark.slow
async def test_a_permission_is_answered_and_mcp_status_told_while_nobody_reads(place: CleanPlace) -> None:
    asked = trio.Event()
    options = PARTIALS.over(tri.Options(mcp_servers={"desk": [greet]}))
    async with open_live_manager(place, options, limits=ROOMY, on_permission=lambda request: asked.set()) as manager:
        session = manager.session("a")
        async with session.subscribe() as unread:
            turn = await session.send(f"[[words {COUNT}]] {bash('touch made')} [[say made]]")
            begun = aiter(turn)
            await anext(begun)
            with trio.fail_after(60):
                await asked.wait()
            # Its question is behind all the words: nobody took them, and they held nothing up.
            (request,) = manager.permissions()
            assert [each.status for each in (await session.get_mcp_status()).mcp_servers] == ["connected"]
            await request.allow(by="ada")
            assert await request.wait() == tri.PermissionAnswered(id=request.id, answer="allow", by="ada")
            assert (await turn.wait()).unwrap().result == "made"
            assert (place.cwd / "made").exists()
            rest = [message async for message in begun]
            said = [
                text for message in rest if isinstance(message, tri.AssistantMessage) if (text := tri.text(message))
            ]
            assert said == [WORDS, "made"]
            kinds = [type(event.message) for event in await read_to_the_end(unread)]
            assert kinds.count(tri.PermissionAsked) == kinds.count(tri.PermissionAnswered) == 1


@pytest.mark.slow
async def test_one_who_reads_slowly_slows_no_one(place: CleanPlace) -> None:
    async with open_live_manager(place, PARTIALS, limits=ROOMY) as manager:
        session = manager.session("a")
        turn = await session.send(f"[[words {COUNT}]]")
        slow = aiter(turn)
        read = 0
        while turn.outcome is None:
            # One message for each question to the agent, which answers in between.
            assert not isinstance(await anext(slow), tri.ResultMessage)
            read += 1
            await session.set_model(f"model-{read % 2}")
        assert turn.outcome.unwrap().result == WORDS
        assert read < COUNT
        story = await read_story(turn)
        assert story.said == WORDS


@pytest.mark.slow
async def test_ten_thousand_partials_all_reach_one_who_reads(place: CleanPlace) -> None:
    async with open_live_manager(place, PARTIALS, limits=ROOMY) as manager:
        session = manager.session("a")
        turn = await session.send(f"[[words {COUNT}]]")
        partials = "".join([tri.text(message) async for message in turn if isinstance(message, tri.StreamEvent)])
        assert partials == WORDS
        assert (await turn.wait()).unwrap().result == WORDS
