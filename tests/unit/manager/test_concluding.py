"""What Qoder does before it leaves, and who is told of it: memory that is written down, and `on_result`."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.frames import success
from tests.support.scripted_agent import ScriptedAgent, ScriptedLink
from tests.unit.manager.stage import answer, scripted
from triologue.actors import notices
from triologue.messages import (
    ControlRequest,
    FlushMemory,
    FlushSkillEvolution,
    MemoryConsumptionMessage,
    MemoryGenerationMessage,
    MemoryShouldGenerate,
    SkillEvolutionMessage,
)
from triologue.options import Deadlines, Options

WRITTEN = MemoryGenerationMessage(subtype="memory_generation", result={"status": "written", "filesChanged": 1})
READ = MemoryConsumptionMessage(subtype="memory_consumption", result={"status": "read"})
REVIEWED = SkillEvolutionMessage(
    subtype="skill_evolution",
    result={
        "status": "suggested",
        "attemptId": "a1",
        "origin": "turn_complete",
        "durationMs": 5,
        "suggestions": [{"skillName": "pdf", "change": "x"}, "odd"],
    },
)


class Writer:
    """An agent that writes its memory down when it is asked to, if its host lets it."""

    def __init__(self, agent: ScriptedAgent) -> None:
        self.agent = agent
        self.gates: list[Any] = []
        agent.concludes = (FlushMemory(), FlushSkillEvolution())
        agent.requests = {FlushMemory: None, FlushSkillEvolution: "skill_evolution_v1"}
        agent.greeting = {"capabilities": ["skill_evolution_v1"]}
        agent.ignores = {FlushMemory}

    async def write(self) -> None:
        """Wait for the flush, ask the gate, say what was written, and answer."""
        while not (link := self.agent.link).requests(FlushMemory):
            await trio.sleep(0.1)
        self.gates.append(await link.ask(MemoryShouldGenerate(callback_id="memory_should_generate_0", input={})))
        link.say(WRITTEN, success(asked(link, FlushMemory)))


def asked(link: ScriptedLink, kind: type[Any]) -> str:
    """The id of the host's request of this kind."""
    [request_id] = [
        each.request_id for each in link.sent if isinstance(each, ControlRequest) and isinstance(each.request, kind)
    ]
    return request_id


@pytest.mark.parametrize("how", ["close", "hibernate", "reset", "leave the block", "cancel the block"])
async def test_memory_is_written_down_before_the_agent_goes(how: str, autojump_clock: MockClock) -> None:
    told: list[Any] = []

    async def note(result: Any) -> None:
        told.append(result)

    async def allow(given: Any, context: Any) -> dict[str, bool]:
        return {"run": True}

    memory = {"mode": "custom", "generation": {"on_result": note, "turn_complete": {"should_generate": allow}}}
    writer = Writer(ScriptedAgent())
    with trio.fail_after(50):
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as block:
                async with scripted(writer.agent, options=Options(memory=memory)) as (session, agent, _):
                    await session.ask("hi")
                    nursery.start_soon(writer.write)
                    match how:
                        case "close":
                            await session.close()
                        case "hibernate":
                            await session.hibernate()
                        case "reset":
                            await session.reset()
                        case "cancel the block":
                            block.cancel()
                        case _:
                            pass
    assert writer.gates == [{"run": True}]
    assert told == [{"status": "written", "filesChanged": 1}]
    assert [type(each) for each in requests_at_the_end(agent.link)] == [FlushMemory, FlushSkillEvolution]


def requests_at_the_end(link: ScriptedLink) -> list[Any]:
    return [*link.requests(FlushMemory), *link.requests(FlushSkillEvolution)]


