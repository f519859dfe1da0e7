"""However text comes and whoever watches: it is sent whole, in order and in time, and what waits is counted to the byte."""

import re
from collections.abc import Iterator
from itertools import pairwise
from math import inf
from typing import Any, cast, final

import msgspec
import trio
from hypothesis import example, given, settings, strategies as st
from msgspec import Struct

from triologue.actors import Batch, OnceAMinute
from triologue.gateway.attachments import Attachments
from triologue.gateway.flushing import SWEEP, Flusher
from triologue.gateway.limits import GatewayLimits
from triologue.gateway.outgoing import Outgoing
from triologue.gateway.rooms import Room, Rooms
from triologue.gateway.statistics import GatewayStatistics
from triologue.manager.session import Session
from triologue.messages import Event, Message, StreamEvent
from triologue.protocol.asked import Attach
from triologue.protocol.carrier import ServerCarrier
from triologue.protocol.events import event_of
from triologue.protocol.framing import Fragment
from triologue.protocol.told import Events
from triologue.testing import run_virtual
from triologue.wire import decode_record

KEYS, CLIENTS = ("a", "b"), 3
ROOMY = GatewayLimits().viewer_bytes


class Watch(Struct, frozen=True):
    """Attach, or attach once more."""

    client: int
    key: str
    partials: bool
    coalesce_ms: int


class Leave(Struct, frozen=True):
    client: int
    key: str


class Speak(Struct, frozen=True):
    """At once: text of so many bytes, and records of so many less than none."""

    key: str
    sizes: list[int]


class Sleep(Struct, frozen=True):
    seconds: float


Step = Watch | Leave | Speak | Sleep

clients, keys = st.integers(0, CLIENTS - 1), st.sampled_from(KEYS)
sizes = st.sampled_from([1, 1, 1, 10, 900, 9_000, 70_000, -1, -1, -1_000, -70_000])
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Watch, clients, keys, st.booleans(), st.sampled_from([0, 0, 30, 200, 1_000])),
    st.builds(Leave, clients, keys),
    st.builds(Speak, keys, st.lists(sizes, min_size=1, max_size=6) | st.integers(1, 300).map(lambda n: [5] * n)),
    st.builds(Sleep, st.sampled_from([0.0, 0.002, 0.02, 0.2, 2.0])),
)


@final
class Told:
    """What a session has said: each piece and each record has a number of its own."""

    def __init__(self, key: str) -> None:
        self.key, self.state, self.session_id = key, "idle", None
        self.at: dict[int, float] = {}
        """When each of them came."""
        self.records: dict[int, int] = {}
        """The number of a record by its `seq`."""
        self._log: list[Event] = []

    async def read(self, after: int, *, limit: int) -> list[Event]:
        await trio.sleep(0.1)
        return self._log[after : after + limit]

    def say(self, size: int) -> Message:
        number = len(self.at)
        self.at[number] = trio.current_time()
        if size > 0:
            delta = {"type": "text_delta", "text": f"<{number}>" + "x" * size}
            return StreamEvent.of({"type": "content_block_delta", "index": 0, "delta": delta})
        message = decode_record("unknown", b'{"type":"big","x":"%s"}' % (b"x" * -size))
        self._log.append(Event(len(self._log) + 1, "t", message))
        self.records[len(self._log)] = number
        return message

    def tell(self, room: Room, sizes: list[int]) -> None:
        """Say so much at once, to who is in its room."""
        first = len(self.records) + 1
        room.offer(Batch("t", [self.say(size) for size in sizes], first, len(self.records)))

    def numbers(self, event: Event) -> list[int]:
        """Of what an event says."""
        if isinstance(event.message, StreamEvent):
            return [int(number) for number in re.findall("<([0-9]+)>", event.message.event["delta"]["text"])]
        assert event.seq is not None
        return [self.records[event.seq]]


