"""What can go wrong: no program, an unknown conversation, a failed call of the model, and a turn that takes too long."""

import trio

from triologue.sdk.claude import (
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ClaudeSDKError,
    CLINotFoundError,
    ProcessError,
    ResultError,
    ResultMessage,
    query,
)

GONE = "5f0c3c3e-0000-4000-8000-000000000000"


async def attempt(what: str, prompt: str, options: ClaudeAgentOptions | None = None) -> None:
    try:
        async for message in query(prompt=prompt, options=options):
            if isinstance(message, ResultMessage):
                print(f"{what}: {message.subtype}, is_error={message.is_error}")
    except CLINotFoundError:
        print(f"{what}: there is no such program")
    except ResultError as error:  # before ProcessError, which it is too
        print(f"{what}: {error.result}")
    except ProcessError as error:
        print(f"{what}: exit code {error.exit_code}")
    except ClaudeSDKError as error:  # the root of them all
        print(f"{what}: {type(error).__name__}: {error}")


async def main(failing: str = "Fail with 400: no", endless: str = "Wait 3600 seconds") -> None:
    await attempt("missing program", "Hello", ClaudeAgentOptions(cli_path="/nowhere/claude"))
    await attempt("unknown conversation", "Hello", ClaudeAgentOptions(resume=GONE))
    await attempt("failed call", failing)
    await attempt("no error", "Say all is well")

    async with ClaudeSDKClient() as client:
        await client.query(endless)
        with trio.move_on_after(0.5) as patience:
            async for _ in client.receive_response():
                pass
        if patience.cancelled_caught:
            await client.interrupt()
        results = [m async for m in client.receive_response() if isinstance(m, ResultMessage)]
        print("too long:", results[-1].subtype)


if __name__ == "__main__":
    trio.run(main)
