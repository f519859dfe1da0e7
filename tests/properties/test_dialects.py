"""Our host and our agent, in every dialect: whatever either does, and whenever, nothing hangs and nothing is said twice."""

import itertools
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Literal

import pytest
import trio
from hypothesis import HealthCheck, given, settings, strategies as st
from msgspec import Struct
from trio.testing import MockClock

import triologue as tri
from tests.support.dialect_pair import PairedAgent, PairedQoder, Part, RecordedAgent
from tests.support.leftovers import run_to_the_last_task
from tests.support.line_laws import check_line
from triologue.engine import Transcripts
from triologue.engine.scripted import ScriptedModel
from triologue.messages import (
    Gap,
    Message,
    PermissionAnswered,
    PermissionAsked,
    PermissionResultAllow,
    PermissionResultDeny,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
)
from triologue.tools import as_tools

AGENTS = ["embedded", "claude", "qoder", "cortex"]
DEADLINES = tri.Deadlines(start=20, permission=30, control=10, interrupt=5, drain=10, close=4)
LIMITS = tri.Limits(mailbox=6, held_bytes=64 * 1024 * 1024)
# A wait for the agent, where it may have to be let go, or killed, and started anew before.
BOUND = 2 * (20 + 10 + 5 + 2 * 4 + 1)
# The longest that leaving the block may take, with callbacks that clean up after themselves.
LEAVING = 10 + 5 + 2 * 4 + 5
# How long an agent waits for a hook; then it takes the request back.
HOOK = 2
# What callbacks are given that clean up after themselves, which takes a second.
AFTERWARDS = 1.5
KEYS = ["a", "b"]
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere"}


class Story(Struct, kw_only=True):
    """A program of a user: what is set up, what is done and when, and how it ends."""

    script: list[list[list[Any]]]
    """By prompt: the replies of the model."""
    manners: list[str]
    """How callbacks behave, one after the other, over and over."""
    asks: Literal["can_use_tool", "on_permission", "nobody"]
    hooks: list[str]
    steps: list[tuple[float, str, int]]
    """Seconds to wait, what to do then, and a number for it."""
    rest: float
    """Seconds until the end."""
    ending: Literal["leave", "raise", "cancel"]
    slowness: float
    partial: bool
    seed: int


REPLY = st.lists(
    st.sampled_from(
        [
            {"say": "one two"},
            {"words": 3, "delay": 1},
            {"thinking": "hm"},
            {"wait": 7},
            {"tool": "nap", "input": {"seconds": 2}},
            {"tool": "nap", "input": {"seconds": 0}},
            *3 * [{"tool": "mcp__host__probe", "input": {}}],
            {"tool": "Task", "input": {"subagent_type": "scout", "description": "d", "prompt": "p1"}},
            {"tool": "nope", "input": {}},
            {"error": 529, "message": "overloaded"},
            {"hang": True},
        ]
    ),
    min_size=1,
    max_size=3,
)
MANNERS = [
    *("allow", "allow", "allow", "deny", "stop", "later", "later"),
    *("raise", "hang", "hang", "stubborn", "nonsense", "interrupt", "send"),
]
EVENTS = ["UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop", "SubagentStop"]
DEEDS = [
    *("send", "send", "send", "send", "burst", "ask", "turn", "cancel"),
    *("interrupt", "interrupt", "interrupt", "interrupt"),
    *("model", "mode", "wrong mode", "status", "usage", "give up", "toggle"),
    *("answer", "hibernate", "close", "reset", "fork", "command", "options", "crash"),
]
PAUSES = [0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 3.0, 12.0, 40.0]
STORIES = st.builds(
    Story,
    script=st.lists(st.lists(REPLY, min_size=1, max_size=3), min_size=1, max_size=3),
    manners=st.lists(st.sampled_from(MANNERS), min_size=2, max_size=8),
    asks=st.sampled_from(["can_use_tool", "on_permission", "nobody"]),
    hooks=st.lists(st.sampled_from(EVENTS), unique=True),
    steps=st.lists(
        st.tuples(st.sampled_from(PAUSES), st.sampled_from(DEEDS), st.integers(0, 5)), min_size=3, max_size=16
    ),
    rest=st.sampled_from([0.0, 1.0, 20.0, 100.0]),
    ending=st.sampled_from(["leave", "leave", "leave", "raise", "cancel"]),
    slowness=st.sampled_from([0.0, 0.0, 0.0, 0.0, 1.0, 25.0]),
    partial=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)


