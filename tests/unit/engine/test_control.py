"""Interrupts and other control requests, in every state of the engine."""

import os

import trio
from trio.testing import MockClock

from tests.unit.engine.stage import Scripted, open_engine, said
from triologue.engine import OfflineModel, Transcripts
from triologue.messages import (
    ApplyFlagSettings,
    CancelAsyncMessage,
    ControlCancel,
    ControlResponse,
    ControlSuccess,
    GetContextUsage,
    Initialize,
    Interrupt,
    KeepAlive,
    McpStatus,
    SetModel,
    SetPermissionMode,
    UnknownRequest,
)
from triologue.ports import Exit


def slow() -> OfflineModel:
    return OfflineModel(piece_delay=1)


async def nap(seconds: float) -> str:
    """Sleep."""
    await trio.sleep(seconds)
    return "slept"


async def test_an_interrupt_in_the_middle_of_a_stream(autojump_clock: MockClock) -> None:
    transcripts = Transcripts()
    async with open_engine(model=slow(), transcripts=transcripts) as host:
        host.send(host.prompt("Count to 100", "p1"))
        await trio.sleep(3.5)
        host.send(host.request(Interrupt()))
        await trio.sleep(0.1)
        host.send(host.prompt("Hello", "p2"))
    assert host.story == [
        "queued p1",
        "started p1",
        "init",
        "r1: {'still_queued': []}",
        "aborted: 1 2 3 ",
        "user: [Request interrupted by user]",
        "result: error_during_execution aborted_streaming ['The turn was interrupted by the user.']",
        "cancelled p1",
        "queued p2",
        "started p2",
        "init",
        "assistant: Hello! What can I do for you?",
        "result: success completed Hello! What can I do for you?",
        "completed p2",
    ]
    assert (host.results[0].is_error, host.results[0].duration_ms) == (True, 3500)
    (transcript,) = [transcripts.get(host.results[0].session_id)]
    assert transcript is not None
    assert [entry.content for entry in transcript.entries][:3] == [
        "Count to 100",
        [{"type": "text", "text": "1 2 3 "}],
        [{"type": "text", "text": "[Request interrupted by user]"}],
    ]


async def test_an_interrupt_closes_the_partials(autojump_clock: MockClock) -> None:
    async with open_engine(model=slow(), include_partial_messages=True) as host:
        host.send(host.prompt("Count to 100"))
        await trio.sleep(1.5)
        host.send(host.request(Interrupt()))
    assert host.story[1:] == [
        "status",
        "~message_start",
        "~content_block_start",
        "~content_block_delta",
        "r1: {'still_queued': []}",
        "aborted: 1 ",
        "~content_block_stop",
        "~message_delta",
        "~message_stop",
        "user: [Request interrupted by user]",
        "result: error_during_execution aborted_streaming ['The turn was interrupted by the user.']",
    ]
    assert host.exit == Exit(code=1)


async def test_an_interrupt_while_tools_run_answers_every_call(autojump_clock: MockClock) -> None:
    async with open_engine(tools=[nap]) as host:
        host.send(host.prompt("call nap(seconds=1) call nap(seconds=60) call nap(seconds=1)"))
        await trio.sleep(5)
        host.send(host.request(Interrupt()))
        await trio.sleep(1)
        host.send(host.prompt("Hello"))
    stopped = "user: error The user stopped this tool call. It may have taken effect in part or in full."
    assert host.story[5:11] == [
        "user: gives slept",
        "r1: {'still_queued': []}",
        stopped,
        stopped,
        "user: [Request interrupted by user for tool use]",
        "result: error_during_execution aborted_tools ['The turn was interrupted by the user.']",
    ]
    assert host.results[1].result == "Hello! What can I do for you?"


async def test_an_interrupt_before_the_first_word(autojump_clock: MockClock) -> None:
    async with open_engine(model=slow()) as host:
        host.send(host.prompt("Hello", "p1"), host.request(Interrupt()))  # in one batch: the turn has not begun
        await trio.sleep(1)
        host.send(host.prompt("Say hi"))
    assert host.story == [
        "queued p1",
        "r1: {'still_queued': []}",
        "started p1",
        "init",
        "user: [Request interrupted by user]",
        "result: error_during_execution aborted_streaming ['The turn was interrupted by the user.']",
        "cancelled p1",
        "init",
        "assistant: hi",
        "result: success completed hi",
    ]