async def test_an_agent_that_does_not_announce_it_is_not_asked(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        Writer(agent)
        agent.greeting = {}
        agent.ignores = set()
        await session.ask("hi")
        await session.close()
        assert [type(each) for each in requests_at_the_end(agent.link)] == [FlushMemory]


@pytest.mark.parametrize(("control", "seconds"), [(60, 60), (5, 5), (None, 10)])
async def test_an_agent_that_never_comes_to_an_end_goes_without(
    control: float | None, seconds: float, autojump_clock: MockClock
) -> None:
    async with scripted(deadlines=Deadlines(control=control)) as (session, agent, _):
        Writer(agent)
        await session.ask("hi")
        before = trio.current_time()
        await session.close()
        assert trio.current_time() - before == pytest.approx(seconds)
        assert await answer(session, "and again") == "2. and again"


async def test_a_drain_waits_for_it_no_longer_than_for_anything_else(autojump_clock: MockClock) -> None:
    with trio.fail_after(30 + 10 + 2 * 10 + 1):
        async with scripted(deadlines=Deadlines(control=1000)) as (session, agent, _):
            Writer(agent)
            await session.ask("hi")


async def test_a_prompt_that_comes_meanwhile_is_answered(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        Writer(agent)
        await session.ask("hi")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.hibernate)
            await wait_all_tasks_blocked()
            assert await answer(session, "two") == "2. two"
            await wait_all_tasks_blocked()
            assert len(agent.link.requests(FlushMemory)) == 1, "the first one is still under way"
            agent.link.say(success(asked(agent.link, FlushMemory)))
        assert len(agent.link.requests(FlushMemory)) == 2


# Results.


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_results_go_to_their_callbacks(kind: str) -> None:
    told: list[tuple[str, Any]] = []

    def noting(name: str) -> Any:
        async def note_later(result: Any) -> None:
            await trio.lowlevel.checkpoint()
            told.append((name, result))

        return note_later if kind == "async" else lambda result: told.append((name, result))

    options = Options(
        memory={
            "mode": "native",
            "generation": {"on_result": noting("written")},
            "consumption": {"on_result": noting("read")},
        },
        evolution={"skill": {"generation": {"on_result": noting("reviewed")}}},
    )
    async with scripted(options=options) as (session, agent, _):
        await session.ask("hi")
        agent.link.say(READ, WRITTEN, REVIEWED, SkillEvolutionMessage(subtype="skill_evolution", result=None))
        await session.close()
    suggestions = [{"skill_name": "pdf", "change": "x"}]
    review = {"status": "suggested", "attempt_id": "a1", "origin": "turn_complete", "duration_ms": 5}
    unreadable = {
        "status": "failed",
        "attempt_id": "unknown",
        "reason": "invalid_result",
        "origin": "turn_complete",
        "suggestions": [],
        "duration_ms": 0,
    }
    assert told == [
        ("read", READ.result),
        ("written", WRITTEN.result),
        ("reviewed", {**review, "suggestions": suggestions}),
        ("reviewed", unreadable),
    ]


async def test_a_callback_that_raises_is_logged(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(result: Any) -> None:
        raise LookupError("no place for it")

    options = Options(memory={"mode": "native", "generation": {"on_result": fail}})
    async with scripted(options=options) as (session, agent, _):
        await session.ask("hi")
        agent.link.say(WRITTEN)
        assert await answer(session, "two") == "2. two"
    [record] = caplog.records
    assert record.message == "a callback of the session 'k' raised"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


async def test_no_more_calls_wait_than_there_may(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notices, "MAX_WAITING", 2)
    told: list[Any] = []

    async def slow(result: Any) -> None:
        await trio.sleep(1)
        told.append(result)

    options = Options(memory={"mode": "native", "generation": {"on_result": slow}})
    async with scripted(options=options) as (session, agent, _):
        await session.ask("hi")
        agent.link.say(*[WRITTEN] * 5)
        await trio.sleep(5)
    assert len(told) == 3, "one is made at once, two wait"
    assert [record.message for record in caplog.records] == 2 * [
        "a call of the session 'k' is dropped, since 2 wait already"
    ]
