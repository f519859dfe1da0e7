"""What one program was told, another one knows: `query()` with a store."""

import tempfile
from pathlib import Path

import trio

import triologue as tri


async def ask(prompt: str, options: tri.Options, agent: tri.Agent | None, database: Path) -> None:
    async for message in tri.query(prompt, options=options, agent=agent, store=database):
        if isinstance(message, tri.ResultMessage):
            print(message.result)


async def main(agent: tri.Agent | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "sessions.db"
        await ask("Remember: I like Python", tri.Options(), agent, database)
        # The latest of this folder; another one is found by its session id: Options(resume="...").
        await ask("What do I like?", tri.Options(continue_conversation=True), agent, database)


if __name__ == "__main__":
    trio.run(main)
