"""Whichever call of the store fails: everything ends, and the next host finds nothing lost and nothing twice."""

import trio
from hypothesis import given, settings

import triologue as tri
from triologue.stores import MemoryStore
from triologue.testing import Program, ScriptedAgent, StoreFails, run_program, run_virtual, with_store_faults
from triologue.testing.strategies import programs, store_faults

LATER = 1e7
"""Seconds after which the next host comes: no lease is left then that could not be given back."""

KINDS = ("#turn_accepted", "#turn_ended")


class Clock:
    """Of the leases: that of the trio.run that there is."""

    begin = 0.0

    def now(self) -> float:
        return self.begin + (trio.current_time() if trio.lowlevel.in_trio_run() else 0.0)


@settings(max_examples=200)
@given(programs(), store_faults())
def test_no_turn_is_lost_and_none_is_twice(program: Program, faults: tuple[StoreFails, ...]) -> None:
    clock = Clock()
    kept = MemoryStore(now=clock.now)
    run_program(program, store=with_store_faults(kept, *faults))
    clock.begin = LATER
    run_virtual(_recover, kept)
    run_virtual(_check, kept)


async def _recover(kept: MemoryStore) -> None:
    async with tri.open_manager(ScriptedAgent(), store=kept) as manager:
        for recovered in await manager.recover():
            await recovered.turn.wait()


async def _check(kept: MemoryStore) -> None:
    for head in await kept.list_sessions():
        records = await kept.read(head.key, limit=100_000)
        assert [record.seq for record in records] == [*range(1, head.last_seq + 1)]
        accepted, ended = (sorted(each.turn_id or "" for each in records if each.kind == kind) for kind in KINDS)
        assert accepted == ended == sorted({*accepted})