@final
class Line:
    """A carrier, and the client that reads what comes over it: at once, or so much later."""

    def __init__(self, delay: float, *, distance: float = 0.0) -> None:
        self.delay = delay
        self.distance = distance
        """Seconds that a ping and its pong take, which hold up nothing else."""
        self.pings = 0
        self.sending_since: float | None = None
        self.frames: list[tuple[float, bytes]] = []
        self._begun = b""

    @property
    def is_free(self) -> bool:
        return not self.delay and self.sending_since is None

    def send_now(self, *frames: bytes | Fragment) -> bool:
        for each in frames:
            self._begun += each.data if isinstance(each, Fragment) else each
            if not isinstance(each, Fragment) or each.is_last:
                self.frames.append((trio.current_time(), self._begun))
                self._begun = b""
        return True

    async def send(self, *frames: bytes | Fragment) -> None:
        self.sending_since = trio.current_time()
        await trio.sleep(self.delay)
        self.send_now(*frames)
        self.sending_since = None

    async def ping(self) -> None:
        self.pings += 1
        await trio.sleep(self.delay + self.distance)

    def events(self) -> Iterator[tuple[float, str, Event]]:
        for at, data in self.frames:
            for each in msgspec.json.decode(data, type=Events).events:
                yield at, each.key, event_of(each)


@final
class Lobby:
    """In the place of a gateway's rooms."""

    def __init__(self, rooms: dict[str, Room]) -> None:
        self.rooms = rooms

    async def enter(self, key: str) -> Room:
        await trio.lowlevel.checkpoint()
        return self.rooms[key]

    def leave(self, room: Room) -> None:
        """It stays open."""


@final
class Onlooker:
    """A client, and what it asked for."""

    def __init__(self, line: Line, lobby: Lobby, flusher: Flusher, nursery: trio.Nursery, viewer_bytes: int) -> None:
        self.line, self.counters = line, GatewayStatistics()
        limits = GatewayLimits(viewer_bytes=viewer_bytes)
        self.outgoing = Outgoing(cast("ServerCarrier", line), flusher, limits, self.counters)
        self.attachments = Attachments(cast("Rooms", lobby), self.outgoing, nursery, limits, self.counters)
        self.watched: dict[str, tuple[Watch, int]] = {}
        """How, and from which number on."""

    def check(self, told: Told, *, is_whole: bool) -> None:
        """Has it seen what it should have?"""
        at = {n: when for when, key, event in self.line.events() if key == told.key for n in told.numbers(event)}
        seen = [n for _, key, event in self.line.events() if key == told.key for n in told.numbers(event)]
        assert seen == sorted(set(seen))
        if told.key not in self.watched:
            return
        how, first = self.watched[told.key]
        records = set(told.records.values())
        due = {n for n in told.at if n >= first and (n in records or (how.partials and is_whole))}
        assert due <= set(seen)
        for number in due if is_whole and not self.line.delay else ():
            patience = 0 if number in records else how.coalesce_ms / 1000 + 2 * SWEEP
            assert at[number] - told.at[number] <= patience + 1e-9
        if is_whole and not self.line.delay and how.coalesce_ms:
            self._check_gathered(told, how, first)

    def _check_gathered(self, told: Told, how: Watch, first: int) -> None:
        """Text that came while it waited is one event, if no record took it along."""
        kinds: dict[float, list[bool]] = {}
        for at, key, event in self.line.events():
            if key == told.key and told.numbers(event)[0] >= first:
                kinds.setdefault(at, []).append(isinstance(event.message, StreamEvent))
        for before, at in pairwise([-inf, *kinds]):
            assert kinds[at] == [True] or not all(kinds[at])
            assert kinds[at] != [True] or at - before >= how.coalesce_ms / 1000 - 1e-9


