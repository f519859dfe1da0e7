"""What the real Claude Code makes of prompts, commands, limits and failures of its API, seen as turns."""

import pytest

import triologue as tri
from tests.support.live import bash, open_live_manager, read_story
from tests.support.real_cli import CleanPlace

pytestmark = pytest.mark.real_cli

# 1 x 1, red.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg=="


ODD_PROMPTS = ["/cost", "/clear", "!ls", "#note", "-p", "line\nline\r\n", "ünï\u2028cødé 🎉"]


@pytest.mark.parametrize(
    "prompt",
    ["/cost is a word", *(pytest.param(odd, marks=pytest.mark.slow) for odd in ("read @secret.txt", *ODD_PROMPTS))],
)
async def test_a_prompt_reaches_the_model_as_written(place: CleanPlace, prompt: str) -> None:
    (place.cwd / "secret.txt").write_text("xyzzy")
    async with open_live_manager(place) as manager:
        await manager.session("a").ask(prompt)
    (request,) = place.api.turns
    users = [message["content"] for message in request.body["messages"] if message["role"] == "user"]
    texts = [content if isinstance(content, str) else block["text"] for content in users for block in content]
    assert prompt in texts
    assert "xyzzy" not in str(request.body)


@pytest.mark.slow
async def test_commands_run_when_they_are_asked_for(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        await session.ask("first")
        cost = await session.command("/cost")
        assert (cost.num_turns, "cost" in (cost.result or "").lower()) == (0, True)
        assert (await session.ask("second")).result == "echo[2]: first | second"
        compacted = await session.command("/compact")
        assert compacted.is_error is False
        assert [request.side for request in place.api.requests if request.side] == ["compaction"]
        assert (await session.ask("third")).is_error is False
        with pytest.raises(tri.InvalidOption):
            await session.command("compact")


@pytest.mark.slow
async def test_clear_begins_a_new_conversation_and_the_session_follows(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        await session.ask("first")
        old = session.session_id
        await session.command("/clear")
        assert session.session_id != old
        assert (await session.ask("second")).result == "echo[1]: second"
        await session.hibernate()
        assert (await session.ask("third")).result == "echo[2]: second | third"


@pytest.mark.slow
async def test_pictures_reach_the_model(place: CleanPlace) -> None:
    picture = tri.ImageBlock(source={"type": "base64", "media_type": "image/png", "data": PNG})
    async with open_live_manager(place) as manager:
        assert (await manager.session("a").ask([tri.TextBlock(text="[[say I see]]"), picture])).result == "I see"
    sent = [block for message in place.api.turns[0].body["messages"] for block in message["content"]]
    images = [block["source"] for block in sent if isinstance(block, dict) and block["type"] == "image"]
    assert images == [{"type": "base64", "media_type": "image/png", "data": PNG}]


async def test_partial_messages_come_before_the_whole_one(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(include_partial_messages=True)) as manager:
        turn = await manager.session("a").send("[[words 5]]")
        kinds = [(type(message).__name__, said) async for message in turn if (said := tri.text(message))]
    partials = [("StreamEvent", said) for said in ("word1 ", "word2 ", "word3 ", "word4 ", "word5")]
    assert kinds == [*partials, ("AssistantMessage", "word1 word2 word3 word4 word5")]


@pytest.mark.slow
async def test_the_limit_of_round_trips_fails_the_turn_and_not_the_session(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(max_turns=2, allowed_tools=["Bash"])) as manager:
        session = manager.session("a")
        for _ in range(2):
            outcome = await (await session.send(bash("true") * 5)).wait()
            assert outcome.result is not None
            assert (outcome.kind, outcome.reason, outcome.result.subtype) == ("failed", "max_turns", "error_max_turns")
        assert (await session.ask("[[say still here]]")).result == "still here"


@pytest.mark.slow
async def test_the_budget_fails_the_turn(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(max_budget_usd=0.01, allowed_tools=["Bash"])) as manager:
        session = manager.session("a")
        outcome = await (await session.send("[[usage 1000000 1000000]] " + bash("true") + "[[say rich]]")).wait()
        assert outcome.result is not None
        assert (outcome.kind, outcome.result.subtype) == ("failed", "error_max_budget_usd")
        again = await (await session.send("hi")).wait()
        assert (again.kind, again.reason) == ("failed", outcome.reason)
    assert len(place.api.turns) == 1


async def test_an_error_of_the_api_fails_its_turn_only(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        turn = await session.send('[[error 400 "bad thing"]]')
        story = await read_story(turn)
        outcome = await turn.wait()
        assert story.result is outcome.result is not None
        assert (outcome.kind, outcome.reason) == ("failed", "api_error")
        # Claude Code calls it a success; that it is an error is told beside.
        assert (outcome.result.subtype, outcome.result.result) == ("success", "API Error: 400 bad thing")
        with pytest.raises(tri.TurnFailed, match="bad thing"):
            outcome.unwrap()
        assert (await session.ask("[[say well again]]")).result == "well again"


@pytest.mark.slow
async def test_an_overloaded_api_is_tried_again_then_fails_the_turn(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(env={"CLAUDE_CODE_MAX_RETRIES": "2"})) as manager:
        session = manager.session("a")
        turn = await session.send("[[error 529]]")
        attempts = [message.attempt async for message in turn if isinstance(message, tri.ApiRetryMessage)]
        outcome = await turn.wait()
        assert (attempts, outcome.kind, outcome.reason) == ([1, 2], "failed", "api_error")
        assert outcome.result is not None
        assert outcome.result.subtype == "success"
        assert (await session.ask("[[error 529 times 1]] [[say late]]")).result == "late"


@pytest.mark.slow
async def test_a_deadline_that_passes_while_the_agent_tries_again_tells_what_the_api_said(place: CleanPlace) -> None:
    async with open_live_manager(place, deadlines=tri.Deadlines(first_event=5)) as manager:
        session = manager.session("a")
        outcome = await (await session.send("[[error 529 retry-after 60]]")).wait()
        assert outcome.error is not None
        timeout = outcome.error.__cause__
        assert isinstance(timeout, tri.TurnTimeout)
        assert (timeout.phase, timeout.seconds) == ("first_event", 5)
        assert timeout.retry.startswith("529 overloaded (retry 1 of 10 after ")
        assert timeout.retry in str(outcome.error)
        assert (await session.ask("[[say late]]")).result == "late"


@pytest.mark.slow
async def test_a_connection_that_drops_is_healed_by_the_agent(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        assert (await manager.session("a").ask("[[drop before headers times 1]] [[say late]]")).result == "late"


@pytest.mark.slow
async def test_the_same_id_is_the_same_turn(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        first, again = await session.send("hi", id="one"), await session.send("hi", id="one")
        assert first is again
        assert (await first.wait()).unwrap().result == "echo[1]: hi"
        with pytest.raises(tri.InvalidOption):
            await session.send("something else", id="one")
        assert len(place.api.turns) == 1
