"""Sessions of the SDKs of Qoder and Cortex Code on our agent: ids, resume, continue, fork; and how a process ends."""

import asyncio
from contextlib import aclosing
from uuid import uuid4

import pytest

from tests.foreign.alike import Sdk, ask, hear_until
from tests.foreign.alike_turns import SLOW
from tests.foreign.table import Place
from tests.support.leftovers import is_alive

TOLD = "I will remember that you like tea."


async def chosen_id(sdk: Sdk, place: Place) -> None:
    chosen = str(uuid4())
    reply = await sdk.one_shot(place, "Count to 3", session_id=chosen)
    assert reply.result.session_id == reply.messages[0].data["session_id"] == chosen


async def resume(sdk: Sdk, place: Place) -> None:
    first = await sdk.one_shot(place, "Remember: I like tea")
    async with sdk.talk(place, resume=first.result.session_id) as client:
        second = await ask(client, "What do I like?")
        third = await ask(client, "How many messages?")
    assert (second.text, third.text) == ("You like tea.", "This is your 3rd message.")
    assert first.result.session_id == second.result.session_id == third.result.session_id


async def resume_of_a_chosen_id(sdk: Sdk, place: Place) -> None:
    chosen = str(uuid4())
    await sdk.one_shot(place, "Remember: I like tea", session_id=chosen)
    again = await sdk.one_shot(place, "What do I like?", resume=chosen)
    assert (again.text, again.result.session_id) == ("You like tea.", chosen)


async def continue_the_last(sdk: Sdk, place: Place) -> None:
    await sdk.one_shot(place, "Remember: I like coffee")
    last = await sdk.one_shot(place, "Remember: I like tea")
    again = await sdk.one_shot(place, "What do I like?", continue_conversation=True)
    assert (again.text, again.result.session_id) == ("You like tea.", last.result.session_id)


async def fork(sdk: Sdk, place: Place) -> None:
    first = await sdk.one_shot(place, "Remember: I like tea")
    forked = await sdk.one_shot(place, "Remember: I like rain", resume=first.result.session_id, fork_session=True)
    assert forked.result.session_id != first.result.session_id
    both = await sdk.one_shot(place, "What did I tell you?", resume=forked.result.session_id)
    one = await sdk.one_shot(place, "What did I tell you?", resume=first.result.session_id)
    assert ("tea" in both.text, "rain" in both.text) == (True, True)
    assert ("tea" in one.text, "rain" in one.text) == (True, False)


async def fork_with_an_id(sdk: Sdk, place: Place) -> None:
    chosen = str(uuid4())
    first = await sdk.one_shot(place, "Remember: I like tea")
    forked = await sdk.one_shot(
        place, "What do I like?", resume=first.result.session_id, fork_session=True, session_id=chosen
    )
    assert (forked.text, forked.result.session_id) == ("You like tea.", chosen)


async def unknown_id(sdk: Sdk, place: Place) -> None:
    client = sdk.client(sdk.options(place, resume=str(uuid4())))
    with pytest.raises(sdk.module.ProcessError):
        await client.connect()
    await client.disconnect()


async def leaving_early(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place, SLOW, include_partial_messages=True) as client:
        pid = (await client.get_server_info())["pid"]
        await client.query("slowly")
        await hear_until(client, "StreamEvent")
        assert is_alive(pid)
    assert not is_alive(pid)


async def leaving_a_query_early(sdk: Sdk, place: Place) -> None:
    options = sdk.options(place, SLOW, include_partial_messages=True)
    kinds = []
    async with aclosing(sdk.module.query(prompt="slowly", options=options)) as messages:
        async for message in messages:
            kinds.append(type(message).__name__)
            if kinds[-1] == "StreamEvent":
                break
    assert kinds[-1] == "StreamEvent"


async def cancelled(sdk: Sdk, place: Place) -> None:
    pids: list[int] = []
    running = asyncio.Event()

    async def talk() -> None:
        async with sdk.talk(place, SLOW, include_partial_messages=True) as client:
            pids.append((await client.get_server_info())["pid"])
            await client.query("slowly")
            await hear_until(client, "StreamEvent")
            running.set()
            await hear_until(client, "ResultMessage")

    task = asyncio.create_task(talk())
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [is_alive(pid) for pid in pids] == [False]


async def exit_code(sdk: Sdk, place: Place) -> None:
    client = sdk.client(sdk.options(place, extra_args={"no-such-flag": None}))
    with pytest.raises(sdk.module.ProcessError) as failure:
        await client.connect()
    await client.disconnect()
    assert failure.value.exit_code != 0


async def the_agent_is_killed(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(
        place,
        {"prompt": "die", "reply": [{"tool": "Bash", "input": {"command": "kill -9 $PPID"}}]},
        permission_mode="bypassPermissions",
        allow_dangerously_skip_permissions=True,
    ) as client:
        await client.query("die")
        with pytest.raises(Exception, match="exit code -9"):
            await hear_until(client, "ResultMessage")


def show_sessions(sdk: Sdk) -> None:
    """Have all of them in the table."""
    sdk.shows(chosen_id, "chosen-id")
    sdk.shows(resume, "resume")
    sdk.shows(resume_of_a_chosen_id, "resume")
    sdk.shows(continue_the_last, "continue")
    sdk.shows(fork, "fork")
    sdk.shows(fork_with_an_id, "fork-with-id")
    sdk.shows(unknown_id, "unknown-id")
    sdk.shows(leaving_early, "close")
    sdk.shows(leaving_a_query_early, "close")
    sdk.shows(cancelled, "close")
    sdk.shows(exit_code, "exit-code")
    sdk.shows(the_agent_is_killed, "exit-code")
