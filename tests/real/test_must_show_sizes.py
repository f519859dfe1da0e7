"""Very long answers and prompts on the real Claude Code, and lines over the limit."""

import pytest

import triologue as tri
from tests.support.live import open_live_manager, read_story
from tests.support.real_cli import CleanPlace
from tests.support.script import letters

pytestmark = [pytest.mark.real_cli, pytest.mark.slow]

TEN_MB = 10_000_000


@pytest.mark.parametrize("partials", [False, True])
async def test_an_answer_of_ten_megabytes_arrives_whole(place: CleanPlace, partials: bool) -> None:
    async with open_live_manager(place, tri.Options(include_partial_messages=partials)) as manager:
        session = manager.session("a")
        turn = await session.send(f"[[bytes {TEN_MB}]]")
        story = await read_story(turn)
        result = (await turn.wait()).unwrap()
        assert story.said == letters(TEN_MB)
        assert result.result == letters(TEN_MB)
        assert (await session.ask("[[say on]]")).result == "on"


async def test_a_prompt_of_ten_megabytes_is_answered_by_the_agents_own_error(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        outcome = await (await session.send(letters(TEN_MB))).wait()
        assert (outcome.kind, outcome.reason) == ("failed", "blocking_limit")
        assert outcome.result is not None
        assert (outcome.result.subtype, outcome.result.result) == ("success", "Prompt is too long")
        assert place.api.turns == []
        await session.reset()
        assert (await session.ask("[[say on]]")).result == "on"


async def test_a_line_over_the_limit_is_marked_and_the_session_stays_usable(place: CleanPlace) -> None:
    options = tri.Options(include_partial_messages=True)
    async with open_live_manager(place, options, limits=tri.Limits(max_message_bytes=100_000)) as manager:
        session = manager.session("a")
        await session.ask("first")
        pid = session.pid
        # The assistant's frame and the result's repeat the text, so both are too long. The partials are not.
        turn = await session.send("[[bytes 200000]]")
        messages = [message async for message in turn]
        heads = [message.head[:80] for message in messages if isinstance(message, tri.OversizeMessage)]
        assert len(heads) == 2
        assert heads[0].startswith(b'{"type":"assistant"')
        assert "".join(tri.text(message) for message in messages) == letters(200_000)
        outcome = await turn.wait()
        assert (outcome.kind, outcome.result, outcome.reason) == ("failed", None, "AgentProtocolError")
        # And a turn of which only a part was too long is answered as any other.
        assert (await session.ask("[[bytes 200000]] [[tool Nothing]] [[say fine]]")).result == "fine"
        assert session.pid == pid
