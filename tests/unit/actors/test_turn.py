"""A turn as its callers hold it."""

import gc
import weakref
from collections.abc import Callable

import pytest
import trio

from tests.support.frames import assistant, init, partial, prompt, result
from triologue.actors import Home, Log, Reply, Turn
from triologue.errors import TurnCancelled
from triologue.messages import Gap, Message, Outcome, TurnAccepted, TurnEnded, TurnStarted

ANSWERED = Outcome(kind="answered", result=result("t"))


class Stage:
    def __init__(self, limit: int = 100, *, is_held: bool = True) -> None:
        self.log = Log(limit, 10_000_000, 10_000_000)
        self.withdrawn: list[str] = []
        self.waits = False
        self.log.publish(None, [assistant("before")])
        place: Callable[[str], int | None] = lambda _: 0 if self.waits else None  # noqa: E731
        held = self.log.new_records() if is_held else None
        self.turn = Turn(
            "t", {"user": "U1"}, self.log, held, home=Home("s"), withdraw=self.withdrawn.append, position=place
        )

    def begin(self) -> None:
        self.say(TurnAccepted(prompt=prompt("t"), meta={}))
        self.say(TurnStarted())

    def say(self, *messages: Message) -> None:
        self.log.publish("t", list(messages), self.turn.held)

    def end(self, outcome: Outcome = ANSWERED) -> None:
        self.say(TurnEnded(outcome=outcome))
        self.turn.settle(outcome)


async def test_iterating_gives_the_turns_messages_from_the_beginning_to_the_result() -> None:
    stage = Stage()
    stage.begin()
    stage.say(init(), assistant("hi"))
    stage.log.publish(None, [assistant("background")])
    stage.say(result("t"))
    stage.end()
    stage.log.publish("u", [assistant("another turn")])
    for _ in range(2):
        assert [message async for message in stage.turn] == [init(), assistant("hi"), result("t")]
    assert "0 readers" in repr(stage.log)


async def test_a_reader_waits_for_what_is_not_there_yet() -> None:
    stage = Stage()
    seen: list[Message] = []

    async def read() -> None:
        seen.extend([message async for message in stage.turn])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        stage.begin()
        for word in ("a", "b"):
            stage.say(partial(word))
            await trio.testing.wait_all_tasks_blocked()
        stage.say(assistant("ab"), result("t"))
        stage.end()
    assert seen == [partial("a"), partial("b"), assistant("ab"), result("t")]


async def test_a_reader_behind_the_end_still_gets_everything() -> None:
    stage = Stage()
    reader = aiter(stage.turn)
    stage.begin()
    for number in range(10):
        stage.say(assistant(str(number)))
    stage.end()
    seen = [message async for message in reader]
    assert seen == [assistant(str(number)) for number in range(10)]
    with pytest.raises(StopAsyncIteration):
        await anext(reader)


async def test_a_turn_without_any_message_ends() -> None:
    stage = Stage()
    stage.begin()
    stage.end(Outcome(kind="cancelled", error=TurnCancelled("no")))
    assert [message async for message in stage.turn] == []


@pytest.mark.parametrize("is_held", [True, False])
async def test_a_turn_ends_for_its_reader_whether_it_is_kept_or_not(is_held: bool) -> None:
    stage = Stage(limit=2, is_held=is_held)
    stage.begin()
    stage.say(assistant("hi"))
    stage.end()
    for _ in range(20):
        stage.log.publish("u", [assistant("another turn")])
    gone: list[Message] = [Gap(first=2, last=23)]
    assert [message async for message in stage.turn] == ([assistant("hi")] if is_held else gone)
    twin = stage.turn.without_messages()
    assert (await twin.wait(), [message async for message in twin]) == (ANSWERED, gone)


async def test_a_turn_that_is_only_remembered_does_not_hold_the_handle_that_it_was_sent_with() -> None:
    stage = Stage()
    stage.begin()
    stage.end()
    twin = stage.turn.without_messages()
    twin.withdraw()
    handle = weakref.ref(stage)
    del stage
    gc.collect()
    assert (handle(), twin.state, twin.position, await twin.cancel()) == (None, "ended", None, ANSWERED)


async def test_a_reserved_reader_misses_no_partial() -> None:
    stage = Stage()
    stage.turn.reserve()
    stage.begin()
    stage.say(partial("a"))
    stage.say(assistant("a"))
    stage.end()
    assert [message async for message in stage.turn] == [partial("a"), assistant("a")]
    assert [message async for message in stage.turn] == [assistant("a")]
    stage.turn.reserve()
    stage.turn.release()
    assert "0 readers" in repr(stage.log)


async def test_a_reader_that_is_dropped_half_way_is_forgotten() -> None:
    stage = Stage()
    stage.begin()
    stage.say(assistant("hi"))
    async for _ in stage.turn:
        break
    assert "0 readers" in repr(stage.log)


async def test_wait_by_many_before_and_after() -> None:
    stage = Stage()
    outcomes: list[Outcome] = []

    async def wait() -> None:
        outcomes.append(await stage.turn.wait())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        stage.end()
        stage.turn.settle(Outcome(kind="failed"))  # once is once
    outcomes.append(await stage.turn.wait())
    assert outcomes == [ANSWERED] * 4


async def test_what_a_turn_tells_of_itself() -> None:
    stage = Stage()
    stage.waits = True
    assert (stage.turn.id, stage.turn.meta) == ("t", {"user": "U1"})
    assert (stage.turn.state, stage.turn.position, stage.turn.outcome) == ("waiting", 0, None)
    stage.waits = False
    assert (stage.turn.state, stage.turn.position) == ("running", None)
    stage.turn.withdraw()
    stage.end()
    stage.turn.withdraw()
    assert (stage.turn.state, stage.turn.outcome, stage.withdrawn) == ("ended", ANSWERED, ["t"])
    assert repr(stage.turn) == "<Turn 't': answered>"


async def test_a_reply_is_settled_once() -> None:
    reply, refused = Reply(), Reply()
    reply.settle(1)
    reply.settle(2, error=ValueError())
    refused.settle(error=KeyError("no"))
    assert [await reply.wait(), await reply.wait()] == [1, 1]
    with pytest.raises(KeyError):
        await refused.wait()
