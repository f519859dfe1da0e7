"""What the real Claude Code CLI does with our command lines and frames; the model behind it is a stub on loopback."""

import uuid
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.support.real_cli import CleanPlace, open_clean_place
from tests.support.talk import open_talk
from triologue.agents.claude_code import ClaudeCode
from triologue.errors import AgentStartError, InvalidOption, SessionIdInUse, SessionNotFound, TriologueError
from triologue.messages import (
    AssistantMessage,
    CommandLifecycle,
    ControlError,
    ControlResponse,
    ControlSuccess,
    ImageBlock,
    InitMessage,
    Interrupt,
    ResultMessage,
    SessionStateMessage,
    SetModel,
    SetPermissionMode,
    StatusMessage,
    StreamEvent,
    TextBlock,
    UserMessage,
    text,
)
from triologue.options import Options
from triologue.wire import Dialogue

pytestmark = [pytest.mark.real_cli, pytest.mark.slow]

# 1 x 1, red.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg=="


@pytest.fixture
async def place() -> AsyncGenerator[CleanPlace]:
    async with open_clean_place() as place:
        yield place


async def refused(place: CleanPlace, options: Options) -> TriologueError:
    """Why it does not start with these options."""
    async with open_talk(place, options) as talk:
        exit = await talk.connection.wait_exit()
        assert exit.code == 1
        assert talk.all(ControlResponse) == []
        refusals = talk.all(ResultMessage)
        return ClaudeCode(environ=place.env).diagnose(exit, refusals[0] if refusals else None, options)


async def test_the_handshake_is_answered_before_any_prompt(place: CleanPlace) -> None:
    async with open_talk(place) as talk:
        answer = await talk.initialize()
        assert (answer["session_state"], answer["current_permission_mode"]) == ("idle", "default")
        assert answer["pid"] == talk.connection.pid
        assert talk.all(InitMessage) == []
    assert (await talk.connection.wait_exit()).code == 0
    assert place.api.strays == []


async def test_one_turn_from_its_acceptance_to_idle(place: CleanPlace) -> None:
    async with open_talk(place) as talk:
        await talk.initialize()
        prompt = talk.prompt("[[say hello]]")
        await talk.wait(CommandLifecycle, lambda frame: frame.state == "completed")
        await talk.wait(SessionStateMessage, lambda frame: frame.state == "idle")
        kinds = (CommandLifecycle, SessionStateMessage, InitMessage, AssistantMessage, ResultMessage)
        order = [message for message in talk.said if isinstance(message, kinds)]
        result = await talk.wait_result(prompt)
        assert (result.subtype, result.result, result.user_message_uuids) == ("success", "hello", [prompt])
        assert [text(message) for message in talk.all(AssistantMessage)] == ["hello"]
        (init,) = talk.all(InitMessage)
        assert {"interrupt_receipt_v1", "interrupt_cancel_queued_v1"} <= set(init.capabilities or [])
        assert [frame.state for frame in talk.all(SessionStateMessage)] == ["running", "idle"]
        states = [frame.state for frame in talk.all(CommandLifecycle) if frame.command_uuid == prompt]
        assert states == ["queued", "started", "completed"]
        assert isinstance(order[-1], SessionStateMessage)
        assert place.api.turns[0].headers["user-agent"].endswith("(external, sdk-cli, client-app/triologue)")


async def test_a_prompt_is_data(place: CleanPlace) -> None:
    (place.cwd / "secret.txt").write_text("xyzzy")
    async with open_talk(place) as talk:
        await talk.turn("/cost")
        await talk.turn("what is in @secret.txt?")
        assert place.api.turns[-1].prompts == ("/cost", "what is in @secret.txt?")
        assert "xyzzy" not in str(place.api.turns[-1].body)
    async with open_talk(place, Options(verbatim_prompts=False)) as talk:
        assert (await talk.turn("/cost")).num_turns == 0


