"""Work in rounds: the agent writes a file, the host tests it, and what failed is the next prompt, until nothing does."""

import sys
from pathlib import Path

import trio

from triologue.sdk.claude import AssistantMessage, ClaudeAgentOptions, ClaudeSDKClient, TextBlock, ToolUseBlock

TASK = "Write mean.py with a function mean(numbers); of no numbers it is 0."
FIX = "The test of mean.py failed with {}. Correct the file."
TEST = "from mean import mean; assert mean([1, 2, 3]) == 2; assert mean([]) == 0"
MOST = 5


async def tested() -> str | None:
    """None when the test passes, else the last line of what it said."""
    done = await trio.run_process([sys.executable, "-B", "-c", TEST], check=False, capture_stderr=True)
    return done.stderr.decode().splitlines()[-1] if done.returncode else None


async def work(client: ClaudeSDKClient, prompt: str) -> None:
    await client.query(prompt)
    async for message in client.receive_response():
        for block in message.content if isinstance(message, AssistantMessage) else []:
            if isinstance(block, ToolUseBlock):
                print(f"  {block.name} {Path(block.input['file_path']).name}")
            elif isinstance(block, TextBlock):
                print(f"  {block.text}")


async def main(task: str = TASK, fix: str = FIX) -> None:
    async with ClaudeSDKClient(ClaudeAgentOptions(permission_mode="acceptEdits")) as client:
        prompt = task
        for number in range(1, MOST + 1):
            print(f"round {number}")
            await work(client, prompt)
            failure = await tested()
            print("  test:", failure or "passed")
            if failure is None:
                break
            prompt = fix.replace("{}", failure)


if __name__ == "__main__":
    trio.run(main)
