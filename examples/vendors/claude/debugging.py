"""See what goes on: every message as it comes, and every line that the program writes to stderr."""

import trio

from triologue.sdk.claude import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKError,
    Message,
    ResultMessage,
    SystemMessage,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
    query,
)


def shown(message: Message) -> list[str]:
    match message:
        case SystemMessage(subtype=subtype):
            return [f"system {subtype}"]
        case ResultMessage(subtype=subtype, num_turns=turns):
            return [f"result {subtype} after {turns} round trips"]
        case AssistantMessage(content=content) | UserMessage(content=list(content)):
            return [shown_block(block) for block in content]
        case _:
            return [type(message).__name__]


def shown_block(block: object) -> str:
    match block:
        case TextBlock(text=text):
            return f"says {text}"
        case ToolUseBlock(name=name, input=arguments):
            return f"calls {name} {arguments}"
        case ToolResultBlock(content=content, is_error=is_error):
            return f"got {content!r}{' (an error)' if is_error else ''}"
        case _:
            return type(block).__name__


async def main(prompt: str = 'Use the tool Bash with {"command": "echo hello"}') -> None:
    options = ClaudeAgentOptions(allowed_tools=["Bash"], stderr=lambda line: print("stderr:", line))
    async for message in query(prompt=prompt, options=options):
        print(*shown(message), sep="\n")

    options.extra_args = {"no-such-flag": None}  # what a typing error looks like
    try:
        async for message in query(prompt=prompt, options=options):
            print(*shown(message), sep="\n")
    except ClaudeSDKError as error:
        print(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    trio.run(main)
