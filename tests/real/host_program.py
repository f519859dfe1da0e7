"""A program of its own that holds three conversations with the real Claude Code, to be killed by a test.

    python host_program.py <cli> <folder> <prompt of a tool that runs> <prompt of a background task> <ending>

`ending` is what it does when a line comes in: `raise`, `exit`, or `leave` its block. It says `ready` before.
"""

import os
import sys

import trio

import triologue as tri


async def main(*arguments: str) -> None:
    cli, folder, in_a_tool, in_the_background, ending = arguments
    options = tri.Options(cli_path=cli, cwd=folder, allowed_tools=["Bash"])
    deadlines = tri.Deadlines(drain=1, close=2)
    async with tri.open_manager(tri.ClaudeCode(), options=options, deadlines=deadlines) as manager:
        await manager.session("idle").ask("hi")
        await manager.session("background").ask(in_the_background)
        await manager.session("tool").send(in_a_tool)
        print("ready", flush=True)
        await trio.lowlevel.wait_readable(sys.stdin)
        if ending == "raise":
            raise LookupError("a bug of the host")
        if ending == "exit":
            os._exit(7)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
