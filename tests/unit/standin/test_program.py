"""The agent as a process: what a host sees of it, from the first byte to the exit code."""

import json
import signal
from pathlib import Path

import pytest

from tests.unit.standin.stage import CLAUDE, CORTEX, QODER, kinds, open_program, wait_written

A = "5f0f4e4a-6a3e-4d6e-9b3c-0a1b2c3d4e5f"
B = "6f0f4e4a-6a3e-4d6e-9b3c-0a1b2c3d4e5f"
UNKNOWN = "7f0f4e4a-6a3e-4d6e-9b3c-0a1b2c3d4e5f"


async def test_a_handshake_a_turn_and_the_end(tmp_path: Path) -> None:
    async with open_program(tmp_path, [*CLAUDE, f"--session-id={A}", "--tools", ""]) as program:
        answer = (await program.ask("initialize", hooks=None))["response"]
        assert (answer["claude_code_version"], answer["models"][0]["resolvedModel"]) == ("2.1.329", "offline")
        await program.prompt("Count to 3")
        frames = await program.until("result")
        assert kinds(frames) == ["init", "assistant", "result"]
        shown = {name: frames[0][name] for name in ("session_id", "cwd", "model", "tools", "claude_code_version")}
        assert shown == {
            "session_id": A,
            "cwd": str(tmp_path),
            "model": "offline",
            "tools": [],
            "claude_code_version": "2.1.329",
        }
        assert (frames[-1]["result"], frames[-1]["is_error"]) == ("1 2 3", False)
        await program.prompt("Count to 2")
        assert kinds(await program.until("result")) == ["init", "assistant", "result"]
        assert await program.end() == ([], 0, "")


async def test_the_input_may_end_before_the_turn_does(tmp_path: Path) -> None:
    async with open_program(tmp_path) as program:
        await program.prompt("Remember: I like tea")
        await program.prompt("What do I like?")
        frames, code, _ = await program.end()
    assert [frame["result"] for frame in frames if frame["type"] == "result"] == [
        "I will remember that you like tea.",
        "You like tea.",
    ]
    assert code == 0


async def test_nothing_was_asked(tmp_path: Path) -> None:
    async with open_program(tmp_path) as program:
        assert await program.end() == ([], 0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "subtype"), [(CLAUDE, "success"), (QODER, "success"), (CORTEX, "error_during_execution")]
)
async def test_the_exit_code_is_that_of_the_last_result(words: tuple[str, ...], subtype: str, tmp_path: Path) -> None:
    async with open_program(tmp_path, words, CORTEX_CODE_ENTRYPOINT="x") as program:
        await program.prompt("Fail with 529: overloaded")
        failed = await program.result()
        assert (failed["subtype"], failed["is_error"]) == (subtype, True)
        assert (await program.end())[1] == 1


async def test_cortex_says_what_it_is_once_and_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    async with open_program(tmp_path, [*CORTEX, "--workdir", str(tmp_path / "work")]) as program:
        await program.ask("initialize", hooks=None, systemPrompt="Be brief.", appendSystemPrompt="And kind.")
        init = await program.next()
        assert init is not None
        required = ("uuid", "session_id", "cwd", "model", "tools", "mcp_servers", "permissionMode")
        assert [name for name in required if name not in init] == []
        assert init["cwd"] == str(tmp_path / "work")
        await program.prompt([{"type": "text", "text": "What are your instructions?"}])
        frames = await program.until("result")
        assert kinds(frames) == ["assistant", "result"]
        assert frames[-1]["result"] == "My instructions: Be brief.\n\nAnd kind."


async def test_qoder_has_names_of_its_own(tmp_path: Path) -> None:
    async with open_program(tmp_path, QODER) as program:
        assert (await program.ask("mcp_status"))["response"] == {"servers": []}
        refusal = await program.ask("set_permission_mode", mode="nonsense")
        assert (refusal["code"], "error_code" in refusal) == ("invalid_mode", False)
        await program.prompt("Hello")
        init, *_, result = await program.until("result")
        assert (init["qodercli_version"], init["protocol_version"]) == ("1.1.76", "1.5.0")
        assert result["total_credits"] == 0


