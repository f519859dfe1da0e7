"""Whole conversations with programs that say what Qoder's and Cortex's say: from the log-in to the last word."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import triologue as tri
from triologue.agents import CortexCode, Qoder, job_token
from triologue.errors import NotLoggedIn
from triologue.messages import FetchJobToken, PermissionResultDeny
from triologue.options import Options

PREAMBLE = f"""#!{sys.executable}
import json, os, sys

def say(frame):
    print(json.dumps(frame), flush=True)

def hear():
    return json.loads(sys.stdin.readline())

def answer(asked, response):
    say({{"type": "control_response", "response": {{"subtype": "success", "request_id": asked["request_id"],
         "response": response}}}})

def ask(number, **request):
    say({{"type": "control_request", "request_id": str(number), "request": request}})
    heard = hear()["response"]
    assert heard["request_id"] == str(number), heard
    return heard

def result(session_id, **fields):
    say({{"type": "result", "subtype": "success", "session_id": session_id, **fields}})
"""

QODER = """
told = json.load(open(os.environ["QODER_SDK_AUTH_PAYLOAD_FILE"]))
os.remove(os.environ["QODER_SDK_AUTH_PAYLOAD_FILE"])
assert told == {"type": "jobToken", "jobTokenProvider": "host"}, told
handshake = hear()
assert handshake["request"]["type"] == handshake["request"]["subtype"] == "initialize", handshake
token = ask(1, type="fetch_job_token", reason="initial") if FIELD == "type" else ask(1, subtype="fetch_job_token", reason="initial")
assert token["response"] == {"token": "fresh", "expires_at": 1700000000000}, token
answer(handshake, {"commands": [], "models": [], "account": {}, "capabilities": ["plan_mode_v1"]})
FULL = dict(duration_ms=1, duration_api_ms=1, is_error=False, num_turns=1)
while line := sys.stdin.readline():
    prompt = json.loads(line)
    assert prompt["priority"] == "later" and prompt["custom_context"] == {"ticket": "7"}, prompt
    decision = ask(2, subtype="can_use_tool", tool_name="Bash", input={"command": "ls"}, tool_use_id="T1")["response"]
    result("Q1", **FULL, result=json.dumps(decision), user_message_uuids=[prompt["uuid"]])
"""

CORTEX = """
assert sys.argv[5:] == ["--workdir", os.getcwd()], sys.argv
answer(hear(), {"commands": []})
init = {"type": "system", "subtype": "init", "uuid": "u", "session_id": "C1", "cwd": "/w", "model": "m", "tools": [],
        "mcp_servers": [], "permissionMode": "default"}
say(init)
while line := sys.stdin.readline():
    (block,) = json.loads(line)["message"]["content"]
    say(init)
    say({"type": "system_message", "content": "one moment"})
    result("C1", result="echo " + block["text"])
"""


def program(folder: Path, script: str) -> Path:
    path = folder / "cli"
    path.write_text(PREAMBLE + script)
    path.chmod(0o755)
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.parametrize("field", ["type", "subtype"])
async def test_qoder_from_the_token_to_a_refusal(tmp_path: Path, temporary: Path, field: str) -> None:
    asked: list[str] = []

    async def fetch(request: FetchJobToken) -> dict[str, Any]:
        asked.append(request.reason)
        return {"token": "fresh", "expires_at": 1_700_000_000_000}

    async def refuse(tool: str, given: dict[str, Any], context: Any) -> PermissionResultDeny:
        return PermissionResultDeny()

    cli = program(tmp_path, f"FIELD = {field!r}\n{QODER}")
    options = Options(cli_path=cli, cwd=tmp_path, can_use_tool=refuse, custom_context={"ticket": "7"})
    agent = Qoder(auth=job_token(fetch), environ={"PATH": os.environ["PATH"]})
    async with tri.open_manager(agent, options=options) as manager:
        session = manager.session("chat")
        for _ in range(2):
            result = await session.ask("hello")
            assert result.result == (
                '{"behavior": "deny", "message": "The user does not allow this.", "toolUseID": "T1"}'
            )
        assert (session.session_id, asked) == ("Q1", ["initial"])
    assert list(temporary.iterdir()) == []


PLANNING = """
answer(hear(), {"capabilities": CAPABILITIES})
step = hear()
assert step["request"] == {"subtype": "set_plan_mode", "active": True}, step
answer(step, {"plan_mode": {"active": True}})
prompt = json.loads(sys.stdin.readline())
result("Q1", duration_ms=1, duration_api_ms=1, is_error=False, num_turns=1, result="planned",
       user_message_uuids=[prompt["uuid"]])