async def play(life: list[Step], viewer_bytes: int) -> None:
    sessions = {key: Told(key) for key in KEYS}
    rooms = {key: Room(cast("Session", session), OnceAMinute()) for key, session in sessions.items()}
    flusher, lobby = Flusher(), Lobby(rooms)
    async with trio.open_nursery() as nursery:
        lines = [Line(0), Line(0), Line(0.3)]
        everybody = [Onlooker(line, lobby, flusher, nursery, viewer_bytes) for line in lines]
        for each in everybody:
            nursery.start_soon(each.outgoing.run)
        nursery.start_soon(flusher.run)
        for step in life:
            await take(step, sessions, rooms, everybody)
            for key, room in rooms.items():
                gathering = [each.watched[key][0] for each in everybody if key in each.watched]
                assert room.patience == min((w.coalesce_ms / 1000 * w.partials for w in gathering), default=0)
        await trio.sleep(100)
        for each in everybody:
            assert each.attachments.waiting == 0
            assert each.counters.events == sum(1 for _ in each.line.events())
            for told in sessions.values():
                each.check(told, is_whole=viewer_bytes == ROOMY)
        nursery.cancel_scope.cancel()


async def take(step: Step, sessions: dict[str, Told], rooms: dict[str, Room], everybody: list[Onlooker]) -> None:
    match step:
        case Watch(client=client, key=key):
            fields: dict[str, Any] = {"partials": step.partials, "coalesce_ms": step.coalesce_ms}
            await everybody[client].attachments.attach(Attach(id=1, key=key, **fields))
            everybody[client].watched[key] = step, len(sessions[key].at)
        case Leave(client=client, key=key):
            everybody[client].attachments.detach(key)
            everybody[client].watched.pop(key, None)
        case Speak(key=key, sizes=sizes):
            sessions[key].tell(rooms[key], sizes)
            assert rooms[key].ended is None
        case Sleep(seconds=seconds):
            await trio.sleep(seconds)


EAGER, PATIENT = Watch(0, "a", True, 0), Watch(1, "a", True, 200)


@settings(max_examples=100)
@given(st.lists(steps, max_size=30), st.sampled_from([500, 20_000, ROOMY, ROOMY]), st.integers(0, 1_000))
@example([EAGER, PATIENT, Speak("a", [1, 1, -1, 1]), Leave(0, "a")], ROOMY, 0)
@example([PATIENT, EAGER, Speak("a", [5] * 300), Speak("a", [5] * 300), Leave(1, "a")], ROOMY, 0)
@example([PATIENT, Speak("a", [1, 1]), Sleep(0.02), Speak("a", [1, 1])], ROOMY, 0)
@example([Watch(2, "a", True, 0), *[Speak("a", [9_000, 9_000])] * 20], 20_000, 0)
def test_all_of_it_is_sent_in_order_and_in_time(life: list[Step], viewer_bytes: int, seed: int) -> None:
    run_virtual(lambda: play(life, viewer_bytes), seed=seed)


async def shown(line: Line, records: list[tuple[float, int]]) -> float:
    """Records of so many bytes, each so many seconds after the one before it; when the last of them was sent."""
    session = Told("a")
    room, flusher = Room(cast("Session", session), OnceAMinute()), Flusher()
    async with trio.open_nursery() as nursery:
        onlooker = Onlooker(line, Lobby({"a": room}), flusher, nursery, ROOMY)
        onlooker.outgoing._ping_at = inf  # the one that keeps it alive is not counted
        nursery.start_soon(onlooker.outgoing.run)
        nursery.start_soon(flusher.run)
        await onlooker.attachments.attach(Attach(id=1, key="a"))
        for pause, size in records:
            await trio.sleep(pause)
            session.tell(room, [-size])
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert sum(1 for _ in line.events()) == len(records)
    return line.frames[-1][0]


def test_who_keeps_up_is_asked_seldom_how_far_it_has_read() -> None:
    line = Line(0, distance=0.02)
    run_virtual(lambda: shown(line, [(0.1, 10_000)] * 130), seed=0)
    assert line.pings == 130 // 10  # ten of them have 96 KiB


def test_who_is_far_away_is_asked_more_often_and_so_gets_four_records_in_each_round_trip() -> None:
    line = Line(0, distance=0.2)
    assert run_virtual(lambda: shown(line, [(0.0, 40_000)] * 80), seed=0) < 0.2 * 80 / 4