@pytest.mark.parametrize(
    "words", [CLAUDE, pytest.param(QODER, marks=pytest.mark.slow), pytest.param(CORTEX, marks=pytest.mark.slow)]
)
async def test_resume_continue_and_fork(words: tuple[str, ...], tmp_path: Path) -> None:
    env = {"CORTEX_CODE_ENTRYPOINT": "x"} if words is CORTEX else {}

    async def recall(*more: str) -> tuple[str, str]:
        async with open_program(tmp_path, [*words, *more], **env) as program:
            await program.prompt("What do I like?")
            result = await program.result()
            assert (await program.end())[1] == 0
            return result["session_id"], result["result"]

    async with open_program(tmp_path, [*words, "--session-id", A], **env) as program:
        await program.prompt("Remember: I like tea")
        assert (await program.result())["session_id"] == A
        await program.end()
    assert await recall("--resume", A) == (A, "You like tea.")
    assert await recall("--resume", A, "--fork-session", "--session-id", B) == (B, "You like tea.")
    assert await recall("--continue") == (B, "You like tea.")


@pytest.mark.slow
async def test_a_resume_that_drops_a_turn(tmp_path: Path) -> None:
    async with open_program(tmp_path, [*CLAUDE, f"--session-id={A}"]) as program:
        kept: list[str] = []
        for uuid, said in ((B, "Remember: I like tea"), (UNKNOWN, "Count to 2"), (A, "Count to 3")):
            await program.prompt(said, uuid=uuid)
            kept.append((await program.until("assistant"))[-1]["uuid"])
            await program.result()
        await program.end()
    refusal = "Resume rejected by --resume-drops-turn:"
    for at, prompt, is_taken in (
        (kept[1], A, True),
        (kept[1], B, False),
        (kept[0], UNKNOWN, False),
        (kept[2], A, False),
    ):
        words = [f"--resume={A}", f"--resume-session-at={at}", f"--resume-drops-turn={prompt}", "--fork-session"]
        async with open_program(tmp_path, [*CLAUDE, *words]) as program:
            frames, code, stderr = await program.end()
            assert (len(frames), code, stderr.startswith(refusal)) == ((0, 0, False) if is_taken else (1, 1, True))


async def test_what_is_not_kept_is_not_there(tmp_path: Path) -> None:
    async with open_program(tmp_path, [*CLAUDE, "--no-session-persistence"]) as program:
        await program.prompt("Hello")
        await program.result()
        await program.end()
    assert list(tmp_path.iterdir()) == []


async def test_what_is_kept_is_mirrored(tmp_path: Path) -> None:
    async with open_program(tmp_path, [*CLAUDE, "--session-mirror"]) as program:
        await program.prompt("Hello")
        first = await program.until("result")
        await program.prompt("Count to 2")
        second = await program.until("result")
        await program.end()
    mirrors = [frame for frame in (*first, *second) if frame["type"] == "transcript_mirror"]
    (path,) = {frame["filePath"] for frame in mirrors}
    written = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert [entry for frame in mirrors for entry in frame["entries"]] == written
    assert first[-2]["type"] == second[-2]["type"] == "transcript_mirror"


async def test_a_resume_of_nothing(tmp_path: Path) -> None:
    text = f"No conversation found with session ID: {UNKNOWN}"
    async with open_program(tmp_path, [*CLAUDE, f"--resume={UNKNOWN}"]) as program:
        frames, code, stderr = await program.wait()
    assert [(frame["subtype"], frame["num_turns"], frame["errors"]) for frame in frames] == [
        ("error_during_execution", 0, [text])
    ]
    assert (code, stderr) == (1, f"{text}\n")
    async with open_program(tmp_path, [*QODER, "--resume", UNKNOWN]) as program:
        assert await program.wait() == (
            [],
            42,
            f'Error resuming session: Invalid session identifier "{UNKNOWN}".\n',
        )
    async with open_program(tmp_path, [*QODER, "--continue"]) as program:
        assert await program.wait() == ([], 42, "No conversation found to continue\n")


async def test_a_login_that_is_missing_or_cannot_be(tmp_path: Path) -> None:
    payload = tmp_path / "payload.json"

    async def refusal(content: str, **env: str) -> tuple[list[tuple[str, str]], int]:
        payload.write_text(content)
        async with open_program(tmp_path, QODER, QODER_SDK_AUTH_PAYLOAD_FILE=str(payload), **env) as program:
            frames, code, _ = await program.end()
            return [(frame["subtype"], frame["terminal_reason"]) for frame in frames], code

    assert await refusal('{"type": "qodercli"}') == ([], 0)
    assert not payload.exists()
    missing = ([("error_during_execution", "auth_required")], 41)
    assert await refusal('{"type": "qodercli"}', TRIOLOGUE_LOGIN="missing") == missing
    assert await refusal("{}") == ([("error_during_execution", "auth_payload_invalid")], 41)