async def test_an_interrupt_with_nothing_running_says_so_and_spoils_nothing() -> None:
    async with open_engine() as host:
        host.send(host.request(Interrupt()), host.prompt("Say hi"))
    assert host.story == ["r1: {'still_queued': []}", "init", "assistant: hi", "result: success completed hi"]


async def test_queued_prompts_survive_an_interrupt(autojump_clock: MockClock) -> None:
    async with open_engine(model=slow()) as host:
        host.send(host.prompt("Count to 9", "p1"), host.prompt("Say two", "p2"), host.prompt("Say three"))
        await trio.sleep(1.5)
        host.send(host.request(Interrupt()))
    assert [line for line in host.story if line.startswith(("r1", "result"))] == [
        "r1: {'still_queued': ['p2']}",
        "result: error_during_execution aborted_streaming ['The turn was interrupted by the user.']",
        "result: success completed two",
        "result: success completed three",
    ]


async def test_an_interrupt_may_cancel_the_queue(autojump_clock: MockClock) -> None:
    async with open_engine(model=slow()) as host:
        host.send(host.prompt("Count to 9", "p1"), host.prompt("Say two", "p2"), host.prompt("Say three", "p3"))
        await trio.sleep(1.5)
        host.send(host.request(Interrupt(cancel_queued=True)))
        await trio.sleep(1)
        host.send(host.prompt("Say two", "p2"))  # it never ran, so it may be sent again
    assert host.story[5:] == [
        "cancelled p2",
        "cancelled p3",
        "r1: {'cancelled': ['p2', 'p3'], 'still_queued': []}",
        "aborted: 1 ",
        "user: [Request interrupted by user]",
        "result: error_during_execution aborted_streaming ['The turn was interrupted by the user.']",
        "cancelled p1",
        "queued p2",
        "started p2",
        "init",
        "assistant: two",
        "result: success completed two",
        "completed p2",
    ]


async def test_a_prompt_that_waits_can_be_withdrawn(autojump_clock: MockClock) -> None:
    async with open_engine(model=slow()) as host:
        host.send(host.prompt("Say one", "p1"), host.prompt("Say two", "p2"))
        await trio.sleep(0.5)
        host.send(*(host.request(CancelAsyncMessage(message_uuid=uuid)) for uuid in ("p2", "p2", "p1")))
    assert host.story[4:8] == [
        "cancelled p2",
        "r1: {'cancelled': True, 'message_uuid': 'p2'}",
        "r2: {'cancelled': False}",
        "r3: {'cancelled': False}",
    ]
    assert [r.result for r in host.results] == ["one"]


async def test_initialize_tells_what_there_is() -> None:
    async with open_engine(permission_mode="plan") as host:
        host.send(host.request(Initialize()))
    assert host.said == [
        ControlResponse(
            response=ControlSuccess(
                request_id="r1",
                response={
                    "commands": [
                        {"name": "clear", "description": "Begin a fresh conversation", "argumentHint": ""},
                        {
                            "name": "compact",
                            "description": "Put a summary in place of what was said so far",
                            "argumentHint": "",
                        },
                        {"name": "cost", "description": "Show what the session has cost so far", "argumentHint": ""},
                    ],
                    "agents": [],
                    "output_style": "default",
                    "available_output_styles": ["default"],
                    "models": [
                        {
                            "value": "default",
                            "resolvedModel": "offline",
                            "displayName": "offline",
                            "description": "The only model",
                        }
                    ],
                    "account": {"tokenSource": "none", "apiKeySource": "none", "apiProvider": "embedded"},
                    "pid": os.getpid(),
                    "current_permission_mode": "plan",
                    "hook_on_failure_supported": True,
                    "session_state": "idle",
                    "capabilities": ["interrupt_receipt_v1", "interrupt_cancel_queued_v1", "msg_lifecycle_v1"],
                },
            )
        )
    ]