async def test_a_chosen_id_is_the_sessions_and_can_be_resumed_but_not_taken_again(place: CleanPlace) -> None:
    chosen = str(uuid.uuid4())
    async with open_talk(place, Options(session_id=chosen)) as talk:
        assert (await talk.turn("first")).session_id == chosen
        assert talk.all(InitMessage)[0].session_id == chosen
    async with open_talk(place, Options(resume=chosen)) as talk:
        result = await talk.turn("second")
        assert (result.session_id, result.result) == (chosen, "echo[2]: first | second")
    async with open_talk(place, Options(continue_conversation=True)) as talk:
        result = await talk.turn("third")
        assert (result.session_id, result.result) == (chosen, "echo[3]: first | second | third")
    assert isinstance(await refused(place, Options(session_id=chosen)), SessionIdInUse)


async def test_a_fork_gets_the_chosen_id_and_leaves_the_original_alone(place: CleanPlace) -> None:
    original, copy = str(uuid.uuid4()), str(uuid.uuid4())
    async with open_talk(place, Options(session_id=original)) as talk:
        await talk.turn("first")
    async with open_talk(place, Options(resume=original, fork_session=True, session_id=copy)) as talk:
        result = await talk.turn("in the copy")
        assert (result.session_id, result.result) == (copy, "echo[2]: first | in the copy")
    async with open_talk(place, Options(resume=original, fork_session=True)) as talk:
        assert (await talk.turn("another")).session_id not in (original, copy)
    async with open_talk(place, Options(resume=original)) as talk:
        assert (await talk.turn("in the original")).result == "echo[2]: first | in the original"


async def test_a_conversation_can_be_taken_up_from_the_middle(place: CleanPlace) -> None:
    original = str(uuid.uuid4())
    async with open_talk(place, Options(session_id=original)) as talk:
        await talk.turn("first")
        middle = talk.all(AssistantMessage)[0].uuid
        await talk.turn("second")
    async with open_talk(place, Options(resume=original, resume_session_at=middle, fork_session=True)) as talk:
        assert (await talk.turn("instead")).result == "echo[2]: first | instead"
    error = await refused(place, Options(resume=original, resume_session_at=str(uuid.uuid4())))
    assert isinstance(error, InvalidOption)
    assert "has no message with this uuid" in str(error)


async def test_continue_without_history_starts_afresh(place: CleanPlace) -> None:
    async with open_talk(place, Options(continue_conversation=True)) as talk:
        assert (await talk.turn("anyone?")).result == "echo[1]: anyone?"


async def test_an_unknown_conversation_is_refused_with_a_result_in_place_of_the_handshake(place: CleanPlace) -> None:
    missing = str(uuid.uuid4())
    options = Options(resume=missing)
    async with open_talk(place, options) as talk:
        talk.connection.send(Dialogue().ask(ClaudeCode().initialize(options)))
        exit = await talk.connection.wait_exit()
        (refusal,) = talk.said
        assert isinstance(refusal, ResultMessage)
        assert (exit.code, refusal.num_turns, refusal.session_id) == (1, 0, missing)
    error = await refused(place, options)
    assert isinstance(error, SessionNotFound)
    assert (error.session_id, error.cwd, error.config_dir) == (missing, place.cwd, str(place.home / ".claude"))
    assert isinstance(await refused(place, Options(resume=missing, fork_session=True)), SessionNotFound)
    assert isinstance(await refused(place, Options(resume="no such title")), SessionNotFound)


async def test_what_the_cli_itself_refuses_at_the_start(place: CleanPlace) -> None:
    assert isinstance(await refused(place, Options(session_id="nope")), InvalidOption)  # when nobody called `check`
    for options, said in (
        (Options(extra_args={"bogus-flag": None}), "error: unknown option '--bogus-flag'"),
        (Options(extra_args={"max-turns": "x"}), "error: option '--max-turns <turns>' argument 'x' is invalid"),
        (Options(settings="/nowhere.json"), "Error: Settings file not found: /nowhere.json"),
        (Options(mcp_servers="/nowhere.json"), "MCP config file not found: /nowhere.json"),
        (Options(system_prompt={"type": "file", "path": "/nowhere"}), "Error: System prompt file not found: /nowhere"),
        (Options(settings="/"), "Error: Cannot use settings file (EISDIR"),
        (Options(system_prompt={"type": "file", "path": "/"}), "Error reading system prompt file: EISDIR"),
        (Options(extra_args={"agents": "{"}), "Error: Invalid --agents configuration:\ninvalid JSON"),
        (Options(settings="/nowhere.json", env={"FORCE_COLOR": "1"}), "with: Error: Settings file not found"),
    ):
        error = await refused(place, options)
        assert isinstance(error, AgentStartError)
        assert error.is_final
        assert said in str(error)