@pytest.mark.parametrize(
    ("payload", "subtype", "token", "problem"),
    [
        ({"type": "jobToken", "jobTokenProvider": "host"}, "fetch_job_token", "t", None),
        ({"type": "jobToken", "jobTokenProvider": "host"}, "fetch_job_token", "", "The host gave no token."),
        (
            {"type": "serviceAccount", "serviceAccountTokenProvider": "host"},
            "fetch_service_account_token",
            "sat-1",
            None,
        ),
        (
            {"type": "serviceAccount", "serviceAccountTokenProvider": "host"},
            "fetch_service_account_token",
            "t",
            "The host's service-account token does not begin with 'sat-'.",
        ),
    ],
)
async def test_the_host_is_asked_for_its_token_first(
    payload: dict[str, str], subtype: str, token: str, problem: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "payload.json"
    path.write_text(json.dumps(payload))
    async with open_program(tmp_path, QODER, QODER_SDK_AUTH_PAYLOAD_FILE=str(path)) as program:
        await program.say({"type": "control_request", "request_id": "i", "request": {"subtype": "initialize"}})
        asked = await program.next()
        assert asked is not None
        assert asked["request"] == {"subtype": subtype, "reason": "initial"}
        answer = {"subtype": "success", "request_id": asked["request_id"], "response": {"token": token}}
        await program.say({"type": "control_response", "response": answer})
        frames, code, _ = await program.end()
    if problem is None:
        assert ([frame["response"]["request_id"] for frame in frames], code) == (["i"], 0)
    else:
        assert ([frame["errors"] for frame in frames], code) == ([[problem]], 1)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([*CLAUDE, "--nonsense"], 1, "error: unknown option '--nonsense'\n"),
        ([*QODER, "--session-id", "nope"], 42, "Invalid session ID. Must be a valid UUID.\n"),
        ([*CLAUDE, "--session-id=nope"], 1, "Error: Invalid session ID. Must be a valid UUID.\n"),
        (["--workdir", "/nowhere/at/all"], 1, "Error: cannot work in '/nowhere/at/all': No such file or directory\n"),
    ],
)
async def test_a_command_line_that_cannot_be(words: list[str], code: int, text: str, tmp_path: Path) -> None:
    async with open_program(tmp_path, words) as program:
        assert await program.wait() == ([], code, text)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"{not json\n", "Error parsing streaming input line"),
        (b"hello\n", "Error parsing streaming input line"),
        (b"null\n", "Error parsing streaming input line"),
        (b'{"type":"user","message":{"role":"assistant","content":"x"}}\n', "Error: Expected message role 'user'"),
    ],
)
async def test_a_line_that_ends_everything(line: bytes, text: str, tmp_path: Path) -> None:
    async with open_program(tmp_path) as program:
        await program.prompt("Count to 2")
        await program.result()
        await program.write(line)
        frames, code, stderr = await program.wait()
    assert (frames, code) == ([], 1)
    assert stderr.startswith(text)


async def test_lines_that_are_passed_over(tmp_path: Path) -> None:
    odd = b'\n\r\n[1]\n5\n"text"\n{"type":"unheard of"}\n{"type":"keep_alive"}\n{"type":"control_cancel_request","request_id":"x"}\n'
    async with open_program(tmp_path) as program:
        await program.write(odd)
        await program.prompt("Hello")
        assert (await program.result())["is_error"] is False
        assert (await program.end())[1:] == (0, "")


async def test_sigint_ends_the_turn_and_then_the_program(tmp_path: Path) -> None:
    async with open_program(tmp_path) as program:
        await program.prompt("Wait 60 seconds")
        await program.prompt("Hello", uuid=A)
        await program.until("system")
        program.signal(signal.SIGINT)
        frames, code, stderr = await program.wait()
    results = [frame for frame in frames if frame["type"] == "result"]
    assert [(frame["subtype"], frame["terminal_reason"]) for frame in results] == [
        ("error_during_execution", "aborted_streaming")
    ]
    assert (code, stderr) == (0, "")


