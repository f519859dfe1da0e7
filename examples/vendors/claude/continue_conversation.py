"""Go on with the latest conversation of a folder, with a certain one, or with a copy that leaves the first as it was."""

import trio

from triologue.sdk.claude import ClaudeAgentOptions, ResultMessage, query


async def ask(prompt: str, options: ClaudeAgentOptions) -> ResultMessage:
    results = [m async for m in query(prompt=prompt, options=options) if isinstance(m, ResultMessage)]
    return results[-1]


async def main() -> None:
    first = await ask("Remember: I like Python", ClaudeAgentOptions())
    latest = await ask("What do I like?", ClaudeAgentOptions(continue_conversation=True))
    print("continued:", latest.session_id == first.session_id, "-", latest.result)

    other = await ask("Remember: I like tea", ClaudeAgentOptions())
    resumed = await ask("What do I like?", ClaudeAgentOptions(resume=first.session_id))
    print("resumed:  ", resumed.session_id == first.session_id, "-", resumed.result)

    fork = await ask("Remember: I like C", ClaudeAgentOptions(resume=first.session_id, fork_session=True))
    print("forked:   ", fork.session_id not in (first.session_id, other.session_id), "-", fork.result)
    outside = await ask("What did I tell you?", ClaudeAgentOptions(resume=first.session_id))
    print("original: ", outside.result)


if __name__ == "__main__":
    trio.run(main)
