"""Law 13 across hosts: two of them on one store, which stand still for longer than their leases whenever it suits nobody."""

import pytest
import trio
from hypothesis import given, strategies as st
from msgspec import Struct

import triologue as tri
from tests.support.one_writer import check_one_writer
from tests.support.slow_store import SlowStore
from triologue.stores import MemoryStore, memory
from triologue.testing import ScriptedAgent, Wait, run_virtual

LEASE = 5.0
KEYS = ("a", "b")


class Deed(Struct, frozen=True):
    """Something that happens to one host, or that it does; then some time passes."""

    what: str
    host: int
    key: str
    seconds: float


DEEDS = st.lists(
    st.builds(
        Deed,
        st.sampled_from(["send", "send", "send", "long", "hibernate", "stand still", "go on", "interrupt"]),
        st.integers(0, 1),
        st.sampled_from(KEYS),
        st.sampled_from([0.0, 0.0, 0.5, 2.0, 7.0]),
    ),
    max_size=25,
)


class Rivals:
    """Two hosts, and what was acknowledged to their callers."""

    def __init__(self) -> None:
        self.store = MemoryStore(now=trio.current_time)
        self.disks = [SlowStore(self.store), SlowStore(self.store)]
        self.ended: dict[tuple[str, str], str] = {}
        self._numbers = iter(range(1_000))

    async def run(self, deeds: list[Deed]) -> None:
        agent = ScriptedAgent()
        agent.on("long", Wait(3))
        deadlines = tri.Deadlines(lease=LEASE, drain=1)
        async with (
            tri.open_manager(agent, store=self.disks[0].as_store, deadlines=deadlines) as one,
            tri.open_manager(agent, store=self.disks[1].as_store, deadlines=deadlines) as other,
            trio.open_nursery() as nursery,
        ):
            managers = [one, other]
            for deed in deeds:
                nursery.start_soon(self._do, managers[deed.host], self.disks[deed.host], deed)
                await trio.sleep(deed.seconds)
            for disk in self.disks:
                disk.go_on()

    async def _do(self, manager: tri.SessionManager, disk: SlowStore, deed: Deed) -> None:
        session = manager.session(deed.key)
        try:
            match deed.what:
                case "stand still":
                    disk.hold()
                case "go on":
                    disk.go_on()
                case "hibernate":
                    await session.hibernate()
                case "interrupt":
                    await session.interrupt()
                case prompt:
                    turn = await session.send(prompt, id=f"{deed.host}.{next(self._numbers)}")
                    outcome = await turn.wait()
                    if outcome.kind in ("answered", "interrupted", "lost"):
                        self.ended[deed.key, turn.id] = outcome.kind
        except tri.TriologueError:
            pass  # it is elsewhere, or was taken away: that is the point

    async def check(self) -> None:
        for key in KEYS:
            log = await self.store.read(key, limit=100_000)
            check_one_writer(log)
            ended = {record.turn_id for record in log if record.kind == "#turn_ended"}
            assert {turn_id for of, turn_id in self.ended if of == key} <= ended, "acknowledged, and not there"


@given(DEEDS, st.integers(0, 2**16))
def test_a_session_has_one_writer_among_hosts(deeds: list[Deed], seed: int) -> None:
    """Whatever two hosts do in the same sessions, turns of one never begin while one of the other runs, and what a caller was
    told is in the log."""

    async def main() -> None:
        rivals = Rivals()
        await rivals.run(deeds)
        await rivals.check()

    run_virtual(main, seed=seed, max_seconds=10_000)


def test_without_leases_it_would_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of a store that takes in whatever comes: two turns run at once, and the log shows it."""
    monkeypatch.setattr(MemoryStore, "_holds", lambda *_: True)
    monkeypatch.setattr(memory, "check_free", lambda *_, **__: None)
    monkeypatch.setattr(memory, "new_records", lambda write, **_: write.records)

    async def main() -> None:
        rivals = Rivals()
        await rivals.run([Deed("long", 0, "a", 0.5), Deed("long", 1, "a", 5.0)])
        await rivals.check()

    with pytest.raises(AssertionError):
        run_virtual(main, seed=0, max_seconds=10_000)
