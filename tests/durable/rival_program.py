"""One of several programs that talk in the same sessions of one database, in turns.

    python rival_program.py <database> <name> <sessions> <seconds>

A session that somebody else has is left alone, and tried again later. It says what it met, as one JSON line.
"""

import json
import random
import sys
from collections import Counter
from collections.abc import Callable

import trio

import triologue as tri
from triologue.messages import TextBlock

LEASE = 1.0
TALKERS = 10


class Slow:
    """A model that takes a moment."""

    name = "slow"

    async def reply(self, request: tri.ModelRequest, emit: Callable[[str], None]) -> tri.ModelReply:
        """Answer."""
        await trio.sleep(0.02)
        return tri.ModelReply(content=[TextBlock(text="yes")], stop_reason="end_turn", model=self.name)


async def main(*arguments: str) -> None:
    database, name, sessions, seconds = arguments
    met: Counter[str] = Counter()
    numbers = iter(range(10**9))

    async def talk() -> None:
        draw = random.Random(f"{name} {next(numbers)}")
        while True:
            session = manager.session(f"s{draw.randrange(int(sessions))}")
            try:
                turn = await session.send("go on", id=f"{name}.{next(numbers)}")
                met[(await turn.wait()).kind] += 1
                if draw.random() < 0.5:
                    await session.hibernate()
            except tri.SessionElsewhere:
                met["elsewhere"] += 1
                await trio.sleep(draw.uniform(0, 0.02))
            except tri.TriologueError as error:
                met[type(error).__name__] += 1

    deadlines = tri.Deadlines(lease=LEASE)
    agent = tri.Embedded(model=Slow())
    async with tri.open_manager(agent, store=database, deadlines=deadlines) as manager:
        with trio.move_on_after(float(seconds)):
            async with trio.open_nursery() as nursery:
                for _ in range(TALKERS):
                    nursery.start_soon(talk)
    print(json.dumps(met), flush=True)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
