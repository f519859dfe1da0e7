"""Sessions on another machine: one program lends them, and others use them as if they were their own."""

import trio

import triologue as tri


async def chat(sessions: tri.Sessions) -> None:
    """It does not matter here where the sessions are."""
    session = sessions.session("web:ada")
    await session.ask("Remember: I like Python", id="message-1")
    result = await session.ask("What do I like?", id="message-2")
    print(f"{session.key}: {result.result}")


async def look(far: tri.RemoteManager) -> None:
    """Whoever comes later reads what was said; after=120 would go on behind the record 120."""
    async with far.session("web:ada").subscribe(after=0) as events:
        async for event in events:
            if isinstance(event.message, tri.TurnEnded):
                print(f"{event.turn_id}: {event.message.outcome.kind}")
            if event.turn_id == "message-2" and isinstance(event.message, tri.TurnEnded):
                break


async def main(agent: tri.Agent | None = None) -> None:
    tokens = tri.MemoryTokens()
    token = tokens.add(name="web", rights=["watch", "prompt"], prefix="web:")
    # One program; the command `triologue serve` does the same.
    async with (
        tri.open_manager(agent) as manager,
        tri.open_gateway(manager, port=0, tokens=tokens) as gateway,
        # The others; with `wss://` from anywhere.
        tri.open_remote(gateway.url, token) as far,
    ):
        await chat(far)
        await chat(far)  # the same ids: both are answered, and nothing runs again
        await look(far)
        try:
            await far.session("slack:bob").ask("Hello")
        except tri.TriologueError as error:
            print(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    trio.run(main)
