"""A message that comes while another one is worked on: it waits, is refused, goes first, or goes in with others."""

import trio

import triologue as tri


async def show(name: str, turn: tri.Turn) -> None:
    outcome = await turn.wait()
    if outcome.result is not None and outcome.kind == "answered":
        print(f"{name}: {outcome.result.result}")
    else:
        print(f"{name}: {outcome.kind}" + (f" into {outcome.into}" if outcome.into else ""))


async def main(agent: tri.Agent | None = None, busy: str = "Wait 3600 seconds") -> None:
    async with tri.open_manager(agent, overlap="queue") as manager:  # or another policy for all that is sent
        session = manager.session("slack:C1:170000")
        running = await session.send(busy)
        waiting = await session.send("Say I waited")
        one = await session.send("Say one", overlap="collect", id="one")  # of a user who types in short lines
        two = await session.send("and two", overlap="collect")
        try:
            await session.send("Say never", overlap="reject")
        except tri.TurnRejected as error:
            print(f"rejected: {error.reason}")
        urgent = await session.send("Say I went first", overlap="interrupt")
        for name, turn in {"running": running, "urgent": urgent, "waiting": waiting, "one": one, "two": two}.items():
            await show(name, turn)


if __name__ == "__main__":
    trio.run(main)
