"""The built-in agent's histories: told line by line, and taken back where its memory has not all of them."""

import gc
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from types import FrameType
from typing import Any
from uuid import uuid4

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.keeping import Keeper
from tests.unit.agents.test_embedded import A, Line, NoCarrier
from triologue.agents.embedded import Embedded
from triologue.engine import Transcript, Transcripts
from triologue.engine.histories import ToldTranscripts
from triologue.errors import SessionNotFound
from triologue.messages import (
    CommandLifecycle,
    InitMessage,
    Message,
    ResultMessage,
    TextBlock,
    ToolUseBlock,
    TranscriptMirror,
)
from triologue.options import Options
from triologue.ports import MirrorsHistories, ModelReply, ModelRequest


class Counting:
    """A model that says what it was told, each time for one cent."""

    name = "counting"

    async def reply(self, request: ModelRequest, emit: Any) -> ModelReply:
        await trio.lowlevel.checkpoint()
        told = [each["content"] for each in request.messages if each["role"] == "user"]
        said = [each if isinstance(each, str) else f"({each[0]['type']})" for each in told]
        return ModelReply(
            content=[TextBlock(text=" | ".join(said))],
            stop_reason="end_turn",
            model="m",
            input_tokens=1,
            output_tokens=1,
            cost_usd=0.01,
        )


@asynccontextmanager
async def connect(agent: Embedded, keeper: Keeper, **options: Any) -> AsyncIterator[Line]:
    """A conversation as a manager with a store would have it."""
    asked = Options(**options)
    agent.check(asked)
    async with agent.restore(agent.mirrored(asked), keeper.of(asked.resume or "")) as restored:
        assert restored.unkept == ()
        line = Line(agent, restored.options)
        async with agent.connect(line.options, sink=line.heard.extend, carrier=NoCarrier()) as line.link:
            yield line
        keeper.hear(line.heard, agent, line.options)


def counting() -> Embedded:
    """An agent as in another process: it has its own memory."""
    return Embedded(model=Counting(), transcripts=Transcripts())


async def ask(line: Line, *prompts: str) -> list[str | None]:
    for prompt in prompts:
        line.ask(prompt)
        await wait_all_tasks_blocked()
    return line.results


def id_of(line: Line) -> str:
    return next(message.session_id for message in line.heard if isinstance(message, InitMessage)) or ""


def last_result(line: Line) -> ResultMessage:
    return [message for message in line.heard if isinstance(message, ResultMessage)][-1]


def kinds(keeper: Keeper) -> list[str]:
    return [json.loads(entry.line)["type"] for entry in keeper.entries]


async def test_a_conversation_goes_on_in_another_process(autojump_clock: MockClock) -> None:
    agent, keeper = counting(), Keeper()
    assert isinstance(agent, MirrorsHistories)
    async with connect(agent, keeper, cwd="/here") as line:
        assert await ask(line, "one", "two") == ["one", "one | two"]
        types = [type(message) for message in line.heard]
        assert types.index(TranscriptMirror) < types.index(ResultMessage)
        session_id = id_of(line)
    assert kinds(keeper) == ["user", "last-prompt", "assistant", "cost-state"] * 2
    async with connect(counting(), keeper, resume=session_id) as line:
        assert await ask(line, "three") == ["one | two | three"]
        result = last_result(line)
        assert result.session_id == session_id
        assert result.total_cost_usd == pytest.approx(0.03)
        assert result.model_usage is not None
        assert result.model_usage["m"]["inputTokens"] == 3
    async with connect(counting(), keeper, resume=session_id) as line:
        assert await ask(line, "four") == ["one | two | three | four"]


async def test_what_was_never_kept_is_not_there(autojump_clock: MockClock) -> None:
    agent = counting()
    async with connect(agent, Keeper(), resume=A) as line:
        exit = await line.link.wait_exit()
    assert isinstance(agent.diagnose(exit, last_result(line), line.options), SessionNotFound)


async def test_a_prompt_that_was_answered_elsewhere_is_known(autojump_clock: MockClock) -> None:
    keeper, uuid = Keeper(), str(uuid4())
    async with connect(counting(), keeper) as line:
        line.ask("one", uuid)
        await wait_all_tasks_blocked()
        session_id = id_of(line)
    async with connect(counting(), keeper, resume=session_id) as line:
        line.ask("one", uuid)
        await wait_all_tasks_blocked()
        assert line.results == []
        assert [message.state for message in line.heard if isinstance(message, CommandLifecycle)] == ["completed"]


async def test_copies_and_cuts_of_what_was_taken_back(autojump_clock: MockClock) -> None:
    keeper, first = Keeper(), str(uuid4())
    async with connect(counting(), keeper) as line:
        line.ask("one", first)
        await ask(line, "two")
        session_id = id_of(line)
    answer = next(entry.id for entry in keeper.entries if json.loads(entry.line)["type"] == "assistant")
    original = keeper.of(session_id)
    async with connect(counting(), keeper, resume=session_id, fork_session=True, session_id=A) as line:
        assert await ask(line, "three") == ["one | two | three"]
    assert keeper.of(session_id) == original
    async with connect(counting(), keeper, resume=A, resume_session_at=answer) as line:
        assert await ask(line, "other") == ["one | other"]
        assert last_result(line).total_cost_usd == pytest.approx(0.04)
    elsewhere = counting()
    async with connect(elsewhere, keeper, resume=A) as line:
        assert await ask(line, "on") == ["one | other | on"]
    async with connect(elsewhere, keeper, resume=session_id) as line:
        assert await ask(line, "on") == ["one | two | on"]


