"""What an agent presents itself as, and what a program around the engine may look at."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.unit.engine.stage import Scripted, ids, open_engine, said
from triologue.engine import EngineSetup, OfflineModel, Transcripts, serve
from triologue.engine.conversation import Conversation
from triologue.engine.profile import Profile
from triologue.messages import (
    Initialize,
    InitMessage,
    Interrupt,
    McpStatus,
    Message,
    SetMaxThinkingTokens,
    SetPermissionMode,
    UnknownRequest,
)
from triologue.options import Options
from triologue.tools import tool_from_function


async def test_a_vendor_says_init_once_and_in_its_own_words(autojump_clock: MockClock) -> None:
    profile = Profile(
        provider="them",
        qodercli_version="1.2",
        initialize={"skills": []},
        greets=True,
        mcp_status_key="servers",
        permission_modes=("default", "yolo"),
    )
    async with open_engine(profile=profile) as host:
        host.send(host.request(Initialize()), host.prompt("Say hi"), host.prompt("/cost", verbatim=False))
        await trio.sleep(1)
        host.send(host.request(McpStatus()), host.request(SetPermissionMode(mode="plan")))
        host.send(host.request(SetPermissionMode(mode="yolo")))
    assert host.story[1:] == [
        "init",
        "assistant: hi",
        "result: success completed hi",
        *host.story[4:6],
        "r2: {'servers': []}",
        "r3: Cannot set permission mode: must be one of default, yolo",
        "r4: {'mode': 'yolo'}",
        "status",
    ]
    (init,) = [message for message in host.said if isinstance(message, InitMessage)]
    assert (init.qodercli_version, init.claude_code_version) == ("1.2", None)
    response = host.said[0].data["response"]["response"]
    assert (response["skills"], response["account"]["apiProvider"]) == ([], "them")


async def test_initialize_may_bring_the_system_prompt() -> None:
    model = Scripted(said("a"), said("b"), said("c"))
    async with open_engine(model=model) as host:
        host.send(host.request(Initialize(append_system_prompt="Be brief.")), host.prompt("x"))
        await wait_all_tasks_blocked()
        host.send(host.request(Initialize(system_prompt="You are it.")), host.prompt("x"))
        await wait_all_tasks_blocked()
        host.send(host.request(Initialize(append_system_prompt="Be kind.")), host.prompt("x"))
    assert [request.system for request in model.requests] == [
        "You are a helpful assistant.\n\nBe brief.",
        "You are it.",
        "You are it.\n\nBe kind.",
    ]


async def test_a_request_given_as_a_dict_is_read_as_from_a_wire() -> None:
    async with open_engine() as host:
        host.send(host.request(UnknownRequest(body={"subtype": "mcp_toggle", "serverName": "x", "enabled": True})))
        host.send(host.request(UnknownRequest(body={"subtype": "mcp_toggle"})))
        host.send(host.request(SetMaxThinkingTokens(max_thinking_tokens=5)))
    assert host.story[0] == "r1: Server not found: x"
    assert host.story[2] == "r3: None"
    assert len(host.story) == 3


async def test_a_program_can_interrupt_as_its_host_would(autojump_clock: MockClock) -> None:
    opened: list[Conversation] = []
    heard: list[Message] = []
    setup = EngineSetup(model=OfflineModel(piece_delay=1), options=Options(), transcripts=Transcripts(), new_id=ids())
    outbox, inbox = trio.open_memory_channel[list[Message]](10)
    async with open_engine() as host, trio.open_nursery() as nursery:

        async def run() -> None:
            await serve(inbox, heard.extend, setup=setup, on_open=opened.append)

        nursery.start_soon(run)
        outbox.send_nowait([host.prompt("Count to 100")])
        await trio.sleep(3)
        opened[0].interrupt()
        outbox.close()
    assert heard[-1].data["terminal_reason"] == "aborted_streaming"


async def test_a_tool_that_fails_while_it_is_stopped_does_not_end_the_conversation(autojump_clock: MockClock) -> None:
    async def stubborn() -> None:
        """Fails on the way out."""

        async def child() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("I was busy")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(trio.sleep_forever)

    async with open_engine(tools=[tool_from_function(stubborn)]) as host:
        host.send(host.prompt("Call stubborn()"))
        await trio.sleep(1)
        host.send(host.request(Interrupt()))
        await trio.sleep(1)
        host.send(host.prompt("Say hi"))
    assert [result.terminal_reason for result in host.results] == ["aborted_tools", "completed"]
    assert host.exit is not None
    assert host.exit.code == 0
