"""Branches: fork a conversation to another key, reset one, let an agent go and wake it with the next message."""

import trio

import triologue as tri


async def main(agent: tri.Agent | None = None) -> None:
    async with tri.open_manager(agent) as manager:
        main_line = manager.session("main")
        await main_line.ask("Remember: I like Python")

        branch = await main_line.fork("branch")
        await branch.ask("Remember: I like C")
        print("branch:", (await branch.ask("What did I tell you?")).result)
        print("main:  ", (await main_line.ask("What did I tell you?")).result)

        await main_line.hibernate()
        print("main is", main_line.state)
        print("woken: ", (await main_line.ask("What do I like?")).result)

        await branch.reset()
        print("reset: ", (await branch.ask("What do I like?")).result)


if __name__ == "__main__":
    trio.run(main)