async def test_sigint_after_the_end_of_the_input(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    writes = {"tool": "Write", "input": {"file_path": str(tmp_path / "a.txt"), "content": "A"}}
    rule = {"prompt": "write it, and wait", "replies": [[writes], [{"hang": True}]]}
    script.write_text(json.dumps({"rules": [rule]}))
    words = [*CLAUDE, "--permission-prompt-tool", "stdio", "--script", str(script)]
    async with open_program(tmp_path, words) as program:
        await program.prompt("write it, and wait")
        await program.until("control_request")  # whether it may write
        await program.end_input()
        await program.until("user")  # nobody is left to answer that: so the end of the input has reached it
        program.signal(signal.SIGINT)
        frames, code, _ = await program.wait()
    assert (kinds(frames)[-1], frames[-1]["terminal_reason"], code) == ("result", "aborted_streaming", 0)


async def test_sigint_when_nothing_runs(tmp_path: Path) -> None:
    async with open_program(tmp_path) as program:
        await program.ask("initialize", hooks=None)
        program.signal(signal.SIGINT)
        assert await program.wait() == ([], 0, "")


async def test_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    async with open_program(tmp_path) as program:
        await program.prompt("Wait 60 seconds")
        await program.until("system")
        program.signal(signal.SIGTERM)
        frames, code, stderr = await program.wait()
    assert ([frame for frame in frames if frame["type"] == "result"], code, stderr) == ([], 143, "")


async def test_sigterm_takes_what_a_tool_has_started(tmp_path: Path) -> None:
    words = [*CLAUDE, "--permission-mode", "bypassPermissions"]
    async with open_program(tmp_path, words, PATH="/usr/bin:/bin") as program:
        await program.prompt('Use the tool Bash with {"command": "sleep 61 & echo $! > part; mv part pid; wait"}')
        pid = await wait_written(tmp_path / "pid")
        program.signal(signal.SIGTERM)
        _, code, _ = await program.wait()
        assert code == 143
    status = Path(f"/proc/{pid}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()


async def test_a_host_that_does_not_read_any_more(tmp_path: Path) -> None:
    async with open_program(tmp_path) as program:
        await program.ask("initialize", hooks=None)
        await program.stop_reading()
        await program.prompt("Hello")
        assert await program.wait_exit() == (1, "")


async def test_an_interrupt_leaves_the_session_usable(tmp_path: Path) -> None:
    async with open_program(tmp_path) as program:
        await program.prompt("Wait 60 seconds")
        await program.until("system")
        assert (await program.ask("interrupt"))["response"] == {"still_queued": []}
        assert (await program.result())["subtype"] == "error_during_execution"
        await program.prompt("Count to 2")
        assert (await program.result())["result"] == "1 2"
        assert (await program.end())[1] == 0


@pytest.mark.slow
async def test_a_large_answer_is_not_held_up(tmp_path: Path) -> None:
    text = "x\u00e9 " * 400_000
    async with open_program(tmp_path, QODER) as program:
        await program.prompt(f"Say {text}.")
        assert (await program.result())["result"] == f"{text}."


async def test_a_script_plays_the_model(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"rules": [{"prompt": "Knock knock", "reply": "Who is there?"}]}))
    ways: list[tuple[list[str], dict[str, str]]] = [
        (["--script", str(script)], {}),
        ([], {"TRIOLOGUE_SCRIPT": str(script)}),
        ([], {"TRIOLOGUE_MODEL": f"scripted:{script}"}),
    ]
    for words, env in ways:
        async with open_program(tmp_path, [*CLAUDE, *words], **env) as program:
            await program.prompt("Knock knock")
            assert (await program.result())["result"] == "Who is there?"
    async with open_program(tmp_path, TRIOLOGUE_MODEL="none") as program:
        expected = "Error: $TRIOLOGUE_MODEL='none' is none of: offline, scripted:FILE\n"
        assert await program.wait() == ([], 1, expected)
    async with open_program(tmp_path, TRIOLOGUE_SCRIPT=str(tmp_path / "none.json")) as program:
        frames, code, stderr = await program.wait()
        assert (frames, code, "none.json" in stderr) == ([], 1, True)


async def test_tools_are_those_that_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("alpha")
    async with open_program(tmp_path, [*CLAUDE, "--tools", "Read,Bash", "--disallowedTools", "Bash"]) as program:
        await program.prompt('Use the tool Read with {"file_path": "a.txt"}')
        init, *_, result = await program.until("result")
        assert init["tools"] == ["Read"]
        assert "alpha" in result["result"]


@pytest.mark.parametrize(
    ("words", "version"), [([], "2.1.329"), (["--disable-builtin-skills"], "1.1.76"), (["--workdir", "/"], "1.0.35")]
)
async def test_the_version_comes_first(words: list[str], version: str, tmp_path: Path) -> None:
    async with open_program(tmp_path, [*words, "-v"]) as program:
        assert (await program.text()).split(maxsplit=1)[0] == version
        assert (await program.wait_exit()) == (0, "")


async def test_it_is_a_command_too(tmp_path: Path) -> None:
    async with open_program(tmp_path, CLAUDE, command=("-m", "triologue", "agent")) as program:
        await program.prompt("Count to 2")
        assert (await program.result())["result"] == "1 2"
        assert (await program.end())[1:] == (0, "")
    async with open_program(tmp_path, ["--nonsense"], command=("-m", "triologue", "agent")) as program:
        assert await program.wait() == ([], 1, "error: unknown option '--nonsense'\n")