async def test_settings_hold_from_then_on(autojump_clock: MockClock) -> None:
    async with open_engine(model=slow()) as host:
        host.send(host.prompt("Which model are you?"))
        await trio.sleep(0.5)
        host.send(host.request(SetModel(model="big")), host.request(SetPermissionMode(mode="acceptEdits")))
        host.send(host.prompt("Which model are you?"))
        await trio.sleep(60)
        host.send(host.request(SetModel(model=None)), host.prompt("Which model are you?"))
    assert host.story == [
        "init",
        "r1: {'model': 'big'}",
        "r2: {'mode': 'acceptEdits'}",
        "status",
        "assistant: I am offline.",
        "result: success completed I am offline.",
        "init",
        "assistant: I am big.",
        "result: success completed I am big.",
        "r3: {'model': 'offline'}",
        "init",
        "assistant: I am offline.",
        "result: success completed I am offline.",
    ]
    inits = [m.data for m in host.said if getattr(m, "subtype", "") in ("init", "status")]
    assert [(m.get("model"), m["permissionMode"]) for m in inits] == [
        ("offline", "default"),
        (None, "acceptEdits"),
        ("big", "acceptEdits"),
        ("offline", "acceptEdits"),
    ]


async def test_what_is_asked_is_answered_once_and_what_is_unknown_is_refused() -> None:
    async with open_engine() as host:
        host.send(
            host.request(SetPermissionMode(mode="yolo")),
            host.request(UnknownRequest(body={"subtype": "get_session_cost"})),
            host.request(GetContextUsage()),
            host.request(McpStatus()),
            host.request(ApplyFlagSettings(settings={})),
            host.request(UnknownRequest(body={"subtype": "bogus"})),
            ControlCancel(request_id="r1"),
            KeepAlive(),
        )
    usage = {
        "categories": [{"id": "messages", "name": "Messages", "tokens": 0, "kind": "used"}],
        "totalTokens": 0,
        "maxTokens": 200_000,
        "percentage": 0,
        "model": "offline",
    }
    modes = "acceptEdits, auto, bypassPermissions, default, dontAsk, plan"
    assert host.story == [
        f"r1: Cannot set permission mode: must be one of {modes}",
        "r2: {'text': 'Total cost: $0.0000\\nTokens: 0 input, 0 output', 'total_cost_usd': 0.0}",
        f"r3: {usage}",
        "r4: {'mcpServers': []}",
        "r5: Unsupported control request subtype: apply_flag_settings",
        "r6: Unsupported control request subtype: bogus",
    ]
    codes = [getattr(m.response, "error_code", None) for m in host.said if isinstance(m, ControlResponse)]
    assert codes == ["invalid_mode", None, None, None, "unsupported_request", "unsupported_request"]


async def test_end_session_ends_it_at_once(autojump_clock: MockClock) -> None:
    async with open_engine(model=slow()) as host:
        host.send(host.prompt("Count to 1000", "p1"))
        await trio.sleep(1.5)
        host.send(host.request(UnknownRequest(body={"subtype": "end_session"})), host.request(McpStatus()))
        await trio.sleep(1)
        assert host.exit == Exit(code=0)
    assert host.story[3:] == ["r1: None", "r2: {'mcpServers': []}"]


async def test_the_end_of_input_finishes_what_waits(autojump_clock: MockClock) -> None:
    async with open_engine(model=slow()) as host:
        host.send(host.prompt("Say one"), host.prompt("Say two"))
        host.end()
    assert [r.result for r in host.results] == ["one", "two"]


async def test_cancelling_stops_at_once_and_leaves_the_transcript_fit(autojump_clock: MockClock) -> None:
    transcripts = Transcripts()
    with trio.move_on_after(5):
        async with open_engine(tools=[nap], transcripts=transcripts, session_id=SESSION) as host:
            host.send(host.prompt("call nap(seconds=60)"))
            await trio.sleep_forever()
    assert trio.current_time() == 5
    model = Scripted(said("ok"))
    async with open_engine(model=model, transcripts=transcripts, resume=SESSION) as host:
        host.send(host.prompt("Hello"))
    roles = [(message["role"], message["content"]) for message in model.requests[0].messages]
    assert roles[2:] == [
        (
            "user",
            [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": "This tool call was cut off when the session ended; whether it took effect is unknown.",
                    "is_error": True,
                }
            ],
        ),
        ("user", "Hello"),
    ]


SESSION = "11111111-1111-4111-8111-111111111111"
