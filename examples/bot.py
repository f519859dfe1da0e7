"""A chat bot: one key a chat, many chats at once, replies streamed; whoever wrote before is remembered.

The manager owns the conversations. A key costs nothing; the agent behind it starts when a message needs it.
"""

import trio

import triologue as tri

Update = tuple[str, str]  # the chat, and what was written there
UPDATES: tuple[Update, ...] = (
    ("slack:C1", "Remember: I like Python"),
    ("slack:C2", "Remember: I like tea"),
    ("slack:C1", "What do I like?"),
    ("slack:C2", "What do I like?"),
)


async def serve_chat(session: tri.Session, updates: trio.MemoryReceiveChannel[str], posts: list[Update]) -> None:
    async for prompt in updates:
        async with session.turn(prompt) as turn:
            pieces = [tri.text(message) async for message in turn if isinstance(message, tri.StreamEvent)]
        posts.append((session.key, "".join(pieces)))  # a real bot would edit its post with each piece


async def main(agent: tri.Agent | None = None) -> None:
    posts: list[Update] = []
    chats: dict[str, trio.MemorySendChannel[str]] = {}
    options = tri.Options(include_partial_messages=True)
    async with tri.open_manager(agent, options=options) as manager, trio.open_nursery() as nursery:
        for chat, prompt in UPDATES:
            if chat not in chats:
                chats[chat], updates = trio.open_memory_channel[str](10)
                nursery.start_soon(serve_chat, manager.session(chat), updates, posts)
            await chats[chat].send(prompt)
        for channel in chats.values():
            channel.close()
    for chat, text in sorted(posts, key=lambda post: post[0]):
        print(f"{chat}: {text}")


if __name__ == "__main__":
    trio.run(main)
