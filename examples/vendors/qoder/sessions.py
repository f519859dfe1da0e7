"""Which conversation: an id that you choose, resume, continue, fork, and a fork with an id that you choose."""

from uuid import uuid4

import trio

from triologue.sdk.qoder import (
    QoderAgentOptions,
    QoderSDKClient,
    ResultMessage,
    SystemMessage,
    access_token_from_env,
)


async def ask(prompt: str, options: QoderAgentOptions) -> ResultMessage:
    """One turn of the conversation that the options name."""
    options.auth = access_token_from_env()
    begun, results = None, []
    async with QoderSDKClient(options) as client:
        await client.query(prompt)
        async for message in client.receive_response():
            if isinstance(message, SystemMessage) and message.subtype == "init":
                begun = message.data["session_id"]
            elif isinstance(message, ResultMessage):
                results.append(message)
    assert begun == results[-1].session_id  # told at the beginning, and at the end
    return results[-1]


async def main() -> None:
    mine, copy = str(uuid4()), str(uuid4())
    chosen = await ask("Remember: I like Python", QoderAgentOptions(session_id=mine))
    print("chosen:   ", chosen.session_id == mine, "-", chosen.result)
    resumed = await ask("What do I like?", QoderAgentOptions(resume=mine))
    print("resumed:  ", resumed.session_id == mine, "-", resumed.result)
    continued = await ask("Remember: I like tea", QoderAgentOptions(continue_conversation=True))
    print("continued:", continued.session_id == mine, "-", continued.result)

    forked = await ask("Remember: I like C", QoderAgentOptions(resume=mine, fork_session=True))
    print("forked:   ", forked.session_id != mine, "-", forked.result)
    named = await ask("What did I tell you?", QoderAgentOptions(resume=mine, fork_session=True, session_id=copy))
    print("named:    ", named.session_id == copy, "-", named.result)
    branch = await ask("What did I tell you?", QoderAgentOptions(resume=forked.session_id))
    print("branch:   ", branch.session_id == forked.session_id, "-", branch.result)


if __name__ == "__main__":
    trio.run(main)
