"""Whatever happens to viewers, what each has seen is the session's log, once and in order, or says where it is not."""

from typing import Any, final

import trio
from hypothesis import given, settings, strategies as st
from msgspec import Struct

import triologue as tri
from tests.support.gateway import Client, House, covered, house, said
from triologue.gateway.limits import GatewayLimits
from triologue.messages import Event, Gap
from triologue.protocol import asked, told
from triologue.stores import MemoryStore
from triologue.testing import Line, Say, Script, ScriptedAgent, run_virtual

VIEWERS = 3


class Connect(Struct, frozen=True):
    viewer: int
    slow: bool
    coalesce_ms: int


class Cut(Struct, frozen=True):
    viewer: int


class Pause(Struct, frozen=True):
    viewer: int


class GoOn(Struct, frozen=True):
    viewer: int


class SendPrompt(Struct, frozen=True):
    """By a viewer, who may be cut off before it hears of it, and sends it again when it is back."""

    viewer: int
    text: str


class Sleep(Struct, frozen=True):
    seconds: float


Step = Connect | Cut | Pause | GoOn | SendPrompt | Sleep

viewers = st.integers(0, VIEWERS - 1)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Connect, viewers, st.booleans(), st.sampled_from([0, 200])),
    st.builds(Cut, viewers),
    st.builds(Pause, viewers),
    st.builds(GoOn, viewers),
    st.builds(SendPrompt, viewers, st.sampled_from(["flood", "story", "hello"])),
    st.builds(Sleep, st.sampled_from([0.0, 0.3, 2.0])),
)


def reply(prompt: str) -> Script:
    match prompt:
        case "flood":
            return [Line(b'{"type":"big","n":%d,"x":"%s"}' % (n, b"x" * 1_000)) for n in range(40)]
        case "story":
            return [Say("once upon a time there was a test", every=0.25)]
        case _:
            return [Say(prompt)]


@final
class Viewer:
    """Comes and goes, and knows what it has seen."""

    def __init__(self) -> None:
        self._before: list[Event] = []
        self.client: Client | None = None
        self.unsure: dict[str, str] = {}
        """Prompts that nobody has said to be accepted, by the ids of their turns."""

    @property
    def seen(self) -> list[Event]:
        return self._before + (self.client.events.get("k", []) if self.client is not None else [])

    async def connect(self, gateway: House, **how: Any) -> None:
        await self.leave()
        coalesce = how.pop("coalesce_ms", 0)
        self.client = await gateway.client(**how)
        position = (covered(self.seen) or [0])[-1]
        await self.client.ask(asked.Attach, key="k", after=position, coalesce_ms=coalesce)
        for id, text in list(self.unsure.items()):
            await self.send(id, text)

    async def leave(self) -> None:
        if self.client is not None:
            self._before, client, self.client = self.seen, self.client, None
            await client.stream.aclose()

    async def send(self, id: str, text: str) -> None:
        self.unsure[id] = text
        if self.client is not None and self.client.may_read.is_set():
            accepted = await self.client.ask(asked.Prompt, key="k", prompt=text, turn=id)
            assert isinstance(accepted, told.Accepted)
            del self.unsure[id]
        elif self.client is not None:
            await self.client.say(self.client.numbered(asked.Prompt, key="k", prompt=text, turn=id))


async def take(step: Step, number: int, gateway: House, everybody: list[Viewer]) -> None:
    viewer = everybody[step.viewer] if not isinstance(step, Sleep) else everybody[0]
    match step:
        case Connect(slow=slow, coalesce_ms=coalesce_ms):
            await viewer.connect(gateway, slow=slow, coalesce_ms=coalesce_ms)
        case Cut():
            await viewer.leave()
        case Pause() if viewer.client is not None and viewer.client.may_read.is_set():
            viewer.client.may_read = trio.Event()
        case GoOn() if viewer.client is not None:
            viewer.client.may_read.set()
        case SendPrompt(text=text):
            await viewer.send(str(number), text)
        case Sleep(seconds=seconds):
            await trio.sleep(seconds)
        case _:
            pass


async def play(lives: list[list[Step]], *, is_kept: bool, log_bytes: int) -> None:
    agent, everybody = ScriptedAgent(reply), [Viewer() for _ in range(VIEWERS)]
    limits = GatewayLimits(viewer_bytes=8_000, stall=100_000, keep_alive=50_000)
    async with tri.open_manager(
        agent,
        store=MemoryStore() if is_kept else None,
        limits=tri.Limits(log_bytes=log_bytes),
        options=tri.Options(include_partial_messages=True),
    ) as manager:
        session, number = manager.session("k"), 0
        for life in lives:  # of the gateway
            async with house(manager, limits=limits) as gateway:
                for step in life:
                    number += 1
                    await take(step, number, gateway, everybody)
                for viewer in everybody:
                    await viewer.leave()
        async with house(manager, limits=limits) as gateway:
            for viewer in everybody:
                await viewer.connect(gateway)
            await trio.sleep(1_000)
            log = said(await session.read(limit=100_000))
            last = session.statistics().records
            for viewer in everybody:
                assert covered(viewer.seen) == list(range(1, last + 1))
                kept = dict(zip((seq for seq, _, _ in log), log, strict=True))
                gaps = [event for event in viewer.seen if isinstance(event.message, Gap)]
                seen = [each for each in said(viewer.seen) if each[0] is not None]
                assert [each for each in seen if each[0] in kept] == [kept[seq] for seq, _, _ in seen if seq in kept]
                assert not (is_kept and gaps)
        sent = sum(isinstance(step, SendPrompt) for life in lives for step in life)
        assert len(agent.prompts) == sent
        assert sum(manager.statistics().turns.values()) == sent


@settings(max_examples=60)
@given(st.lists(st.lists(steps, max_size=12), min_size=1, max_size=3), st.integers(0, 1_000))
def test_every_view_is_the_log(lives: list[list[Step]], seed: int) -> None:
    run_virtual(lambda: play(lives, is_kept=True, log_bytes=2_000), seed=seed)


@settings(max_examples=60)
@given(st.lists(st.lists(steps, max_size=12), min_size=1, max_size=3), st.integers(0, 1_000))
def test_every_view_is_the_log_or_says_that_it_is_gone(lives: list[list[Step]], seed: int) -> None:
    run_virtual(lambda: play(lives, is_kept=False, log_bytes=20_000), seed=seed)
