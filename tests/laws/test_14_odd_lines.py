"""Law 14: an oversize, malformed or unknown line leaves the session usable."""

from typing import Any

import pytest
import trio
from hypothesis import strategies as st
from msgspec import Struct
from trio.testing import wait_all_tasks_blocked

import triologue as tri
from tests.support.laws import Law, Wild, play
from triologue.messages import MalformedMessage, Message, OversizeMessage, StrayText, UnknownMessage
from triologue.session.hearing import Hearing
from triologue.testing import DEADLINES, AgentTurn, Say, ScriptedAgent, Wait, speech
from triologue.testing.strategies import cuts
from triologue.wire import Reader, encode
from triologue.wire.framing import Framer, LongLine

LAW = Law(
    14,
    "An oversize, malformed or unknown line leaves the session usable.",
    Wild("inkbox#11", "a line over the reader's limit ended the reader, and the bot never answered again"),
)

LIMIT = 2_000
"""Bytes of a line."""
ODD = (MalformedMessage, OversizeMessage, StrayText, UnknownMessage)


class Spoken(Struct, frozen=True):
    """Lines that are no frames, as they come in: in the handshake, before, within, after a turn."""

    when: str
    pieces: tuple[bytes, ...]


class Case(Struct, frozen=True):
    """A session."""

    spoken: tuple[Spoken, ...]
    tells_lifecycle: bool
    seed: int


def is_odd(line: bytes) -> bool:
    """Is it none that says something?"""
    return all(isinstance(message, ODD) for message in Reader(LIMIT).feed(line + b"\n"))


FRAMES = [encode(frame) for frame in (speech.said("x"), speech.result("other", []), speech.tasks(["t"]))]
BROKEN = [
    "Warnung: es ist sp\u00e4t".encode(),
    b"null",
    b"[1, 2]",
    b"{}",
    b"{]",
    b'{"type":',
    b'{"type":null}',
    b'{"type":"user"}{"type":"user"}',
    b'{"type":"x","y":' + b"[" * 1000,
    b'\x00\x00{"type":"keep_alive"}',
    b"\xff\xfe{\x00}\x00",
]
UNKNOWN = [b'{"type":"x_new","data":null}', b'{"type":"x_new","session_id":"other"}', b'{"kind":"result"}']
LONG = [start + b"x" * LIMIT for start in (b'{"type":"result","result":"', b"", b"{")]


CUT = st.builds(lambda frame, size: frame[: size % (len(frame) - 2) + 1], st.sampled_from(FRAMES), st.integers(0, 400))
ANY = st.one_of(*map(st.sampled_from, (BROKEN, UNKNOWN, LONG)), CUT, st.binary(max_size=30))


@st.composite
def odd_lines(draw: st.DrawFn) -> bytes:
    """A line that is no frame."""
    line = draw(ANY).replace(b"\n", b"")
    return (line if is_odd(line) else b"no frame") + b"\n"


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Lines at one to three times, each cut anywhere."""
    times = draw(SOME_TIMES)
    spoken = [Spoken(when, tuple(draw(cuts(b"".join(draw(LINES)))))) for when in sorted(times)]
    return Case(tuple(spoken), draw(LIFECYCLE), draw(SEEDS))


LINES = st.lists(odd_lines(), min_size=1, max_size=3)
SOME_TIMES = st.sets(
    st.sampled_from(["starting", "idle", "taken up", "thinking", "at its end"]), min_size=1, max_size=3
)
LIFECYCLE, SEEDS = st.booleans(), st.integers(0, 2**16)


@LAW.holds(cases())
def test_odd_lines_leave_the_session_usable(case: Case) -> None:
    """Any lines that are no frames, cut anywhere, in the handshake, between turns and within one: the turn has its own answer,
    so has the next one, a setting is taken, and it is all on one connection."""
    play(Talk(case), seed=case.seed)


@LAW.broken_by
def an_odd_line_breaks_the_session(patch: pytest.MonkeyPatch) -> None:
    """What is no frame is a failure of the protocol, and ends the turn."""
    take_in = Hearing.take_in

    def take_in_frames(self: Hearing, batch: list[Message]) -> None:
        if any(isinstance(message, MalformedMessage) for message in batch):
            self._session.close_link(eof=False)
        take_in(self, batch)

    patch.setattr(Hearing, "take_in", take_in_frames)
    patch.setattr(Hearing, "is_plain", lambda _self, _batch: False)


@LAW.broken_by
def what_follows_a_long_line_is_lost(patch: pytest.MonkeyPatch) -> None:
    """With a line over the limit all that was read with it is dropped, and what is read next is taken for its end."""
    feed = Framer.feed

    def feed_short(self: Framer, chunk: bytes) -> list[bytes | LongLine]:
        lines = feed(self, chunk)
        if any(isinstance(line, LongLine) for line in lines):
            self._size = self._limit + 1
        return lines

    patch.setattr(Framer, "feed", feed_short)


class Talk:
    """A session that is asked twice."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.agent = ScriptedAgent(start_seconds=2, tells_lifecycle=case.tells_lifecycle, max_message_bytes=LIMIT)
        steps = (self.step("taken up"), Wait(1), self.step("thinking"), Wait(1), Say("first"), self.step("at its end"))
        self.agent.on("one", *steps)
        self.agent.on("two", Say("second"))
        self.wrong: list[str] = []

    def step(self, when: str) -> Any:
        async def speak(turn: AgentTurn) -> None:
            await trio.lowlevel.checkpoint()
            self.speak(when)

        return speak

    def speak(self, when: str) -> None:
        for spoken in self.case.spoken:
            for piece in spoken.pieces if spoken.when == when else ():
                self.agent.connection.write(piece)

    async def main(self) -> None:
        async with tri.open_manager(self.agent, deadlines=DEADLINES) as manager:
            session = manager.session("s")
            first = await session.send("one")
            await wait_all_tasks_blocked()
            await trio.sleep(1)
            self.speak("starting")
            self.expect("first", await first.wait())
            await wait_all_tasks_blocked()
            self.speak("idle")
            await session.set_model("m")
            self.expect("second", await (await session.send("two")).wait())
        if len(self.agent.starts) != 1 or [prompt.model for prompt in self.agent.prompts] != [None, "m"]:
            self.wrong.append(f"{self.agent.starts}, {self.agent.prompts}")

    def expect(self, said: str, outcome: tri.Outcome) -> None:
        if outcome.kind != "answered" or outcome.result is None or outcome.result.result != said:
            self.wrong.append(f"{said}: {outcome}")
