"""A conversation that is gone: `SessionNotFound` says which, and where it was looked for; then start afresh."""

import trio

import triologue as tri

GONE = "5f0c3c3e-0000-4000-8000-000000000000"


async def ask(prompt: str, agent: tri.Agent | None, options: tri.Options) -> str | None:
    async with tri.query(prompt, agent=agent, options=options) as answer:
        return [message async for message in answer if isinstance(message, tri.ResultMessage)][-1].result


async def main(agent: tri.Agent | None = None) -> None:
    options = tri.Options(resume=GONE)
    try:
        print(await ask("Remember: I like Python", agent, options))
    except tri.SessionNotFound as error:
        print(error)
        options.resume = None
        print(await ask("Remember: I like Python", agent, options))


if __name__ == "__main__":
    trio.run(main)
