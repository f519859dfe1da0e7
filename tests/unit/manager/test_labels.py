"""What a turn may be called: its id is in each of its events, and its meta in its first."""

import pytest
from trio.testing import MockClock

import triologue as tri
from triologue.messages import user_message
from triologue.testing import ScriptedAgent


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"id": "x" * 257}, "has 257 characters; a turn's id has at most 256"),
        ({"meta": {str(n): "x" for n in range(65)}}, "at most 64 entries, of 16384 characters in all"),
        ({"meta": {"name": "x" * 16_384}}, "at most 64 entries, of 16384 characters in all"),
    ],
    ids=["id", "many", "long"],
)
async def test_labels_that_are_too_long_are_refused(
    more: dict[str, object], message: str, autojump_clock: MockClock
) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        with pytest.raises(tri.InvalidOption, match=message):
            await manager.session("k").send("hi", **more)  # type: ignore[arg-type]  # one of two kinds
        assert manager.sessions() == []


async def test_the_uuid_of_a_prompt_is_an_id_too(autojump_clock: MockClock) -> None:
    prompt = user_message("hi")
    prompt.uuid = "x" * 257
    async with tri.open_manager(ScriptedAgent()) as manager:
        with pytest.raises(tri.InvalidOption, match="has 257 characters"):
            await manager.session("k").send(prompt)


async def test_labels_as_long_as_may_be_are_taken(autojump_clock: MockClock) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        turn = await manager.session("k").send("hi", id="x" * 256, meta={"name": "x" * 16_380})
        assert (await turn.wait()).kind == "answered"
