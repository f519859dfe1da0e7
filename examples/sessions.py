"""Which conversation: where its id is told, and how to resume it, continue it, fork it, and choose its id."""

from uuid import uuid4

import trio

import triologue as tri


async def ask(prompt: str, agent: tri.Agent | None, options: tri.Options) -> tri.ResultMessage:
    async with tri.query(prompt, agent=agent, options=options) as answer:
        ids, result = set(), None
        async for message in answer:
            if isinstance(message, tri.InitMessage | tri.ResultMessage):  # the first and the last of a turn have it
                ids.add(message.session_id)
            if isinstance(message, tri.ResultMessage):
                result = message
    assert result is not None
    assert ids == {answer.session_id}  # and so has the query itself
    return result


async def main(agent: tri.Agent | None = None) -> None:
    first = await ask("Remember: I like Python", agent, tri.Options())
    resumed = await ask("What do I like?", agent, tri.Options(resume=first.session_id))
    print("resumed  ", resumed.session_id == first.session_id, resumed.result)
    continued = await ask("What did I tell you?", agent, tri.Options(continue_conversation=True))
    print("continued", continued.session_id == first.session_id, continued.result)

    forked = await ask("Remember: I like C", agent, tri.Options(resume=first.session_id, fork_session=True))
    print("forked   ", forked.session_id == first.session_id, forked.result)
    chosen = str(uuid4())
    named = tri.Options(resume=forked.session_id, fork_session=True, session_id=chosen)
    print("named    ", (await ask("What do I like?", agent, named)).session_id == chosen)
    original = await ask("What do I like?", agent, tri.Options(resume=first.session_id))
    print("original ", original.session_id == first.session_id, original.result)

    mine = str(uuid4())
    print("my own id", (await ask("Hello", agent, tri.Options(session_id=mine))).session_id == mine)


if __name__ == "__main__":
    trio.run(main)
