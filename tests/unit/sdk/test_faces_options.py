"""What the vendors' options are to our agents: their defaults, their rules, and what is refused."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import trio

import triologue as tri
from tests.unit.sdk.face_stage import CLIENTS, FACES, OPTIONS, options
from triologue.agents import Qoder
from triologue.errors import UnsupportedOption
from triologue.options import Options
from triologue.sdk import claude, cortex, qoder
from triologue.sdk.claude.options import settled as settled_claude
from triologue.sdk.cortex.options import settled as settled_cortex
from triologue.sdk.qoder.options import settled as settled_qoder

SETTLED: dict[str, Any] = {"claude": settled_claude, "qoder": settled_qoder, "cortex": settled_cortex}


def plain(vendor: str, **more: Any) -> Options:
    settled: Options = SETTLED[vendor](options(vendor, **more))[0]
    return settled


async def allow(tool: str, input: dict[str, Any], context: Any) -> Any:
    return claude.PermissionResultAllow()


def test_no_system_prompt_is_an_empty_one_where_the_vendor_means_that() -> None:
    assert {vendor: plain(vendor).system_prompt for vendor in FACES} == {"claude": "", "qoder": "", "cortex": None}
    for vendor, preset in (("claude", "claude_code"), ("qoder", "qodercli")):
        assert plain(vendor, system_prompt={"type": "preset", "preset": preset}).system_prompt is not None


@pytest.mark.parametrize("vendor", sorted(FACES))
def test_the_defaults_are_plain_options(vendor: str) -> None:
    verbatim = {"verbatim_prompts": False, "system_prompt": ""} if vendor != "cortex" else {}
    assert plain(vendor) == Options(**verbatim)  # type: ignore[arg-type]
    assert type(plain(vendor)) is Options


@pytest.mark.parametrize("vendor", sorted(FACES))
def test_sub_agents_lose_what_is_none(vendor: str) -> None:
    agent = FACES[vendor].AgentDefinition("reviews", "Review.", tools=["Read"])
    given = {"reviewer": agent, "other": {"description": "d", "prompt": "p", "model": None}}
    assert plain(vendor, agents=given).agents == {
        "reviewer": {"description": "reviews", "prompt": "Review.", "tools": ["Read"]},
        "other": {"description": "d", "prompt": "p"},
    }


@pytest.mark.parametrize("vendor", sorted(FACES))
def test_what_has_no_effect_is_taken(vendor: str) -> None:
    assert plain(vendor, max_buffer_size=10) == plain(vendor)


@pytest.mark.parametrize(
    ("vendor", "more"),
    [
        ("claude", {"session_store": object()}),
        ("claude", {"load_timeout_ms": 1}),
        ("claude", {"system_prompt": {"type": "preset", "exclude_dynamic_sections": True}}),
        ("qoder", {"session_store": object()}),
        ("qoder", {"experimental_cloud_agent": {}}),
        ("qoder", {"control_request_timeout_ms": 5}),
        ("cortex", {"mode": "api"}),
        ("cortex", {"api": object()}),
        ("cortex", {"tools": ["Read"]}),
        ("cortex", {"mcp_servers": "servers.json"}),
    ],
)
def test_what_has_no_counterpart_is_refused(vendor: str, more: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedOption):
        plain(vendor, **more)


@pytest.mark.parametrize("vendor", sorted(FACES))
def test_a_transport_is_refused(vendor: str) -> None:
    with pytest.raises(UnsupportedOption, match="cli_path"):
        FACES[vendor].query(prompt="Hello", transport=object())
    with pytest.raises(UnsupportedOption, match="cli_path"):
        CLIENTS[vendor](transport=object())


@pytest.mark.parametrize("vendor", sorted(FACES))
def test_another_vendors_options_are_refused(vendor: str) -> None:
    with pytest.raises(ValueError, match=OPTIONS[vendor].__name__):
        SETTLED[vendor](Options())


@pytest.mark.parametrize("vendor", sorted(FACES))
def test_contradictions_are_value_errors(vendor: str) -> None:
    with pytest.raises(ValueError, match="would both answer"):
        plain(vendor, can_use_tool=allow, permission_prompt_tool_name="mcp__x__y")
    with pytest.raises(ValueError, match="two conversations"):
        plain(vendor, resume="x", continue_conversation=True)


def test_claude_drops_what_its_sdk_drops() -> None:
    assert plain("claude", max_turns=0).max_turns is None
    thinking = plain("claude", thinking={"type": "adaptive"}, max_thinking_tokens=5)
    assert (thinking.thinking, thinking.max_thinking_tokens) == ({"type": "adaptive"}, None)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"permission_mode": "bypassPermissions"}, "lets every tool run"),
        ({"allowed_tools": ["Read", "Read()", "Bash(*)", "Bash(ls:*)", "(x)"]}, "lets Read, Bash run"),
        ({"skills": "all"}, "lets Skill run"),
    ],
)
def test_a_callback_that_is_not_asked_warns(more: dict[str, Any], said: str) -> None:
    with pytest.warns(claude.CanUseToolShadowedWarning, match=said):
        plain("claude", can_use_tool=allow, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain("claude", can_use_tool=allow, allowed_tools=["Bash(ls:*)"], skills=["pdf"])
        plain("claude", **more)


def test_qoder_needs_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QODER_PERSONAL_ACCESS_TOKEN", raising=False)
    monkeypatch.delenv("QODER_SERVICE_ACCOUNT_KEY", raising=False)
    with pytest.raises(qoder.AuthNotConfiguredError) as caught:
        settled_qoder(qoder.QoderAgentOptions())
    assert caught.value.code == "auth_not_configured"
    with pytest.raises(qoder.AuthAccessTokenEnvVarError, match="QODER_PERSONAL_ACCESS_TOKEN"):
        settled_qoder(qoder.QoderAgentOptions(auth=qoder.access_token_from_env()))
    with pytest.raises(qoder.AuthServiceAccountEnvVarError, match="KEY_HERE"):
        settled_qoder(qoder.QoderAgentOptions(auth=qoder.service_account_from_env("KEY_HERE")))
    with pytest.raises(ValueError, match="none of what"):
        settled_qoder(qoder.QoderAgentOptions(auth={"type": "magic"}))
    with pytest.raises(ValueError, match="one"):
        qoder.service_account()


async def test_logins_are_those_of_our_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_HERE", "t")

    async def fetch(request: qoder.JobTokenRequest, context: qoder.JobTokenContext) -> qoder.JobTokenResult:
        assert (request.request_id, request.reason, context.signal.is_set()) == ("r", "expiring", False)
        return qoder.JobTokenResult("job", 5)

    for given, ours in (
        (qoder.access_token("a"), tri.agents.access_token("a")),
        ({"type": "accessToken", "accessToken": "a"}, tri.agents.access_token("a")),
        (qoder.access_token_from_env("TOKEN_HERE"), tri.agents.access_token_from_env("TOKEN_HERE")),
        (
            {"type": "accessToken", "access_token": {"envVar": "TOKEN_HERE"}},
            tri.agents.access_token_from_env("TOKEN_HERE"),
        ),
        (qoder.qodercli_auth(), tri.agents.qodercli_auth()),
        (qoder.service_account(service_account_key="k"), tri.agents.service_account(service_account_key="k")),
    ):
        agent = settled_qoder(qoder.QoderAgentOptions(auth=given))[1]
        assert repr(agent) == repr(Qoder(auth=ours))
    agent = settled_qoder(qoder.QoderAgentOptions(auth=qoder.job_token(fetch)))[1]
    (provide,) = agent.tokens.values()
    assert await provide({"request_id": "r", "reason": "expiring"}) == {"token": "job", "expires_at": 5}


def test_qoder_takes_variables_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNWANTED", "1")
    monkeypatch.setenv("WANTED", "1")
    program = tmp_path / "qodercli"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    settled, agent = settled_qoder(options("qoder", env={"UNWANTED": None, "NEW": "2"}, cli_path=program))
    env = agent.command(settled).env
    assert (env.get("UNWANTED"), env["WANTED"], env["NEW"]) == (None, "1", "2")


def test_what_qoder_has_as_objects_becomes_dicts() -> None:
    evolution = qoder.EvolutionOptions(
        skill=qoder.SkillEvolutionOptions(
            mode="custom", generation=qoder.SkillEvolutionGenerationOptions(max_suggestions=2)
        )
    )
    wanted = {"skill": {"mode": "custom", "generation": {"max_suggestions": 2}}}
    assert plain("qoder", evolution=evolution).evolution == wanted
    changes: list[Any] = []
    told = plain("qoder", on_mcp_status_change=changes.append).on_mcp_status_change
    assert told is not None
    told(tri.McpStatusChange(server_name="s", status="connected"))
    assert changes == [{"type": "mcp_status_change", "server_name": "s", "status": "connected"}]


def test_cortex_refuses_what_its_cli_would_misread() -> None:
    for name, value in (("model", ""), ("cwd", "-x"), ("add_dirs", ["-x"]), ("allowed_tools", [""]), ("resume", "-r")):
        with pytest.raises(cortex.InvalidOptionValueError) as caught:
            plain("cortex", **{name: value})
        assert caught.value.option_name == name
        assert isinstance(caught.value, cortex.CortexCodeSDKError)
    for name, given in (("cwd", 7), ("allowed_tools", None), ("disallowed_tools", "-x"), ("add_dirs", 7)):
        with pytest.raises(tri.InvalidOption, match=f"{name}={given!r} is no"):
            plain("cortex", **{name: given})
    with pytest.raises(ValueError, match="allow_dangerously_skip_permissions"):
        plain("cortex", permission_mode="bypassPermissions")
    assert plain("cortex", mode="cli") == plain("cortex")
    sandbox = plain("cortex", snowflake_sandbox=cortex.SnowflakeSandboxOptions(enabled=True)).snowflake_sandbox
    assert sandbox == {"enabled": True}


def test_options_can_be_copied() -> None:
    given = claude.ClaudeAgentOptions(allowed_tools=["Read"], max_buffer_size=5)
    copied = given.copy()
    copied.allowed_tools.append("Write")
    assert given == claude.ClaudeAgentOptions(allowed_tools=["Read"], max_buffer_size=5)
    assert given.named() == {"allowed_tools": ["Read"], "max_buffer_size": 5}


def test_an_abort_event_is_trios() -> None:
    event = trio.Event()
    assert plain("cortex", abort_event=event).abort_event is event


@pytest.mark.parametrize("vendor", sorted(FACES))
def test_the_options_of_a_face_are_refused_where_options_are_meant(vendor: str) -> None:
    kind = OPTIONS[vendor].__name__
    with pytest.raises(tri.InvalidOption) as caught:
        tri.query("hi", options=options(vendor), agent=tri.Embedded())
    assert str(caught.value) == (
        f"options are an Options(...), not {kind}(...), whose fields mean something else; "
        f"give that one to the query or the client of triologue.sdk.{vendor}"
    )


@pytest.mark.parametrize("vendor", sorted(FACES))
@pytest.mark.parametrize("given", [{"env": {"TOKEN": "sesame"}}, tri.Options(env={"TOKEN": "sesame"})])
def test_what_is_no_options_of_a_face_is_refused_without_what_is_in_it(vendor: str, given: Any) -> None:
    with pytest.raises(tri.InvalidOption) as caught:
        FACES[vendor].query(prompt="hi", options=given)
    told = f"options are {OPTIONS[vendor].__name__}(...), not of the type {type(given).__name__}"
    assert str(caught.value) == told
