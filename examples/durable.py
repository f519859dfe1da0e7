"""Conversations that survive the program: a database, a retry that is answered once, and a reader who was away."""

import tempfile
from pathlib import Path

import trio

import triologue as tri


async def before(agent: tri.Agent | None, database: Path) -> int:
    async with tri.open_manager(agent, store=database) as manager:
        session = manager.session("slack:C1")
        async with session.subscribe(after=0) as events:
            turn = await session.send("Remember: I like Python", id="C1-1", meta={"user": "Ada"})
            # From here on it is on disk, whatever becomes of this program.
            outcome = await turn.wait()
            print(outcome.unwrap().result)
            async for event in events:
                if isinstance(event.message, tri.TurnEnded):
                    return event.seq or 0  # what the reader has seen, kept wherever it keeps things
    raise AssertionError("every turn ends")


async def after(agent: tri.Agent | None, database: Path, seen: int) -> None:
    async with tri.open_manager(agent, store=database) as manager:
        for recovered in await manager.recover():  # turns that a crash has cut off
            print(f"{recovered.key}: {recovered.turn.id} of {recovered.turn.meta}: {recovered.turn.state}")
        session = manager.session("slack:C1")
        again = await session.send("Remember: I like Python", id="C1-1")  # the chat sends it twice
        print(f"asked again: {(await again.wait()).kind}, and not run again")
        async with session.subscribe(after=seen) as events:
            print((await session.ask("What do I like?")).result)
            async for event in events:
                if isinstance(event.message, tri.TurnEnded):
                    break
        print(f"in the store: {[head.key for head in await manager.store.list_sessions()] if manager.store else []}")


async def main(agent: tri.Agent | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "sessions.db"
        await after(agent, database, await before(agent, database))


if __name__ == "__main__":
    trio.run(main)
