"""The laws of room on real actors: never more live agents than there may be, and everyone is served at last."""

import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock

from tests.support.scripted_agent import ScriptedAgent, ScriptedLink
from tests.unit.supervision.stage import Outside
from triologue.actors import Turn
from triologue.errors import SessionFailed, TriologueError
from triologue.manager import SessionManager, open_manager
from triologue.messages import BackgroundTasksMessage
from triologue.options import Deadlines, Limits, RestartPolicy

KEYS = ["x:1", "x:2", "y:1", "y:2", "z:1"]
PROMPTS = ["hi", "wait 3", "wait 30", "die", "fail", "silent", "use Bash", "unread", "exceed 20"]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(KEYS), st.sampled_from(PROMPTS)),
        st.tuples(
            st.sampled_from(["interrupt", "hibernate", "close", "reset", "fork", "cancel", "die", "busy", "free"]),
            st.sampled_from(KEYS),
            st.just(""),
        ),
        st.tuples(st.just("sleep"), st.just(""), st.sampled_from(["0", "0.5", "5", "50"])),
    ),
    min_size=5,
    max_size=20,
)


class Story:
    """Plays steps on a manager, without waiting for any of them."""

    def __init__(self, manager: SessionManager, agent: ScriptedAgent, nursery: trio.Nursery) -> None:
        self.manager = manager
        self.agent = agent
        self.nursery = nursery
        self.turns: list[Turn] = []

    async def play(self, steps: list[tuple[str, str, str]]) -> None:
        for what, key, argument in steps:
            if what == "sleep":
                await trio.sleep(float(argument))
            elif what == "send":
                await self.send(key, argument)
            elif what in ("die", "busy", "free"):
                self.happen(what)
            else:
                self.nursery.start_soon(self.do, what, key)

    async def send(self, key: str, prompt: str) -> None:
        try:
            self.turns.append(await self.manager.session(key).send(prompt))
        except SessionFailed:  # its agents died too often
            pass

    def happen(self, what: str) -> None:
        if self.agent.links:
            happen(self.agent.link, what)

    async def do(self, what: str, key: str) -> None:
        session = self.manager.session(key)
        try:
            if what == "fork":
                await session.fork(f"{key} {len(self.manager.sessions())}")
            elif what == "cancel":
                for turn in self.turns[-2:]:
                    turn.withdraw()
            else:
                await getattr(session, what)()
        except TriologueError:
            pass


def happen(link: ScriptedLink, what: str) -> None:
    if what == "die":
        link.die(9)
    else:
        tasks = [{"task_id": "t"}] if what == "busy" else []
        link.say(BackgroundTasksMessage(subtype="background_tasks_changed", tasks=tasks))


@given(
    steps=steps,
    max_live=st.integers(1, 3),
    per_group=st.none() | st.integers(1, 2),
    closing=st.sampled_from([0.0, 2.0]),
    retry=st.booleans(),
    prewarm=st.integers(0, 2),
)
def test_live_agents_never_exceed_the_cap_and_everyone_is_served(
    steps: list[tuple[str, str, str]], max_live: int, per_group: int | None, closing: float, retry: bool, prewarm: int
) -> None:
    agent = ScriptedAgent()
    agent.closing = closing
    limits = Limits(max_live=max_live, max_live_per_group=per_group, group=lambda key: key[0])

    async def main() -> None:
        async with (
            open_manager(
                Outside(agent),
                limits=limits,
                prewarm=prewarm,
                deadlines=Deadlines(turn=40, permission=20, idle=300),
                restart=RestartPolicy(max_restarts=2, within=60, retry_turn=retry),
                on_permission=lambda request: None,
            ) as manager,
            trio.open_nursery() as nursery,
        ):
            story = Story(manager, agent, nursery)
            await story.play(steps)
            for link in agent.links:
                happen(link, "free")
            with trio.fail_after(10_000):
                for turn in story.turns:
                    await turn.wait()
                # No place was lost: every session is served once more, when none is failed any more.
                await trio.sleep(60)
                for key in KEYS:
                    await manager.session(key).ask("hi")

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert agent.most_live <= max_live
    assert agent.live == 0
