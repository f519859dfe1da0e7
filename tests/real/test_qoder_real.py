"""What the real Qoder CLI does with our command lines, as far as it goes without an account, which is not far."""

import importlib.util
import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

import triologue as tri
from tests.support.needs import give_up
from tests.support.processes import MARKER, wait_none_with
from triologue.agents import Qoder, access_token_from_env, job_token, open_carrier, qodercli_auth
from triologue.agents.qoder_argv import PERMISSION_MODES
from triologue.cli.doctor import TESTED
from triologue.cli.handshake import start_once
from triologue.errors import AgentStartError, InvalidOption, NotLoggedIn, TriologueError
from triologue.messages import FetchJobToken
from triologue.options import HookMatcher, Options
from triologue.wire import Dialogue

PATIENCE = 60.0
ID = "688c0727-6f95-4d66-8683-e80df56b0870"
NO_LOGIN = 'No qodercli login found. Run "qodercli login" first.'


def find_qodercli() -> Path:
    """The Qoder CLI: `$TRIOLOGUE_TEST_QODER` whatever it names, else the one inside an installed qoder_agent_sdk."""
    if chosen := os.environ.get("TRIOLOGUE_TEST_QODER"):
        return Path(chosen)
    spec = importlib.util.find_spec("qoder_agent_sdk")
    bundled = Path(spec.origin).parent / "_bundled" / "qodercli" if spec is not None and spec.origin else None
    if bundled is None or not bundled.is_file():
        give_up("the Qoder CLI is not installed (`pip install qoder-agent-sdk` brings one)")
    return bundled


class Place(NamedTuple):
    """A home, a folder to work in, and an environment that inherits nothing and reaches nothing."""

    cli: Path
    home: Path
    cwd: Path
    env: dict[str, str]

    def options(self, **fields: object) -> Options:
        return Options(**{"cli_path": self.cli, "cwd": self.cwd, **fields})  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    cli, home, cwd, temporary = find_qodercli(), tmp_path / "home", tmp_path / "work", tmp_path / "tmp"
    for folder in (home / ".qoder", cwd, temporary):
        folder.mkdir(parents=True)
    quiet = {"general": {"enableAutoUpdate": False}, "privacy": {"usageStatisticsEnabled": False}}
    (home / ".qoder" / "settings.json").write_text(json.dumps(quiet))
    nowhere = "http://127.0.0.1:9"  # the port of `discard`, where nobody listens
    env = {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), nowhere),
        MARKER: str(tmp_path),
    }
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    yield Place(cli, home, cwd, env)
    left = [path.name for path in temporary.iterdir() if path.name.startswith("triologue-auth-")]
    assert left == []


async def refused(place: Place, options: Options) -> TriologueError:
    """Why it does not start. Our own checks are left out."""
    with pytest.raises(TriologueError) as caught:
        await start_once(Qoder(environ=place.env), options, patience=PATIENCE)
    await wait_none_with(place.env[MARKER])
    return caught.value