async def test_every_flag_is_accepted(place: CleanPlace) -> None:
    stderr: list[str] = []
    options = Options(
        session_id=str(uuid.uuid4()),
        max_turns=3,
        max_budget_usd=1e-05,
        model="-m",
        fallback_model="-f,haiku",
        system_prompt="- be brief",
        effort="low",
        thinking={"type": "adaptive", "display": "omitted"},
        betas=["context-1m-2025-08-07", "context-1m-2025-08-07"],
        output_format={"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}},
        include_partial_messages=True,
        tools=["Bash", "Read"],
        allowed_tools=["Bash(git log:*)", "Read"],
        disallowed_tools=["Write", "Edit"],
        permission_mode="plan",
        permission_prompt_tool_name="stdio",
        mcp_servers={},
        strict_mcp_config=True,
        agents={"reviewer": {"description": "d", "prompt": "p", "tools": None}},
        plugins=[{"type": "local", "path": place.home}],
        add_dirs=[place.home],
        settings="{}",
        setting_sources=[],
        extra_args={"replay-user-messages": None, "name": "-n"},
        enable_file_checkpointing=True,
        stderr=stderr.append,
    )
    ClaudeCode().check(options)
    async with open_talk(place, options) as talk:
        answer = await talk.initialize()
    assert stderr == []
    assert answer["current_permission_mode"] == "plan"
    assert "reviewer" in [agent["name"] for agent in answer["agents"]]


async def test_the_system_prompt_is_the_agents_own_unless_it_is_given(place: CleanPlace) -> None:
    async def system_of(system_prompt: Any) -> str:
        async with open_talk(place, Options(system_prompt=system_prompt)) as talk:
            await talk.turn("hi")
            return "\n".join(block["text"] for block in place.api.turns[-1].body["system"])

    own = await system_of(None)
    assert len(own) > 1_000
    assert len(await system_of("Only this.")) < 1_000
    more = await system_of({"type": "preset", "preset": "claude_code", "append": "And this."})
    assert len(more) > len(own) - 1_000
    assert "And this." in more


async def test_another_system_prompt_applies_after_a_resume(place: CleanPlace) -> None:
    conversation = str(uuid.uuid4())
    for options in (
        Options(session_id=conversation),
        Options(resume=conversation, system_prompt="Now this."),
        Options(resume=conversation, system_prompt={"type": "preset", "append": "And that."}),
    ):
        async with open_talk(place, options) as talk:
            await talk.initialize()
            await talk.turn("hi")
    systems = ["\n".join(block["text"] for block in request.body["system"]) for request in place.api.turns]
    assert [("Now this." in system, "And that." in system) for system in systems] == [
        (False, False),
        (True, False),
        (False, True),
    ]


async def test_without_an_account_the_handshake_succeeds_and_the_turn_fails(place: CleanPlace) -> None:
    async with open_talk(place, Options(env={"ANTHROPIC_API_KEY": ""})) as talk:
        await talk.initialize()
        result = await talk.turn("hi")
        assert (result.subtype, result.is_error, result.terminal_reason) == ("success", True, "api_error")
        assert [message.error for message in talk.all(AssistantMessage)] == ["authentication_failed"]


async def test_a_turn_that_it_begins_by_itself_follows_idle_and_names_its_origin(place: CleanPlace) -> None:
    command = '{"command": "sleep 0.2; echo done", "run_in_background": true}'
    async with open_talk(place, Options(allowed_tools=["Bash"])) as talk:
        await talk.turn(f"[[tool Bash {command}]] [[say started]]")
        unasked = await talk.wait(ResultMessage, lambda result: result.origin is not None)
        await talk.wait(SessionStateMessage, lambda frame: talk.said.index(frame) > talk.said.index(unasked))
        assert unasked.origin is not None
        assert (unasked.origin["kind"], unasked.user_message_uuids) == ("task-notification", None)
        assert [frame.state for frame in talk.all(SessionStateMessage)] == ["running", "idle"] * 2


async def test_the_limit_of_round_trips_is_per_prompt_and_leaves_the_process_usable(place: CleanPlace) -> None:
    (place.cwd / "a.txt").write_text("A")
    read = f'[[tool Read {{"file_path": "{place.cwd}/a.txt"}}]]'
    async with open_talk(place, Options(max_turns=2)) as talk:
        for _ in range(2):
            result = await talk.turn(read * 5)
            assert (result.subtype, result.is_error, result.terminal_reason) == ("error_max_turns", True, "max_turns")
        assert (await talk.turn("[[say still here]]")).result == "still here"


async def test_pictures_reach_the_model(place: CleanPlace) -> None:
    picture = ImageBlock(source={"type": "base64", "media_type": "image/png", "data": PNG})
    async with open_talk(place) as talk:
        result = await talk.turn([TextBlock(text="[[say I see]]"), picture])
        assert result.result == "I see"
        blocks = [block for message in place.api.turns[0].body["messages"] for block in message["content"]]
        assert "image" in [block["type"] for block in blocks if isinstance(block, dict)]


async def test_partial_messages_come_before_the_whole_one(place: CleanPlace) -> None:
    async with open_talk(place, Options(include_partial_messages=True)) as talk:
        await talk.turn("[[words 5]]")
        partial = "".join(text(event) for event in talk.all(StreamEvent))
        (whole,) = talk.all(AssistantMessage)
        assert partial == text(whole) != ""
        first = next(message for message in talk.said if isinstance(message, StreamEvent) and text(message))
        assert talk.said.index(first) < talk.said.index(whole)


async def test_model_and_permission_mode_change_between_turns(place: CleanPlace) -> None:
    async with open_talk(place, Options(model="model-a")) as talk:
        await talk.turn("[[say 1]]")
        assert isinstance(await talk.ask(SetModel(model="model-b")), ControlSuccess)
        assert isinstance(await talk.ask(SetPermissionMode(mode="plan")), ControlSuccess)
        assert (
            await talk.wait(StatusMessage, lambda frame: frame.permission_mode is not None)
        ).permission_mode == "plan"
        await talk.turn("[[say 2]]")
        assert [request.body["model"] for request in place.api.turns] == ["model-a", "model-b"]
        inits = talk.all(InitMessage)
        assert [(init.model, init.permission_mode) for init in inits] == [("model-a", "default"), ("model-b", "plan")]
        answer = await talk.ask(SetPermissionMode(mode="bogus"))
        assert isinstance(answer, ControlError)
        assert answer.error_code == "invalid_mode"


async def test_an_interrupt_is_answered_then_the_turn_ends_and_the_next_one_runs(place: CleanPlace) -> None:
    async with open_talk(place) as talk:
        stopped = talk.prompt("[[say begun]] [[wait gate]] [[say never]]")
        await place.api.wait_reached("gate")
        receipt = await talk.ask(Interrupt())
        result = await talk.wait_result(stopped)
        assert isinstance(receipt, ControlSuccess)
        assert receipt.response == {"still_queued": []}
        assert (result.subtype, result.is_error, result.terminal_reason) == (
            "error_during_execution",
            True,
            "aborted_streaming",
        )
        answered = next(i for i, message in enumerate(talk.said) if isinstance(message, ControlResponse))
        assert answered < talk.said.index(result)
        assert "[Request interrupted by user]" in [text(message) for message in talk.all(UserMessage)]
        assert (await talk.turn("[[say onwards]]")).result == "onwards"


async def test_exit_code_1_repeats_that_the_last_result_was_an_error(place: CleanPlace) -> None:
    async with open_talk(place) as talk:
        assert (await talk.turn('[[error 400 "no"]]')).is_error
        talk.connection.stop(eof=True)
        assert (await talk.connection.wait_exit()).code == 1


async def test_prompts_with_priority_later_wait_for_the_turn_that_runs(place: CleanPlace) -> None:
    async with open_talk(place, Options(allowed_tools=["Bash"])) as talk:
        first = talk.prompt('[[tool Bash {"command": "true"}]] [[wait gate]] [[say one]]')
        await place.api.wait_reached("gate")
        second = talk.prompt("[[say two]]")
        await talk.wait(CommandLifecycle, lambda frame: frame.command_uuid == second)
        place.api.release("gate")
        results = [await talk.wait_result(prompt) for prompt in (first, second)]
        assert [(result.result, result.user_message_uuids) for result in results] == [
            ("one", [first]),
            ("two", [second]),
        ]