sys.stdin.readline()
"""


async def test_qoder_is_in_plan_mode_before_the_first_prompt(tmp_path: Path, temporary: Path) -> None:
    cli = program(tmp_path, f"CAPABILITIES = ['plan_mode_v1']\n{PLANNING}")
    options = Options(cli_path=cli, plan_mode=True)
    async with tri.open_manager(Qoder(environ={"PATH": os.environ["PATH"]}), options=options) as manager:
        assert (await manager.session("chat").ask("hello")).result == "planned"


async def test_qoder_without_plan_mode_does_not_start_with_it(tmp_path: Path, temporary: Path) -> None:
    cli = program(tmp_path, f"CAPABILITIES = []\n{PLANNING}")
    options = Options(cli_path=cli, plan_mode=True)
    async with tri.open_manager(Qoder(environ={"PATH": os.environ["PATH"]}), options=options) as manager:
        with pytest.raises(tri.TurnFailed, match="plan_mode_v1") as caught:
            await manager.session("chat").ask("hello")
    assert isinstance(caught.value.__cause__, tri.AgentStartError)


async def test_a_program_that_refuses_its_options_is_not_started_again_nor_is_its_session_failed(
    tmp_path: Path,
) -> None:
    refused = "open('starts', 'a').write('x')\nsys.stderr.write(\"error: unknown option '--no-such'\\n\")\nsys.exit(1)"
    options = Options(cli_path=program(tmp_path, refused), cwd=tmp_path, extra_args={"no-such": None})
    often = tri.RestartPolicy(max_restarts=1, retry_turn=True)
    async with tri.open_manager(CortexCode(), options=options, restart=often) as manager:
        session = manager.session("chat")
        outcomes = [await (await session.send("hello")).wait() for _ in range(3)]
        assert [(outcome.kind, outcome.reason) for outcome in outcomes] == [("failed", "AgentStartError")] * 3
        assert session.resume_outcome == "refused"
    assert (tmp_path / "starts").read_text() == "xxx"


async def test_qoder_leaves_when_its_account_is_no_longer_good(tmp_path: Path, temporary: Path) -> None:
    told: list[str] = []
    cli = program(tmp_path, "answer(hear(), {})\nhear()\nsys.exit(41)")
    options = Options(cli_path=cli, on_auth_expired=lambda: told.append("expired"))
    async with tri.open_manager(Qoder(environ={"PATH": os.environ["PATH"]}), options=options) as manager:
        with pytest.raises(tri.TurnFailed) as caught:
            await manager.session("chat").ask("hello")
    assert isinstance(caught.value.__cause__, NotLoggedIn)
    assert told == ["expired"]
    assert list(temporary.iterdir()) == []


async def test_cortex_whose_results_name_no_prompt(tmp_path: Path) -> None:
    options = Options(cli_path=program(tmp_path, CORTEX), cwd=tmp_path)
    async with tri.open_manager(CortexCode(environ={"PATH": os.environ["PATH"]}), options=options) as manager:
        session = manager.session("chat")
        answers = [(await session.ask(word)).result for word in ("one", "two")]
        assert (answers, session.session_id) == (["echo one", "echo two"], "C1")