def test_its_version_is_one_that_is_known_here(place: Place) -> None:
    done = subprocess.run(
        [place.cli, "--version"], env=place.env, cwd=place.cwd, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in TESTED["qoder"]


async def test_without_a_login_it_says_so_and_leaves(place: Place) -> None:
    error = await refused(place, place.options())
    assert (type(error), str(error)) == (
        NotLoggedIn,
        (
            f"the Qoder CLI has no account ({NO_LOGIN}); give Qoder(auth=...), or run `qodercli login` "
            f"(its config folder is {str(place.home / '.qoder')!r})"
        ),
    )


@pytest.mark.slow
async def test_without_a_login_it_leaves_with_41(place: Place) -> None:
    agent, options = Qoder(environ=place.env), place.options()
    async with (
        open_carrier(grace=PATIENCE) as carrier,
        agent.connect(options, sink=lambda batch: None, carrier=carrier) as connection,
    ):
        connection.send(Dialogue().ask(agent.initialize(options)))
        with trio.fail_after(PATIENCE):
            assert (await connection.wait_exit()).code == 41


@pytest.mark.slow
async def test_a_turn_fails_with_that_reason(place: Place) -> None:
    async with tri.open_manager(Qoder(auth=qodercli_auth(), environ=place.env), options=place.options()) as manager:
        with pytest.raises(tri.TurnFailed) as caught:
            await manager.session("chat").ask("hello")
    assert isinstance(caught.value.__cause__, NotLoggedIn)
    await wait_none_with(place.env[MARKER])


@pytest.mark.slow
async def test_it_reads_the_file_that_only_this_user_can_read(place: Place, tmp_path: Path) -> None:
    wrapper, seen = tmp_path / "wrapper", tmp_path / "seen"
    wrapper.write_text(
        f'#!/bin/sh\nstat -c "%a %n" "$QODER_SDK_AUTH_PAYLOAD_FILE" >"{seen}"\nexec "{place.cli}" "$@"\n'
    )
    wrapper.chmod(0o755)
    await refused(place, place.options(cli_path=wrapper))
    mode, path = seen.read_text().split()
    assert (mode, Path(path).parent.exists()) == (oct(stat.S_IRUSR | stat.S_IWUSR)[2:], False)


async def test_a_variable_without_a_token_starts_nothing(place: Place) -> None:
    with pytest.raises(NotLoggedIn, match="QODER_PERSONAL_ACCESS_TOKEN is not set"):
        await start_once(Qoder(auth=access_token_from_env(), environ=place.env), place.options(), patience=PATIENCE)


async def test_cancelled_while_it_starts_it_is_gone_with_its_file(place: Place) -> None:
    agent, options = Qoder(environ=place.env), place.options()
    async with open_carrier(grace=PATIENCE) as carrier:
        with trio.CancelScope() as scope:
            async with agent.connect(options, sink=lambda batch: None, carrier=carrier):
                scope.cancel()
                await trio.sleep_forever()
    assert scope.cancelled_caught
    await wait_none_with(place.env[MARKER])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "kind", "said"),
    [
        ({"session_id": "nope"}, InvalidOption, "Invalid session ID. Must be a valid UUID."),
        ({"fork_session": True}, InvalidOption, "--fork-session must be used with --continue or --resume."),
        ({"resume_session_at": ID}, InvalidOption, "--resume-session-at must be used with --resume."),
        ({"continue_conversation": True, "resume": ID}, InvalidOption, "Cannot combine --continue, --resume"),
        ({"resume": ID, "session_id": ID}, InvalidOption, "--session-id can only be used with --continue or --resume"),
        ({"extra_args": {"nonsense": None}}, AgentStartError, "error: unknown option '--nonsense'"),
        ({"extra_args": {"permission-mode": "x"}}, AgentStartError, 'permission-mode, Given: "x"'),
        ({"settings": "/nowhere.json"}, AgentStartError, "Error: Settings file not found: /nowhere.json"),
        ({"settings": "/"}, AgentStartError, "Error: Cannot read settings file /: EISDIR"),
        ({"settings": "/dev/null"}, AgentStartError, "Error in /dev/null: "),
        (
            {"settings": "/nowhere.json", "env": {"FORCE_COLOR": "1"}},
            AgentStartError,
            "started with: Error: Settings file not found",
        ),
        ({"env": {"QODER_CONFIG_DIR_NAME": ".git"}}, AgentStartError, "Error: QODER_CONFIG_DIR_NAME must"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_it_refuses_is_told(
    place: Place, fields: dict[str, object], kind: type[TriologueError], said: str
) -> None:
    error = await refused(place, place.options(**fields))
    assert type(error) is kind
    assert said in str(error)
    if isinstance(error, AgentStartError):
        assert error.is_final


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mcp_servers": "/nowhere.json"}, "[mcp-config] Failed to load /nowhere.json: ENOENT"),
        ({"mcp_servers": "{nope}"}, "[mcp-config] Invalid inline JSON for --mcp-config"),
        ({"system_prompt": {"type": "file", "path": "/nowhere"}}, "Error: System prompt file not found: /nowhere"),
        ({"system_prompt": {"type": "file", "path": "/"}}, "Error: Error reading system prompt file: EISDIR"),
        ({"extra_args": {"reasoning-effort": "x"}}, "Error: Invalid reasoning effort: x."),
        ({"extra_args": {"thinking-budget": "x"}}, "Error: Invalid thinking budget: x."),
        ({"proxy": "nope://"}, "TypeError: proxy must use http://"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_it_refuses_once_it_has_an_account(
    place: Place, alone: Path, fields: dict[str, object], said: str
) -> None:
    agent = Qoder(auth=job_token(lambda request: "a token that nobody sees"), environ=place.env)
    with pytest.raises(AgentStartError) as caught:
        await start_once(agent, place.options(cli_path=alone, **fields), patience=PATIENCE)
    assert str(caught.value).startswith(f"the Qoder CLI refused what it was started with: {said}")
    assert caught.value.is_final
    await wait_none_with(place.env[MARKER])


async def stop(given: object, tool_use_id: str | None, context: object) -> dict[str, object]:
    return {}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        *({"permission_mode": mode} for mode in PERMISSION_MODES),
        {"session_id": ID, "agent": "x", "allowed_mcp_server_names": ["a", "-b"], "proxy": "http://127.0.0.1:9"},
        {
            "resume": ID,
            "fork_session": True,
            "resume_session_at": ID,
            "resume_drops_turn": ID,
            "setting_sources": [],
            "system_prompt": "-v",
            "tools": [],
            "allow_dangerously_skip_permissions": True,
            "include_partial_messages": True,
            "include_hook_events": True,
        },
        {
            "tools": ["Bash"],
            "allowed_tools": ["Bash(ls:*)", "-x"],
            "disallowed_tools": ["Write"],
            "system_prompt": {"type": "preset", "append": "x"},
            "skills": ["pdf"],
            "max_turns": 2,
            "model": "auto",
            "permission_prompt_tool_name": "stdio",
            "mcp_servers": {"mine": [add]},
            "strict_mcp_config": True,
            "add_dirs": ["/tmp"],
            "plugins": [{"type": "local", "path": "/tmp"}],
            "enable_file_checkpointing": True,
            "security_scan": {"l1_static_check": False},
            "hooks": {"Stop": [HookMatcher(hooks=[stop])]},
            "memory": {"mode": "native"},
        },
    ],
    ids=lambda fields: "-".join(map(str, fields.values()))[:40],
)
async def test_every_word_of_ours_is_one_that_it_knows(place: Place, fields: dict[str, object]) -> None:
    options = place.options(**fields)
    Qoder(environ=place.env).check(options)
    assert type(await refused(place, options)) is NotLoggedIn


@pytest.fixture
def alone(place: Place, tmp_path: Path) -> Path:
    """The CLI in a network of its own, in which there is nobody: with tokens of its host it begins all the same."""
    into = ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*into, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system gives no network namespace")
    wrapper = tmp_path / "alone"
    wrapper.write_text(f'#!/bin/sh\nexec {" ".join(into)} "{place.cli}" "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


async def test_the_handshake_with_tokens_hooks_and_tools_of_this_process(place: Place, alone: Path) -> None:
    reasons: list[str] = []
    hooked: list[str] = []

    async def fetch(request: FetchJobToken) -> str:
        reasons.append(request.reason)
        return "a token that nobody sees"

    async def begun(given: dict[str, Any], tool_use_id: str | None, context: object) -> dict[str, Any]:
        hooked.append(given["hook_event_name"])
        return {}

    options = place.options(
        cli_path=alone, mcp_servers={"calc": [add]}, hooks={"SessionStart": [HookMatcher(hooks=[begun])]}
    )
    agent = Qoder(auth=job_token(fetch), environ=place.env)
    async with tri.open_manager(agent, options=options) as manager:
        session = manager.session("chat")
        assert (await session.set_plan_mode(True)).active
        assert (await session.get_plan_mode()).active
        assert not (await session.set_plan_mode(False)).active
        await session.set_permission_mode("acceptEdits")
        servers = {server.name: server.status for server in (await session.get_mcp_status()).mcp_servers}
        assert servers["calc"] == "connected"
        assert (hooked, reasons[:1]) == (["SessionStart"], ["initial"])
    await wait_none_with(place.env[MARKER])


@pytest.mark.slow
async def test_an_end_of_input_ends_it_cleanly(place: Place, alone: Path) -> None:
    agent = Qoder(auth=job_token(lambda request: "a token that nobody sees"), environ=place.env)
    async with open_carrier(grace=PATIENCE) as carrier:
        async with agent.connect(place.options(cli_path=alone), sink=lambda batch: None, carrier=carrier) as connection:
            pass
        assert (await connection.wait_exit()).code == 0


@pytest.mark.slow
async def test_it_writes_its_memory_down_before_it_leaves(
    place: Place, alone: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Qoder(auth=job_token(lambda request: "a token that nobody sees"), environ=place.env)
    memory = {"mode": "native", "generation": {"on_result": print}, "consumption": {"on_result": print}}
    evolution = {"skill": {"mode": "native", "generation": {"on_result": print}}}
    options = place.options(cli_path=alone, memory=memory, evolution=evolution)
    caplog.set_level("INFO", "triologue.session")
    async with tri.open_manager(agent, options=options) as manager:
        session = manager.session("chat")
        told = await session.get_server_info()
        assert told.memory is not None
        assert (told.memory["enabled"], told.memory["requester"]) == (True, "sdk")
        await session.flush_memory()
        await session.flush_skill_evolution()
    # It was asked for both once more, and granted them: a refusal, and an answer that is too late, are noted.
    assert caplog.messages == []
    await wait_none_with(place.env[MARKER])