@pytest.mark.parametrize("name", AGENTS)
@given(story=STORIES, schedule=st.random_module())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_nothing_hangs_and_every_turn_has_one_outcome(name: str, story: Story, schedule: Any) -> None:
    play(name, story)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", AGENTS)
@given(story=STORIES, schedule=st.random_module())
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=1_000)
def test_the_same_for_many_more(name: str, story: Story, schedule: Any) -> None:
    play(name, story)


@pytest.fixture(autouse=True)
def no_log_of_what_was_on_purpose() -> Iterator[None]:
    """Callbacks raise here, and each time a log file is told."""
    logger = logging.getLogger("triologue")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def play(name: str, story: Story) -> None:
    played = Play(name, story)
    run_to_the_last_task(played.run, clock=MockClock(autojump_threshold=0), instruments=[played.busyness])
    played.check()


class Busyness(trio.abc.Instrument):
    """Ends what is busy for ever without the clock getting on, which no deadline would."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self._time = 0.0
        self._steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        now = trio.current_time()
        if now != self._time:
            self._time, self._steps = now, 0
        self._steps += 1
        if self._steps > 50_000:
            self.scope.cancel()


class Left(Exception):
    """The block is left by it."""


class Play:
    """One run of a story."""

    def __init__(self, name: str, story: Story) -> None:
        self.story = story
        self.manners = itertools.cycle(story.manners)
        self.busyness = Busyness()
        self.agent = make_agent(name, story)
        self.turns: list[tri.Turn] = []
        self.events: dict[str, list[tri.Event]] = {}
        self.callbacks = 0
        self.busy: dict[int, str] = {}
        self.told: dict[int, tri.PermissionRequest] = {}
        """By the number of the callback that was told of it."""
        """The callbacks that run, and the key whose options brought them; forks share those of their original."""
        self.has_forks: set[str] = set()
        self.longest_hook = 0.0
        self.manager: tri.SessionManager

    async def run(self) -> None:
        story = self.story
        whole = sum(pause for pause, _, _ in story.steps) + story.rest + LEAVING
        with self.busyness.scope, trio.fail_after(whole):
            async with trio.open_nursery() as callers:
                with trio.CancelScope() as scope:
                    try:
                        async with self.open() as self.manager:
                            for key in KEYS:
                                await self.watch(callers, self.manager.session(key))
                            for pause, deed, number in story.steps:
                                await trio.sleep(pause)
                                callers.start_soon(self.do, callers, deed, number)
                            await trio.sleep(story.rest)
                            self.check_permissions()
                            if story.ending == "raise":
                                raise Left
                            if story.ending == "cancel":
                                scope.cancel()
                            await trio.lowlevel.checkpoint()
                    except Left:
                        pass
                # Nobody waits any longer: callers end by themselves, at once.
                callers.cancel_scope.deadline = trio.current_time() + 2 * AFTERWARDS
            assert not callers.cancel_scope.cancelled_caught, "somebody still waits after the end"

    def open(self) -> Any:
        story, is_asked = self.story, self.story.asks

        def options(key: str) -> tri.Options:
            host = Callbacks(self, key)
            return tri.Options(
                include_partial_messages=story.partial,
                hooks={event: [tri.HookMatcher(hooks=[host.hook], timeout=HOOK)] for event in story.hooks},
                mcp_servers={"host": tri.create_sdk_mcp_server("host", tools=[host.probe])},
                agents={"scout": {"description": "looks", "prompt": "Look."}},
                can_use_tool=host.can_use_tool if is_asked == "can_use_tool" else None,
                cli_path=None if type(self.agent) is RecordedAgent else sys.executable,
            )

        async def on_permission(request: tri.PermissionRequest) -> Any:
            return await Callbacks(self, request.session.key).on_permission(request)

        return tri.open_manager(
            self.agent,
            options=options,
            limits=LIMITS,
            deadlines=DEADLINES,
            on_permission=on_permission if is_asked == "on_permission" else None,
        )

    async def watch(self, callers: trio.Nursery, session: tri.Session) -> None:
        seen = self.events[session.key] = []

        async def read(task_status: trio.TaskStatus[None]) -> None:
            async with session.subscribe(0) as events:
                task_status.started()
                async for event in events:
                    seen.append(event)  # noqa: PERF401 - what is seen so far counts, also when this is cancelled

        await callers.start(read)

    # What callers do.

    async def do(self, callers: trio.Nursery, deed: str, number: int) -> None:
        try:
            with trio.fail_after(BOUND):
                await self.perform(callers, self.manager.session(KEYS[number > 3]), deed, number)
        except tri.TriologueError:
            pass  # a typed reason is an answer

    async def perform(self, callers: trio.Nursery, session: tri.Session, deed: str, number: int) -> None:
        prompt = f"p{number % len(self.story.script)}"
        match deed:
            case "send":
                self.turns.append(await session.send(prompt))
            case "burst":
                for _ in range(3):
                    self.turns.append(await session.send(prompt))
            case "ask":
                with trio.move_on_after(number):
                    await session.ask(prompt)
            case "turn":
                async with session.turn(prompt) as turn:
                    self.turns.append(turn)
                    with trio.move_on_after(number):
                        async for _ in turn:
                            pass
            case "cancel" if self.turns:
                await self.turns[number % len(self.turns)].cancel()
            case "interrupt":
                await self.interrupt(session)
            case "model":
                await session.set_model(("sonnet", "opus", None)[number % 3])
            case "mode":
                await session.set_permission_mode(("default", "plan", "bypassPermissions")[number % 3])
            case "wrong mode":
                await session.set_permission_mode("nonsense")
            case "status":
                await session.get_mcp_status()
            case "usage":
                await session.get_context_usage()
            case "give up":
                with trio.move_on_after(number / 2):
                    await session.get_mcp_status()
            case "toggle":
                await session.toggle_mcp_server("host", enabled=number % 3 > 0)
            case "answer":
                await self.answer(number)
            case "hibernate":
                callers.start_soon(self.hibernate, session)
            case "close":
                await session.close()
            case "reset":
                await session.reset()
            case "fork":
                key = f"fork {len(self.events)}"
                fork = await session.fork(key)
                self.has_forks.add(session.key)
                await self.watch(callers, fork)
                self.turns.append(await fork.send(prompt))
            case "command":
                with trio.move_on_after(number):  # it is a turn, and may wait behind one that has no end
                    await session.command(("/compact", "/clear", "/cost")[number % 3])
            case "options":
                self.manager.session(session.key, options=tri.Options(max_turns=1 + number))
            case "crash" if self.agent.lines and isinstance(self.agent, PairedAgent):
                self.agent.lines[-1].link.stop(eof=False)
            case _:
                pass

    async def hibernate(self, session: tri.Session) -> None:
        """It waits for as long as there is something to do."""
        try:
            await session.hibernate()
        except tri.TriologueError:
            pass

    async def answer(self, number: int) -> None:
        """A person answers, or two."""
        waiting = self.manager.permissions()
        if not waiting:
            return
        request = waiting[number % len(waiting)]
        if number % 2:
            await request.deny("no", interrupt=number > 3, by="ada")
        else:
            await request.allow(by="ada")
        with pytest.raises(tri.AlreadyAnswered):
            await request.allow(by="bob")

    async def interrupt(self, session: tri.Session) -> None:
        """What the turn asked of the host is stopped with it."""
        # Who was told of a permission request that somebody else has answered may go on: nothing waits for that.
        before = {each for each, key in self.busy.items() if key == session.key and not self.is_answered(each)}
        said = await session.interrupt()
        assert said in ("stopped", "nothing_running", "already_done", "killed")
        if said != "nothing_running" and session.key not in self.has_forks:
            await trio.sleep(AFTERWARDS)
            assert not before & self.busy.keys(), "a callback goes on after the interrupt"

    def is_answered(self, number: int) -> bool:
        """Is this callback about a permission request that has its answer?"""
        request = self.told.get(number)
        return request is not None and request.answered is not None

    # What holds.

    def check_permissions(self) -> None:
        for request in self.manager.permissions():
            assert request.deadline >= trio.current_time(), "a permission request waits beyond its deadline"

    def check(self) -> None:
        assert not self.busyness.scope.cancelled_caught, "busy for ever"
        assert not self.busy, "a callback was left behind"
        assert self.longest_hook <= HOOK + AFTERWARDS, "a hook goes on that was taken back"
        for turn in self.turns:
            assert turn.outcome is not None, f"{turn.id} has no outcome"
        for key, events in self.events.items():
            check_events(key, events)
        for line in self.agent.lines:
            check_line(line)
        if isinstance(self.agent, PairedAgent) and self.agent.faults:
            raise self.agent.faults[0]


class Callbacks:
    """What the host does for the agents of one key, and of its forks."""

    def __init__(self, play: Play, key: str) -> None:
        self.play = play
        self.key = key

    async def behave(self, calm: Callable[[str], Any], about: tri.PermissionRequest | None = None) -> Any:
        """Do what the next manner says. `calm` gives what this kind of callback answers to `allow`, `deny`, `stop`."""
        play = self.play
        play.callbacks += 1
        number = play.callbacks
        play.busy[number] = self.key
        if about is not None:
            play.told[number] = about
        try:
            match manner := next(play.manners):
                case "later":
                    await trio.sleep(3)
                case "raise":
                    raise RuntimeError("on purpose")
                case "hang":
                    await trio.sleep_forever()
                case "stubborn":
                    try:
                        await trio.sleep_forever()
                    finally:
                        with trio.CancelScope(shield=True):
                            await trio.sleep(1)
                case "nonsense":
                    return object()
                case "interrupt":
                    await play.manager.session(self.key).interrupt()
                case "send" if number < 20:  # one that follows every one has no end
                    try:
                        play.turns.append(await play.manager.session(self.key).send("p0"))
                    except tri.TriologueError:
                        pass
                case _:
                    return calm(manner)
            return calm("allow")
        finally:
            del play.busy[number]

    async def can_use_tool(self, name: str, given: dict[str, Any], context: Any) -> Any:
        def calm(manner: str) -> Any:
            if manner == "allow":
                return PermissionResultAllow()
            return PermissionResultDeny(message="no", interrupt=manner == "stop")

        return await self.behave(calm)

    async def on_permission(self, request: tri.PermissionRequest) -> Any:
        given = await self.behave(lambda manner: manner, request)
        try:
            match given:
                case "allow":
                    await request.allow()
                case "stop":
                    await request.deny("no", interrupt=True)
                case "deny":
                    pass  # somebody else answers, or nobody
                case _:
                    await request.allow(updated_input=given)
        except tri.AlreadyAnswered:
            pass

    async def hook(self, given: Any, tool_use_id: str | None, context: Any) -> Any:
        def calm(manner: str) -> Any:
            match manner:
                case "deny" if not given.get("stop_hook_active"):  # who blocks every end has a turn without one
                    return {"decision": "block", "reason": "no"}
                case "stop":
                    return {"continue_": False, "stopReason": "enough"}
                case _:
                    return {}

        begun = trio.current_time()
        try:
            return await self.behave(calm)
        finally:
            self.play.longest_hook = max(self.play.longest_hook, trio.current_time() - begun)

    async def probe(self) -> Any:
        """Look at something of the host."""
        return await self.behave(lambda manner: manner)


def check_events(key: str, events: list[tri.Event]) -> None:
    """Each accepted turn has one beginning at most and one end, behind which nothing of it comes; so do permissions."""
    told: dict[type[Message], list[Any]] = {
        kind: [] for kind in (TurnAccepted, TurnStarted, TurnEnded, PermissionAsked, PermissionAnswered)
    }
    for event in events:
        message = event.message
        assert not isinstance(message, Gap)
        assert event.turn_id is None or event.turn_id not in told[TurnEnded], f"{key}: {message} follows the end"
        if type(message) in told:
            told[type(message)].append(
                message.id if isinstance(message, PermissionAsked | PermissionAnswered) else event.turn_id
            )
    assert [event.seq for event in events if event.seq is not None] == list(
        range(1, 1 + sum(event.seq is not None for event in events))
    )
    assert Counter(told[TurnAccepted]) == Counter(told[TurnEnded]) == Counter(set(told[TurnAccepted])), key
    assert Counter(told[TurnStarted]) <= Counter(told[TurnAccepted])
    assert Counter(told[PermissionAsked]) == Counter(told[PermissionAnswered]) == Counter(set(told[PermissionAsked]))


def make_agent(name: str, story: Story) -> RecordedAgent:
    """The agent of a story: in this process, or in the place of a vendor's program."""

    async def nap(seconds: float) -> str:
        """Sleep."""
        await trio.sleep(seconds)
        return "slept"

    rules = [{"prompt": f"p{number}", "replies": replies} for number, replies in enumerate(story.script)]
    model = ScriptedModel(rules)
    if name == "embedded":
        return RecordedAgent(tri.Embedded(model=model, tools=[nap], transcripts=Transcripts()))
    part = Part(model=model, tools=as_tools([nap]), slowness=story.slowness, chance=Random(story.seed))
    if name == "claude":
        claude = tri.ClaudeCode(environ=ENV)
        return PairedAgent("claude", claude, claude.command, part)
    if name == "cortex":
        cortex = tri.CortexCode(environ=ENV)
        return PairedAgent("cortex", cortex, cortex.command, part)

    async def fetch(request: Any) -> str:
        return "token"

    return PairedQoder(tri.Qoder(auth=tri.job_token(fetch), environ=ENV), part)
