"""Which starts may renew a log-in that is kept on disk, and which agents are the same one."""

import pwd
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import triologue as tri
from triologue.options import Options
from triologue.ports import Agent, Exit, KeepsLogins

HOME = {"HOME": "/home/me"}


def login_of(agent: Agent, **options: Any) -> str | None:
    assert isinstance(agent, KeepsLogins)
    return agent.kept_login(Options(**options))


@pytest.mark.parametrize(
    ("agent", "where"),
    [
        pytest.param(tri.ClaudeCode(environ=HOME), "/home/me/.claude", id="Claude Code"),
        pytest.param(
            tri.ClaudeCode(environ={**HOME, "CLAUDE_CODE_USE_BEDROCK": "0"}), "/home/me/.claude", id="no Bedrock"
        ),
        pytest.param(tri.ClaudeCode(environ={**HOME, "CLAUDE_CONFIG_DIR": "/else"}), "/else", id="another folder"),
        pytest.param(tri.Qoder(environ=HOME), "/home/me/.qoder", id="Qoder"),
        pytest.param(tri.CortexCode(environ=HOME), "/home/me/.snowflake#", id="Cortex Code"),
    ],
)
def test_an_account_that_is_kept_on_disk_may_be_renewed(agent: Agent, where: str) -> None:
    assert login_of(agent) == where


@pytest.mark.parametrize("agent", [tri.ClaudeCode(environ=HOME), tri.Qoder(environ=HOME)], ids=repr)
@pytest.mark.parametrize(("config", "where"), [("cfg", "/srv/a/cfg"), ("", "/srv/a")])
def test_a_relative_config_folder_is_another_one_in_each_folder(agent: Agent, config: str, where: str) -> None:
    env = {"CLAUDE_CONFIG_DIR": config, "QODER_CONFIG_DIR": config}
    assert login_of(agent, cwd="/srv/a", env=env) == where


@pytest.mark.parametrize(
    ("agent", "where"),
    [
        (tri.ClaudeCode(environ={}), "~/.claude"),
        (tri.Qoder(environ={}), "~/.qoder"),
        (tri.CortexCode(environ={}), "~/.snowflake#"),
    ],
)
def test_a_user_without_a_home_has_no_other_place(agent: Agent, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number which its list of users lacks."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    assert login_of(agent) == where
    said = agent.diagnose(Exit(code=1, stderr_tail="no home"), None, Options())
    assert "no home" in str(said)


def test_each_connection_has_a_log_in_of_its_own() -> None:
    agent = tri.CortexCode(environ=HOME)
    assert [login_of(agent, connection=name) for name in "ab"] == ["/home/me/.snowflake#a", "/home/me/.snowflake#b"]


@pytest.mark.parametrize(
    ("make", "variable"),
    [
        (tri.ClaudeCode, "ANTHROPIC_API_KEY"),
        (tri.ClaudeCode, "ANTHROPIC_AUTH_TOKEN"),
        (tri.ClaudeCode, "CLAUDE_CODE_OAUTH_TOKEN"),
        (tri.ClaudeCode, "CLAUDE_CODE_USE_BEDROCK"),
        (tri.ClaudeCode, "CLAUDE_CODE_USE_VERTEX"),
        (tri.Qoder, "QODER_PERSONAL_ACCESS_TOKEN"),
        (tri.CortexCode, "SNOWFLAKE_PASSWORD"),
    ],
)
def test_what_the_environment_has_is_not(make: Callable[..., Agent], variable: str) -> None:
    assert login_of(make(environ={**HOME, variable: "1"})) is None
    assert login_of(make(environ=HOME), env={variable: "1"}) is None


def test_nor_what_the_program_is_given() -> None:
    assert login_of(tri.Qoder(auth=tri.access_token("secret"), environ=HOME)) is None


@pytest.mark.parametrize("make", [tri.ClaudeCode, tri.Qoder, tri.CortexCode])
@pytest.mark.parametrize("environ", [None, HOME])
def test_agents_that_are_made_alike_are_equal(make: Callable[..., Agent], environ: Mapping[str, str] | None) -> None:
    assert {make(environ=environ), make(environ=environ)} == {make(environ=environ)}
    assert make(environ=environ) != make(environ={"HOME": "/home/you"})
    assert make(environ=environ) != object()
