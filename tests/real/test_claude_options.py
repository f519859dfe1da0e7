"""Options of Claude Code that the real CLI has to know: it starts with each, and does what they say."""

from typing import Any

import pytest

from tests.support.real_cli import CleanPlace
from tests.support.talk import open_talk
from triologue.agents import ClaudeCode
from triologue.messages import ControlRequest, HookCallback, InitMessage
from triologue.options import HookMatcher, Options

pytestmark = [pytest.mark.real_cli, pytest.mark.slow]


async def hook(given: Any, tool_use_id: str | None, context: object) -> dict[str, Any]:
    return {}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.parametrize(
    "options",
    [
        Options(
            task_budget={"total": 50_000},
            include_hook_events=True,
            forward_subagent_text=True,
            allow_dangerously_skip_permissions=True,
            permission_mode="plan",
            permission_prompt_tool_name="stdio",
            client_app="bot/1",
        ),
        Options(
            skills=["pdf"],
            settings={"includeCoAuthoredBy": False},
            sandbox={"enabled": False},
            agents={"reviewer": {"description": "d", "prompt": "p"}},
        ),
        Options(skills="all", settings='{"includeCoAuthoredBy": false}', plugins=[], add_dirs=["/tmp"]),
    ],
    ids=["limits and rights", "some skills", "every skill"],
)
async def test_it_begins_a_turn_with(place: CleanPlace, options: Options) -> None:
    ClaudeCode(environ=place.env).check(options)
    async with open_talk(place, options) as talk:
        await talk.initialize()
        assert (await talk.turn("[[say hello]]")).result == "hello"
        (init,) = talk.all(InitMessage)
        assert init.permission_mode == (options.permission_mode or "default")


async def test_a_hook_is_called_by_the_id_that_the_handshake_gave_it(place: CleanPlace) -> None:
    options = Options(hooks={"Stop": [HookMatcher(hooks=[hook])], "UserPromptSubmit": [HookMatcher(hooks=[hook])]})
    async with open_talk(place, options) as talk:
        await talk.initialize()
        talk.prompt("[[say hello]]")
        asked = await talk.wait(ControlRequest, lambda frame: isinstance(frame.request, HookCallback))
        assert isinstance(asked.request, HookCallback)
        assert (asked.request.callback_id, asked.request.input["hook_event_name"]) == ("hook_1", "UserPromptSubmit")
