"""Control with `qoder_agent_sdk` over our agent."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from qoder_agent_sdk import (
    JobTokenResult,
    QoderSDKClient,
    ServiceAccountTokenResult,
    UnsupportedCliCapabilityError,
    access_token_from_env,
    job_token,
    qodercli_auth,
    service_account,
)

from tests.foreign.alike import ask, hear, hear_until
from tests.foreign.alike_control import show_control
from tests.foreign.alike_turns import SLOW
from tests.foreign.qoder_turns import SDK, SUITE
from tests.foreign.table import Place

show_control(SDK)


@SUITE.shows("context-usage")
async def context_usage(place: Place) -> None:
    async with SDK.talk(place) as client:
        before = await client.get_context_usage()
        await ask(client, f"Remember: {'I like tea. ' * 1000}")
        after = await client.get_context_usage()
    assert before["totalTokens"] == 0
    assert 2000 < after["totalTokens"] < after["maxTokens"]


@SUITE.shows("rewind-files")
async def rewind_files(place: Place) -> None:
    async with SDK.talk(place) as client:
        with pytest.raises(Exception, match="File rewinding is not enabled"):
            await client.rewind_files(str(uuid4()))
        assert (await ask(client, "Count to 3")).text == "1 2 3"


@SUITE.shows("unsupported")
async def what_the_agent_cannot(place: Place) -> None:
    async with SDK.talk(place) as client:
        for call in (
            client.set_plan_mode(active=True),
            client.get_plan_mode(),
            client.ask_side_question("Why?"),
            client.background_tasks(),
            client.rewind(str(uuid4())),
        ):
            with pytest.raises(UnsupportedCliCapabilityError):
                await call
        for call in (
            client.set_goal(objective="Be done"),
            client.get_goal(),
            client.clear_goal(),
            client.set_proxy("http://127.0.0.1:9"),
            client.get_available_models(),
            client.apply_flag_settings({}),
            client.list_plugins(),
            client.mcp_clear_auth("far"),
        ):
            with pytest.raises(Exception, match="Unsupported control request subtype"):
                await call
        assert await client.list_byok_providers() is None
        assert await client.get_usage_info() is None
        assert (await ask(client, "Count to 3")).text == "1 2 3"


@SUITE.shows("unsupported")
async def plan_mode_from_the_start(place: Place) -> None:
    client = QoderSDKClient(SDK.options(place, plan_mode=True))
    with pytest.raises(UnsupportedCliCapabilityError):
        await client.connect()
    await client.disconnect()


@SUITE.shows("cancel-queued")
async def a_waiting_prompt_is_taken_back(place: Place) -> None:
    uuid = str(uuid4())
    async with SDK.talk(place, SLOW, include_partial_messages=True) as client:
        await client.query("slowly")
        await hear_until(client, "StreamEvent")
        await client.query("Count to 3", message_uuid=uuid, priority="later")
        assert await client.cancel_async_message(uuid) is True
        assert await client.cancel_async_message(uuid) is False
        await client.interrupt()
        await hear(client)
        assert (await ask(client, "How many messages?")).text == "This is your 2nd message."


@SUITE.shows("auth")
async def tokens_that_the_host_has(place: Place) -> None:
    for auth in (
        qodercli_auth(),
        access_token_from_env("A_TOKEN"),
        service_account(service_account_key="key"),
    ):
        async with SDK.talk(place, auth=auth, env={"A_TOKEN": "secret"}) as client:
            assert (await ask(client, "Count to 3")).text == "1 2 3"


@SUITE.shows("auth")
async def tokens_that_the_host_fetches(place: Place) -> None:
    asked: list[str] = []

    async def fetch_job_token(request: Any, context: Any) -> JobTokenResult:
        asked.append(request.reason)
        await asyncio.sleep(0)
        return JobTokenResult(token="job")

    async def fetch_service_token() -> ServiceAccountTokenResult:
        asked.append("service")
        return ServiceAccountTokenResult(token="sat-1")

    for auth in (job_token(fetch_job_token), service_account(fetch_service_account_token=fetch_service_token)):
        async with SDK.talk(place, auth=auth) as client:
            assert (await ask(client, "Count to 3")).text == "1 2 3"
    assert asked == ["initial", "service"]


@SUITE.shows("auth")
async def a_token_that_the_host_cannot_fetch(place: Place) -> None:
    async def fetch_job_token(request: Any, context: Any) -> None:
        return None

    client = QoderSDKClient(SDK.options(place, auth=job_token(fetch_job_token)))
    with pytest.raises(Exception, match="exit code 1"):
        await client.connect()
    await client.disconnect()


@SUITE.shows("auth")
async def nobody_is_logged_in(place: Place) -> None:
    expired = asyncio.Event()

    async def on_auth_expired() -> None:
        expired.set()

    variables = {"TRIOLOGUE_LOGIN": "missing"}
    options = SDK.options(place, auth=qodercli_auth(), env=variables, on_auth_expired=on_auth_expired)
    client = QoderSDKClient(options)
    connecting = asyncio.create_task(client.connect())
    await expired.wait()
    # The exit code 41 is told by the callback alone: the SDK waits on for an answer to its `initialize`.
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await client.disconnect()


@SUITE.shows("system-prompt")
async def system_prompts(place: Place) -> None:
    for prompt, told in (
        ("Be kind.", "Be kind."),
        ({"type": "preset", "preset": "qodercli", "append": "Be short."}, "Be short."),
    ):
        reply = await SDK.one_shot(place, "What are your instructions?", system_prompt=prompt)
        assert told in reply.text


SUITE.fails(
    "stop-task",
    "our agent stops sub-agents (see the other columns), but the SDK asks only one with the capability "
    "`background_tasks_v1`, which also promises that running tools can be moved into the background; ours cannot",
)
