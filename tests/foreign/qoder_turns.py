"""Turns with `qoder_agent_sdk` on our agent."""

import asyncio
from typing import Any

import qoder_agent_sdk

from tests.foreign.alike import Sdk, prompts
from tests.foreign.alike_turns import show_turns
from tests.foreign.table import Place, Suite

SUITE = Suite(package="qoder_agent_sdk", loops=("asyncio",))


def _options(**fields: Any) -> qoder_agent_sdk.QoderAgentOptions:
    return qoder_agent_sdk.QoderAgentOptions(**{"auth": qoder_agent_sdk.access_token("token"), **fields})


SDK = Sdk(module=qoder_agent_sdk, client=qoder_agent_sdk.QoderSDKClient, make_options=_options, suite=SUITE)
show_turns(SDK)


@SUITE.shows("streamed-input")
async def query_with_a_stream(place: Place) -> None:
    answered = asyncio.Semaphore(0)
    stream = prompts("Remember: I like tea", "What do I like?", answered=answered)
    results = []
    async for message in qoder_agent_sdk.query(prompt=stream, options=SDK.options(place)):
        if isinstance(message, qoder_agent_sdk.ResultMessage):
            results.append(message.result)
            answered.release()
    assert results == ["I will remember that you like tea.", "You like tea."]


@SUITE.shows("streamed-input")
async def connect_with_a_prompt(place: Place) -> None:
    client = qoder_agent_sdk.QoderSDKClient(SDK.options(place))
    await client.connect("Count to 3")
    texts = [message.result async for message in client.receive_response() if hasattr(message, "result")]
    await client.disconnect()
    assert texts == ["1 2 3"]


SUITE.lacks("max-budget", "the SDK has no such option")
SUITE.lacks("structured", "the SDK has no such option")