async def test_a_memory_that_is_behind_is_brought_up_to_date(autojump_clock: MockClock) -> None:
    here, elsewhere, keeper = counting(), counting(), Keeper()
    async with connect(here, keeper) as line:
        await ask(line, "one")
        session_id = id_of(line)
    async with connect(elsewhere, keeper, resume=session_id) as line:
        await ask(line, "two")
    async with connect(here, keeper, resume=session_id) as line:
        assert await ask(line, "three") == ["one | two | three"]


async def test_what_was_lost_on_its_way_to_the_store_is_told_again(autojump_clock: MockClock) -> None:
    agent, keeper = counting(), Keeper()
    async with connect(agent, keeper) as line:
        await ask(line, "one")
        session_id = id_of(line)
    async with connect(agent, Keeper(), resume=session_id) as line:  # into a store that is lost
        await ask(line, "two")
    async with connect(agent, keeper, resume=session_id) as line:
        assert await ask(line, "three") == ["one | two | three"]
    async with connect(counting(), keeper, resume=session_id) as line:
        assert await ask(line, "four") == ["one | two | three | four"]


async def test_a_store_that_came_later_is_told_all(autojump_clock: MockClock) -> None:
    agent, keeper = counting(), Keeper()
    line = Line(agent, Options())
    async with agent.connect(line.options, sink=line.heard.extend, carrier=NoCarrier()) as line.link:
        assert await ask(line, "one", "two") == ["one", "one | two"]
        assert [message for message in line.heard if isinstance(message, TranscriptMirror)] == []
    async with connect(agent, keeper, continue_conversation=True) as line:
        assert await ask(line, "three") == ["one | two | three"]
        session_id = id_of(line)
    async with connect(counting(), keeper, resume=session_id) as line:
        assert await ask(line, "four") == ["one | two | three | four"]


class Delegating:
    """A model that gives the first prompt to a sub-agent."""

    name = "delegating"

    def __init__(self) -> None:
        self._number = count(1)

    async def reply(self, request: ModelRequest, emit: Any) -> ModelReply:
        await trio.lowlevel.checkpoint()
        if next(self._number) == 1:
            task = {"description": "Look", "prompt": "look", "subagent_type": "scout"}
            content: list[Any] = [ToolUseBlock(id="t1", name="Task", input=task)]
            return ModelReply(content=content, stop_reason="tool_use", model="m")
        return ModelReply(content=[TextBlock(text="seen")], stop_reason="end_turn", model="m")


async def test_what_sub_agents_did_is_told_in_files_of_their_own(autojump_clock: MockClock) -> None:
    keeper, agents = Keeper(), {"scout": {"description": "looks", "prompt": "You look."}}
    async with connect(Embedded(model=Delegating(), transcripts=Transcripts()), keeper, agents=agents) as line:
        await ask(line, "go")
        session_id = id_of(line)
    own = f"{session_id}.jsonl"
    lines = [json.loads(entry.line) for entry in keeper.entries if entry.path != own]
    (path,) = {entry.path for entry in keeper.entries} - {own}
    assert path.startswith(f"{session_id}/subagents/agent-")
    assert [line["type"] for line in lines] == ["agent_metadata", "user", "assistant"]
    assert lines[0] == {"type": "agent_metadata", "agentType": "scout", "description": "Look", "toolUseId": "t1"}
    async with connect(counting(), keeper, resume=session_id) as line:
        assert await ask(line, "on") == ["go | (tool_result) | on"]


def test_a_late_turn_costs_what_an_early_one_does() -> None:
    told: list[Message] = []
    keeping, said = ToldTranscripts(Transcripts(), told.append), Transcript(A, "/here")

    def turn() -> tuple[int, int]:
        """Function calls that it took, and the bytes that were told."""
        calls, before = 0, len(told)

        def profile(frame: FrameType, event: str, _: Any) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        prompt, answer = str(uuid4()), str(uuid4())
        gc.disable()  # what others left to be finalized is no call of this turn
        sys.setprofile(profile)
        try:
            said.add("user", "hello", [prompt])
            keeping.keep(said)
            said.add("assistant", [{"type": "text", "text": "hi"}], [answer])
            said.settle([prompt], "completed")
            keeping.keep(said)
        finally:
            sys.setprofile(None)
            gc.enable()
        news = told[before:]
        return calls, sum(len(each.entries_raw) for each in news if isinstance(each, TranscriptMirror))

    costs = [turn() for _ in range(300)]
    assert costs[9] == costs[99] == costs[299]
