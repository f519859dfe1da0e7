"""Watching a session: every subscriber sees the same numbered events, also those from before it came."""

import trio

import triologue as tri


async def watch(session: tri.Session, name: str) -> None:
    turns_ended = 0
    async with session.subscribe(after=0) as events:
        async for event in events:
            match event.message:
                case tri.TurnAccepted() as accepted:
                    print(f"{name} #{event.seq} accepted: {tri.text(accepted.prompt)}")
                case tri.TurnEnded(outcome=outcome):
                    print(f"{name} ended: {outcome.kind}: {outcome.result and outcome.result.result}")
                    turns_ended += 1
                case _:
                    pass
            if turns_ended == 2:
                return


async def main(agent: tri.Agent | None = None) -> None:
    async with tri.open_manager(agent) as manager:
        session = manager.session("room:7")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, session, "early")
            await session.ask("Remember: I like Python")
            turn = await session.send("What do I like?", id="room:7-2", meta={"from": "ada"})
        print("turn", turn.id, (await turn.wait()).kind)
        await watch(session, "late")


if __name__ == "__main__":
    trio.run(main)
