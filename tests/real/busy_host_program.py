"""A program of its own that holds many conversations with the real Claude Code, all at work, to be killed by a test.

    python busy_host_program.py <cli> <folder> <sessions> <prompt of a tool that runs>

One is in a tool, the others take turn after turn. It says `ready` when each has answered once.
"""

import sys

import trio

import triologue as tri


async def main(*arguments: str) -> None:
    cli, folder, sessions, in_a_tool = arguments
    options = tri.Options(cli_path=cli, cwd=folder, allowed_tools=["Bash"])
    limits = tri.Limits(max_live=int(sessions) + 1, max_starting=2)
    async with (
        tri.open_manager(
            tri.ClaudeCode(), options=options, limits=limits, deadlines=tri.Deadlines(start=240)
        ) as manager,
        trio.open_nursery() as talking,
    ):
        await manager.session("tool").send(in_a_tool)
        keys = [f"s{number}" for number in range(int(sessions))]
        async with trio.open_nursery() as starting:
            for key in keys:
                starting.start_soon(manager.session(key).ask, "hi")
        for key in keys:
            talking.start_soon(go_on, manager.session(key))
        print("ready", flush=True)


async def go_on(session: tri.Session) -> None:
    while True:
        await session.ask("[[words 5 delay 0.02]]")


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
