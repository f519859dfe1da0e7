"""An agent that closes its output and lives on: it can say nothing any more, and nobody waits for it to."""

import sys
from pathlib import Path

import pytest
import trio

import triologue as tri
from triologue.agents import process

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX processes")

PROGRAM = f"""#!{sys.executable} -IS
import json, os, sys

resumed = [argument.removeprefix("--resume=") for argument in sys.argv if argument.startswith("--resume=")]

def say(kind, **fields):
    print(json.dumps({{"type": kind, "session_id": (resumed or ["s1"])[0], **fields}}), flush=True)

for line in sys.stdin:
    heard = json.loads(line)
    if heard["type"] == "user":
        say("system", subtype="init", uuid="u", cwd="/", model="m", tools=[], permissionMode="default")
        if "hang" not in line:
            say("result", subtype="success", is_error=False, result=f"resumed: {{resumed}}")
    elif heard["request"]["subtype"] == "initialize":
        answer = {{"subtype": "success", "request_id": heard["request_id"], "response": {{}}}}
        say("control_response", response=answer)
    else:
        print("the log server is gone", file=sys.stderr, flush=True)
        os.close(1)
"""
WHY = "Claude Code closed its output and did not exit, so it was stopped; its stderr ends with: the log server is gone"


async def test_its_turn_and_what_it_was_asked_fail_and_the_next_message_wakes_it_with_its_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "EXIT_PATIENCE", 0.05)
    program = tmp_path / "claude"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    options = tri.Options(cli_path=program, cwd=tmp_path)
    agent = tri.ClaudeCode(environ={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "ANTHROPIC_API_KEY": "none"})
    with trio.fail_after(20):
        async with tri.open_manager(agent, options=options) as manager:
            session = manager.session("k")
            assert (await session.ask("hello")).result == "resumed: []"
            turn = await session.send("hang")
            async for _ in turn:
                break
            with pytest.raises(tri.AgentProtocolError) as refused:
                await session.get_context_usage()
            assert str(refused.value) == f"the agent went away before it answered: {WHY}"
            with pytest.raises(tri.TurnFailed) as failed:
                (await turn.wait()).unwrap()
            cause = failed.value.__cause__
            assert isinstance(cause, tri.AgentCrashed)
            assert (str(cause), cause.exit_code, cause.stderr_tail) == (WHY, -15, "the log server is gone\n")
            assert (await session.ask("again")).result == "resumed: ['s1']"
    assert [record.message for record in caplog.records if record.name == "triologue.session"] == [
        f"the session 'k': the agent went away: {WHY}"
    ]
