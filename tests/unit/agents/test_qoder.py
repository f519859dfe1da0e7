"""The Qoder dialect beside its command line: the account, the handshake, frames, the environment, and its last words."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from tests.unit.agents.programs import PATIENCE, Ear
from triologue.agents import (
    Qoder,
    access_token,
    access_token_from_env,
    job_token,
    open_carrier,
    qodercli_auth,
    service_account,
    service_account_from_env,
)
from triologue.agents.qoder import environment
from triologue.agents.qoder_auth import payload, payload_file
from triologue.errors import (
    AgentCrashed,
    AgentStartError,
    InvalidOption,
    NotLoggedIn,
    SessionIdInUse,
    SessionNotFound,
    TriologueError,
)
from triologue.messages import (
    CanUseTool,
    ControlRequest,
    FetchJobToken,
    FetchServiceAccountToken,
    FlushMemory,
    FlushSkillEvolution,
    PermissionResultAllow,
    PermissionResultDeny,
    ResultMessage,
    UserBody,
    UserMessage,
)
from triologue.options import HookMatcher, Options
from triologue.ports import Agent, ConcludesSessions, Exit
from triologue.wire import encode

ID = "688c0727-6f95-4d66-8683-e80df56b0870"
AGENT: Agent = Qoder(environ={"HOME": "/home/bot"})
SECRET = "s3cret"


async def fetch(request: FetchJobToken) -> str:
    return SECRET


async def stop(given: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
    return {}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ACCOUNTS = [
    (access_token(SECRET), {"type": "accessToken", "accessToken": SECRET}),
    (access_token_from_env(), {"type": "accessToken", "accessToken": SECRET}),
    (access_token_from_env("MY_TOKEN"), {"type": "accessToken", "accessToken": SECRET}),
    (qodercli_auth(), {"type": "qodercli"}),
    (service_account(service_account_key=SECRET), {"type": "serviceAccount", "serviceAccountKey": SECRET}),
    (service_account_from_env(), {"type": "serviceAccount", "serviceAccountKey": SECRET}),
    (
        service_account(fetch_service_account_token=fetch),
        {"type": "serviceAccount", "serviceAccountTokenProvider": "host"},
    ),
    (job_token(fetch), {"type": "jobToken", "jobTokenProvider": "host"}),
]


@pytest.mark.parametrize(("auth", "told"), ACCOUNTS, ids=map(str, range(8)))
def test_what_the_program_is_told_of_its_account(auth: Any, told: dict[str, str]) -> None:
    environ = dict.fromkeys(("QODER_PERSONAL_ACCESS_TOKEN", "QODER_SERVICE_ACCOUNT_KEY", "MY_TOKEN"), SECRET)
    assert payload(auth, environ) == told
    for shown in (repr(auth), str(auth), f"{auth}", repr(Qoder(auth=auth)), repr([auth])):
        assert SECRET not in shown
    assert SECRET not in repr(payload_file)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: access_token(""), "needs a token that is not empty"),
        (lambda: access_token_from_env("A=B"), "env_var='A=B' cannot be a variable's name"),
        (service_account, "one of them"),
        (lambda: service_account(service_account_key=SECRET, fetch_service_account_token=fetch), "one of them"),
        (lambda: service_account(service_account_key=" "), "needs a key that is not empty"),
        (lambda: job_token(SECRET), "fetch_job_token is no function"),  # type: ignore[arg-type]
        (lambda: Qoder(auth=SECRET), "auth is none of what access_token"),  # type: ignore[arg-type]
    ],
    ids=map(str, range(7)),
)
def test_an_account_that_cannot_be(make: Any, said: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        make()
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_who_provides_tokens() -> None:
    assert Qoder().tokens == {}
    assert Qoder(auth=job_token(fetch)).tokens == {FetchJobToken: fetch}
    assert Qoder(auth=service_account(fetch_service_account_token=fetch)).tokens == {FetchServiceAccountToken: fetch}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the file that says how to log in is put; nothing may be left there."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def test_only_this_user_can_read_the_file_and_it_is_gone_afterwards(temporary: Path) -> None:
    with payload_file({"type": "accessToken", "accessToken": SECRET}) as path:
        assert json.loads(path.read_text()) == {"type": "accessToken", "accessToken": SECRET}
        modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)]
        assert modes == [0o600, 0o700]
        assert path.parent.parent == temporary
    with pytest.raises(KeyError), payload_file({}) as path:
        path.unlink()  # as the program does once it has read it
        raise KeyError


def test_without_a_place_for_the_file_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(AgentStartError, match="cannot be told how to log in"), payload_file({"accessToken": SECRET}):
        pass


def pretender(folder: Path, script: str) -> Path:
    """A program in the place of the CLI."""
    program = folder / "qodercli"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


async def test_the_file_is_there_while_the_program_runs_and_gone_when_the_block_is_left(
    tmp_path: Path, temporary: Path
) -> None:
    program = pretender(tmp_path, 'echo "told: $(cat "$QODER_SDK_AUTH_PAYLOAD_FILE")"; exec cat')
    agent, ear = Qoder(auth=access_token(SECRET), environ={"PATH": os.environ["PATH"]}), Ear()
    async with open_carrier(grace=PATIENCE) as carrier:
        async with agent.connect(Options(cli_path=program), sink=ear, carrier=carrier) as connection:
            told = await ear.wait_texts(1)
            assert len(list(temporary.iterdir())) == 1
        assert list(temporary.iterdir()) == []
        assert (await connection.wait_exit()).code == 0
        assert told == ['told: {"type": "accessToken", "accessToken": "s3cret"}']
        with trio.CancelScope() as scope:
            async with agent.connect(Options(cli_path=program), sink=Ear(), carrier=carrier):
                scope.cancel()
                await trio.sleep_forever()
        assert list(temporary.iterdir()) == []


async def test_the_file_is_gone_when_nothing_could_be_started(tmp_path: Path, temporary: Path) -> None:
    program = pretender(tmp_path, "")
    program.write_text("#!/nowhere/sh\n")
    agent = Qoder(auth=access_token(SECRET), environ={})
    async with open_carrier(grace=PATIENCE) as carrier:
        with pytest.raises(AgentStartError) as caught:
            async with agent.connect(Options(cli_path=program), sink=Ear(), carrier=carrier):
                pass
    assert SECRET not in str(caught.value)


async def test_a_variable_that_is_not_set_is_no_account() -> None:
    agent = Qoder(auth=access_token_from_env("MY_TOKEN"), environ={})
    async with open_carrier(grace=PATIENCE) as carrier:
        with pytest.raises(NotLoggedIn, match="the variable MY_TOKEN is not set"):
            async with agent.connect(Options(), sink=Ear(), carrier=carrier):
                pass


def test_the_environment_has_the_protocols_word_last_and_no_credentials() -> None:
    base = {
        "QODER": "1",
        "QODER_SERVICE_ACCOUNT_KEY": SECRET,
        "MY_KEY": SECRET,
        "QODER_VPC_ENDPOINT": "old",
        "PWD": "/old",
    }
    ours = {
        "QODER_ENTRYPOINT": "triologue",
        "QODER_AGENT_SDK_ENTRYPOINT": "triologue",
        "QODER_SDK_VERSION": "1.0.16",
        "QODER_AGENT_SDK_VERSION": "1.0.16",
        "PWD": "/w",
    }
    without = ("QODER_SERVICE_ACCOUNT_KEY", "MY_KEY")
    assert environment(Options(), base, "/w", without=without) == {**ours, "QODER_VPC_ENDPOINT": "old"}
    options = Options(env={"QODER_ENTRYPOINT": "bot", "QODER_AGENT_SDK_ENTRYPOINT": "x"}, vpc_endpoint=" new ")
    assert environment(options, base, "/w", without=without) == {
        **ours,
        "QODER_ENTRYPOINT": "bot",
        "QODER_VPC_ENDPOINT": "new",
    }
    assert environment(Options(vpc_endpoint=" "), base, "/w", without=without) == ours
    unwanted = {"QODER_VPC_ENDPOINT": None, "QODER_SDK_VERSION": None, "QODER_ENTRYPOINT": None, "NEVER_THERE": None}
    wanted = {name: value for name, value in ours.items() if name != "QODER_ENTRYPOINT"}
    assert environment(Options(env=unwanted), base, "/w", without=without) == wanted


async def test_an_account_that_was_taken_out_of_the_environment_is_none() -> None:
    agent = Qoder(auth=access_token_from_env("MY_TOKEN"), environ={"MY_TOKEN": SECRET})
    async with open_carrier() as carrier:
        with pytest.raises(NotLoggedIn, match="the variable MY_TOKEN is not set"):
            async with agent.connect(Options(env={"MY_TOKEN": None}), sink=Ear(), carrier=carrier):
                pass


def test_credentials_that_are_told_by_the_file_are_in_no_environment(tmp_path: Path) -> None:
    base = {"QODER_SERVICE_ACCOUNT_KEY": SECRET, "MY_KEY": SECRET}
    agent = Qoder(auth=service_account_from_env("MY_KEY"), environ=base)
    command = agent.command(Options(cli_path=pretender(tmp_path, ""), env={"MY_KEY": SECRET}))
    assert SECRET not in command.env.values()


def sent(request: Any) -> dict[str, Any]:
    """A request as it goes out."""
    frame: dict[str, Any] = json.loads(encode(ControlRequest(request_id="r", request=request)))
    body: dict[str, Any] = frame["request"]
    return body


def test_the_handshake() -> None:
    told = {
        "type": "initialize",
        "subtype": "initialize",
        "modelPolicyProvider": False,
        "initializeTimeoutMs": 60000,
    }
    assert sent(AGENT.initialize(Options())) == told
    options = Options(
        hooks={"Stop": [HookMatcher(hooks=[stop])]},
        agents={"r": {"description": "d", "prompt": "p", "model": None}},
        skills=["pdf"],
        mcp_servers={"mine": [add], "theirs": {"command": "x"}},
        enable_file_checkpointing=True,
        resolve_model=print,
        memory={"mode": "native", "user_scope": False},
        evolution={"skill": {"mode": "native"}},
    )
    AGENT.check(options)
    assert sent(AGENT.initialize(options)) == {
        **told,
        "modelPolicyProvider": True,
        "hooks": {"Stop": [{"matcher": None, "hookCallbackIds": ["hook_0"]}]},
        "agents": {"r": {"description": "d", "prompt": "p"}},
        "skills": ["pdf"],
        "enableFileCheckpointing": True,
        "sdkMcpServers": ["mine"],
        "memory": {"requester": "sdk", "mode": "native", "userScope": False},
        "evolution": {"skill": {"requester": "sdk", "mode": "native"}},
    }


def test_memory_and_evolution_under_their_names_on_the_wire() -> None:
    options = Options(
        memory={
            "mode": "custom",
            "project_scope": True,
            "generation": {
                "roots": [{"id": "r", "path": "/r", "access": "read", "index_file": "a/i.md"}],
                "prompt": "p",
                "turn_complete": {"should_generate": stop, "timeout_ms": 1.5, "on_gate_error": "skip"},
            },
            "consumption": {"files": [{"id": "f", "path": "/f"}], "max_tokens": 9, "overflow": "truncate"},
        },
        evolution={
            "skill": {
                "mode": "custom",
                "generation": {"prompt": "p", "turn_complete": {"should_review": stop, "review_threshold": 3}},
            }
        },
    )
    AGENT.check(options)
    told = sent(AGENT.initialize(options))
    assert told["memory"] == {
        "requester": "sdk",
        "mode": "custom",
        "projectScope": True,
        "generation": {
            "enabled": True,
            "roots": [{"id": "r", "path": "/r", "access": "read", "indexFile": "a/i.md"}],
            "prompt": "p",
            "turnComplete": {
                "enabled": True,
                "shouldGenerateCallbackId": "memory_should_generate_0",
                "timeoutMs": 1.5,
                "onGateError": "skip",
            },
        },
        "consumption": {
            "enabled": True,
            "files": [{"required": False, "id": "f", "path": "/f"}],
            "maxTokens": 9,
            "overflow": "truncate",
        },
    }
    assert told["evolution"] == {
        "skill": {
            "requester": "sdk",
            "mode": "custom",
            "generation": {
                "enabled": True,
                "maxSuggestions": 3,
                "prompt": "p",
                "turnComplete": {
                    "enabled": True,
                    "shouldReviewCallbackId": "skill_evolution_should_review_0",
                    "reviewThreshold": 3,
                },
            },
        }
    }
    assert "evolution" not in sent(AGENT.initialize(Options(evolution={"skill": {"generation": {"enabled": False}}})))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            Options(memory={"mode": "native", "generation": {"prompt": "p"}}),
            "memory['generation']: 'prompt' is none of",
        ),
        (Options(memory={"mode": "native", "user_scope": False, "project_scope": False}), "needs a scope"),
        (Options(memory={"mode": "custom", "scope": 1}), "memory: 'scope' is none of mode"),
        (Options(memory={"mode": "custom", "user_scope": 1}), "memory['user_scope']=1 is no bool"),
        (Options(memory={"mode": "custom", "generation": []}), "memory['generation']=[] is no dict"),
        (Options(memory={"mode": "custom", "generation": {"roots": []}}), "is no list with something in it"),
        (Options(memory={"mode": "custom", "generation": {"roots": [{"id": "a"}]}}), "needs an id and a path"),
        (
            Options(memory={"mode": "custom", "consumption": {"files": [{"id": "a", "path": "/a"}] * 2}}),
            "an id is there twice",
        ),
        (
            Options(
                memory={"mode": "custom", "generation": {"roots": [{"id": "a", "path": "/a", "index_file": "../b"}]}}
            ),
            "leaves its root",
        ),
        (
            Options(memory={"mode": "custom", "generation": {"enabled": False, "turn_complete": {"enabled": True}}}),
            "turn_complete cannot be enabled",
        ),
        (Options(memory={"mode": "custom", "consumption": {"max_tokens": 0}}), "no whole number above 0"),
        (Options(evolution={"tools": {}}), "evolution: 'tools' is none of skill"),
        (Options(evolution={"skill": 1}), "evolution['skill']=1 is no dict"),
        (
            Options(evolution={"skill": {"mode": "custom", "generation": {"max_suggestions": 11}}}),
            "no whole number above 0 and at most 10",
        ),
        (
            Options(evolution={"skill": {"mode": "custom", "generation": {"turn_complete": {"should_review": "x"}}}}),
            "is no function",
        ),
        (
            Options(memory={"mode": "native", "generation": {"on_result": 1}}),
            "memory['generation']['on_result'] is no function",
        ),
        (Options(memory={"mode": "native", "on_result": print}), "memory: 'on_result' is none of"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_memory_and_evolution_that_cannot_be(options: Options, said: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        AGENT.check(options)
    assert said in str(caught.value)


NOTING: dict[str, Any] = {"on_result": print}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            Options(memory={"mode": "native", "generation": NOTING, "consumption": NOTING}),
            {"memory": {"requester": "sdk", "mode": "native"}},
        ),
        (
            Options(memory={"mode": "custom", "generation": NOTING, "consumption": NOTING}),
            {
                "memory": {
                    "requester": "sdk",
                    "mode": "custom",
                    "generation": {"enabled": True},
                    "consumption": {"enabled": True},
                }
            },
        ),
        (
            Options(evolution={"skill": {"generation": {**NOTING, "enabled": True}}}),
            {"evolution": {"skill": {"requester": "sdk", "mode": "native"}}},
        ),
        (
            Options(evolution={"skill": {"mode": "custom", "generation": NOTING}}),
            {
                "evolution": {
                    "skill": {
                        "requester": "sdk",
                        "mode": "custom",
                        "generation": {"enabled": True, "maxSuggestions": 3},
                    }
                }
            },
        ),
    ],
    ids=["native memory", "custom memory", "native evolution", "custom evolution"],
)
def test_who_is_told_of_results_stays_here(options: Options, told: dict[str, Any]) -> None:
    AGENT.check(options)
    body = sent(AGENT.initialize(options))
    assert {name: body[name] for name in ("memory", "evolution") if name in body} == told


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        (Options(), []),
        (Options(memory={}, evolution={}), []),
        (Options(memory={"mode": "native"}), [FlushMemory]),
        (Options(evolution={"skill": {"generation": {"enabled": False}}}), []),
        (Options(memory={"mode": "custom"}, evolution={"skill": {}}), [FlushMemory, FlushSkillEvolution]),
    ],
    ids=str,
)
def test_what_it_does_before_it_leaves(options: Options, kinds: list[type[Any]]) -> None:
    agent = Qoder(environ={})
    assert isinstance(agent, ConcludesSessions)
    assert [type(request) for request in agent.conclusions(options)] == kinds


def test_a_prompt_is_a_turn_of_its_own_with_its_business_ids() -> None:
    prompt = UserMessage(message=UserBody(content="/cost"), uuid="U1", line=b"stale")
    options = Options(custom_context={"ticket": "7"})
    assert encode(AGENT.user_frame(prompt, options)) == (
        b'{"type":"user","message":{"content":"/cost","role":"user"},"uuid":"U1","priority":"later",'
        b'"client_composed":true,"custom_context":{"ticket":"7"}}\n'
    )
    own = msgspec.structs.replace(prompt, custom_context={"a": "b"}, priority="now", line=b"")
    assert AGENT.user_frame(own, Options(verbatim_prompts=False)) == own


def test_an_answer_to_a_permission_request_names_the_call_and_a_refusal_says_why() -> None:
    request = CanUseTool(tool_name="Bash", input={"command": "ls"}, tool_use_id="T1")
    assert AGENT.permission_reply(request, PermissionResultAllow()) == {
        "behavior": "allow",
        "updatedInput": {"command": "ls"},
        "toolUseID": "T1",
    }
    assert AGENT.permission_reply(request, PermissionResultDeny()) == {
        "behavior": "deny",
        "message": "The user does not allow this.",
        "toolUseID": "T1",
    }
    assert AGENT.permission_reply(request, PermissionResultDeny(message="no", interrupt=True)) == {
        "behavior": "deny",
        "message": "no",
        "interrupt": True,
        "toolUseID": "T1",
    }


def refusal(*errors: str, reason: str | None = None, said: str | None = None) -> ResultMessage:
    return ResultMessage(
        subtype="error_during_execution",
        duration_ms=0,
        duration_api_ms=0,
        is_error=True,
        num_turns=0,
        session_id=ID,
        errors=list(errors) or None,
        result=said,
        terminal_reason=reason,
    )


NO_LOGIN = 'No qodercli login found. Run "qodercli login" first.'
HOW = "give Qoder(auth=...), or run `qodercli login` (its config folder is '/home/bot/.qoder')"
RED, PLAIN = "\x1b[31m", "\x1b[0m"
BROKE = "An unexpected critical error occurred:"
NOT_FOUND = (
    f'Error resuming session: Invalid session identifier "{ID}".\n'
    "  Searched current project and same-repo worktrees:\n    - /h/.qoder/projects/-w\n"
)


@pytest.mark.parametrize(
    ("exit", "refused", "options", "kind", "said"),
    [
        pytest.param(
            Exit(code=41), refusal(NO_LOGIN, reason="auth_required"), Options(),
            NotLoggedIn, f"the Qoder CLI has no account ({NO_LOGIN}); {HOW}", id="no login",
        ),
        pytest.param(
            Exit(code=41), refusal("Unknown auth payload type: x", reason="auth_payload_invalid"), Options(),
            NotLoggedIn, f"the Qoder CLI has no account (Unknown auth payload type: x); {HOW}", id="bad payload",
        ),
        pytest.param(
            Exit(code=41), None, Options(),
            NotLoggedIn, f"the Qoder CLI has no account (it says no more); {HOW}", id="expired in the middle",
        ),
        pytest.param(
            Exit(code=1), refusal(said="Not logged in · Please run /login"), Options(),
            NotLoggedIn, f"the Qoder CLI has no account (Not logged in); {HOW}", id="not logged in, outside the protocol",
        ),
        pytest.param(
            Exit(code=42, stderr_tail=NOT_FOUND), None, Options(resume=ID, cwd="/w"),
            SessionNotFound,
            f"no conversation has the session id '{ID}' (cwd '/w', config folder '/home/bot/.qoder'); "
            "start afresh by leaving `resume` out, or under a manager's key by `session.reset()`",
            id="unknown conversation",
        ),
        pytest.param(
            Exit(code=42, stderr_tail="No conversation found to continue\n"),
            None, Options(continue_conversation=True, cwd="/w"),
            SessionNotFound,
            "no conversation has the session id 'the latest' (cwd '/w', config folder '/home/bot/.qoder'): this folder "
            "has none to go on with; leave continue_conversation out; start afresh by leaving `resume` out, "
            "or under a manager's key by `session.reset()`",
            id="nothing to continue",
        ),
        pytest.param(
            Exit(code=42, stderr_tail="Invalid session ID. Must be a valid UUID.\n"), None, Options(),
            InvalidOption, "the Qoder CLI refuses its options: Invalid session ID. Must be a valid UUID.", id="no UUID",
        ),
        pytest.param(
            Exit(code=42, stderr_tail="--fork-session must be used with --continue or --resume.\n"), None, Options(),
            InvalidOption,
            "the Qoder CLI refuses its options: --fork-session must be used with --continue or --resume.",
            id="a fork of nothing",
        ),
        pytest.param(
            Exit(code=1, stderr_tail="Cannot combine --continue, --resume, --remote.\n"), None, Options(),
            InvalidOption, "the Qoder CLI refuses its options: Cannot combine --continue, --resume, --remote.", id="two",
        ),
        pytest.param(
            Exit(code=42, stderr_tail=f"Session ID {ID} is already in use.\n"), None, Options(session_id=ID),
            SessionIdInUse,
            f"session_id='{ID}' has a conversation already (config folder '/home/bot/.qoder'); "
            "go on with it by `resume`, or choose another id",
            id="id in use",
        ),
        pytest.param(
            Exit(code=1, stderr_tail="error: unknown option '--nonsense'\n"), None, Options(),
            AgentStartError,
            "the Qoder CLI refused what it was started with: error: unknown option '--nonsense'",
            id="unknown flag",
        ),
        pytest.param(
            Exit(code=1, stderr_tail="Error: Settings file not found: /s.json\n"), None, Options(),
            AgentStartError,
            "the Qoder CLI refused what it was started with: Error: Settings file not found: /s.json",
            id="no such settings",
        ),
        *(
            pytest.param(
                Exit(code=code, stderr_tail=f"{before}{said}{after}\n"), None, Options(),
                AgentStartError, f"the Qoder CLI refused what it was started with: {said}", id=name,
            )
            for name, code, before, said, after in (
                ("settings that are a folder", 1, "", "Error: Cannot read settings file /s: EISDIR: read", ""),
                ("settings that are no JSON", 1, "", "Error: Invalid JSON provided to --settings: Expected '}'", ""),
                ("settings that are broken", 52, RED, "Error in /s.json: Expected '}'\nPlease fix it.", PLAIN),
                ("in colours", 1, f"{PLAIN}{RED}", "Error: Settings file not found: /s.json", PLAIN),
                ("a folder's name", 1, "", "Error: QODER_CONFIG_DIR_NAME must be a valid directory name", ""),
                ("no such servers", 1, "", "[mcp-config] Failed to load /m.json: ENOENT: no such file", ""),
                ("servers of another shape", 1, "", "[mcp-config] Invalid format in /m.json: expected {...}", ""),
                ("servers that are no JSON", 1, "", "[mcp-config] Invalid inline JSON for --mcp-config: {no}", ""),
                ("no such prompt", 1, BROKE, "Error: System prompt file not found: /p.txt", "\n    at cli.js:1:2"),
                ("no such effort", 1, BROKE, "Error: Invalid reasoning effort: x. Valid values are: low", ""),
                ("no proxy", 1, BROKE, "TypeError: proxy must use http://, https://, socks://", ""),
            )
        ),
        pytest.param(
            Exit(code=1, stderr_tail="Error: getaddrinfo EAI_AGAIN\n"), None, Options(),
            AgentCrashed,
            "the Qoder CLI ended with exit code 1; its stderr ends with: Error: getaddrinfo EAI_AGAIN",
            id="no name server",
        ),
        pytest.param(
            Exit(code=1, stderr_tail="error: socket hang up\n      at cli.js:1:20\n"), None, Options(),
            AgentCrashed,
            "the Qoder CLI ended with exit code 1; its stderr ends with: error: socket hang up\n      at cli.js:1:20",
            id="what nothing in it caught",
        ),
        pytest.param(
            Exit(code=42, stderr_tail="Something new.\n"), None, Options(),
            AgentStartError, "the Qoder CLI refused what it was started with: Something new.", id="something new",
        ),
        pytest.param(
            Exit(code=1, stderr_tail="An unexpected critical error occurred: EIO\n"), None, Options(),
            AgentStartError,
            "the Qoder CLI did not begin the conversation: An unexpected critical error occurred: EIO",
            id="a bug of its own",
        ),
        pytest.param(
            Exit(code=1), refusal("No network"), Options(),
            AgentStartError, "the Qoder CLI did not begin the conversation: No network", id="no network",
        ),
        pytest.param(
            Exit(code=-9, stderr_tail="Not logged in\n"), None, Options(),
            AgentCrashed,
            "the Qoder CLI was killed by SIGKILL; the system does so when memory runs out; "
            "its stderr ends with: Not logged in",
            id="killed, whatever it once printed",
        ),
        pytest.param(
            Exit(code=-15, closed_output=True), None, Options(),
            AgentCrashed, "the Qoder CLI closed its output and did not exit, so it was stopped", id="mute",
        ),
    ],
)  # fmt: skip
def test_why_it_went_away(
    exit: Exit, refused: ResultMessage | None, options: Options, kind: type[TriologueError], said: str
) -> None:
    error = AGENT.diagnose(exit, refused, options)
    assert (type(error), str(error)) == (kind, said)
    if isinstance(error, AgentStartError):
        assert error.is_final == ("refused what it was started with" in said)
