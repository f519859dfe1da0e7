"""Turns with `cortex_code_agent_sdk` on our agent."""

import asyncio
from typing import Any

import cortex_code_agent_sdk

from tests.foreign.alike import Sdk, prompts
from tests.foreign.alike_turns import show_turns
from tests.foreign.table import Place, Suite

SUITE = Suite(package="cortex_code_agent_sdk", loops=("asyncio",))


def _options(**fields: Any) -> cortex_code_agent_sdk.CortexCodeAgentOptions:
    return cortex_code_agent_sdk.CortexCodeAgentOptions(**fields)


SDK = Sdk(
    module=cortex_code_agent_sdk,
    client=cortex_code_agent_sdk.CortexCodeSDKClient,
    make_options=_options,
    suite=SUITE,
)
show_turns(SDK)


@SUITE.shows("streamed-input")
async def query_with_a_stream(place: Place) -> None:
    # `query()` ends with the first result, whatever else is in the stream.
    reply = await SDK.one_shot(place, prompts("Count to 3", answered=asyncio.Semaphore(0)))
    assert reply.text == "1 2 3"


@SUITE.shows("structured")
async def structured_output(place: Place) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    reply = await SDK.one_shot(place, "Who is it?", output_format={"type": "json_schema", "schema": schema})
    output = reply.result.structured_output
    assert {name: type(value) for name, value in output.items()} == {"name": str, "age": int}


SUITE.lacks("max-budget", "the SDK has no such option")
