"""The command as a script sees it: what it prints, where, and its exit code."""

import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import triologue as tri
from triologue.cli.commands import triologue
from triologue.cli.endings import ExitCode, exit_code_of, one_line
from triologue.cli.main import main
from triologue.cli.serving import tokens
from triologue.cli.sessions.commands import sessions


def test_the_demo_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--sessions", "15", "--turns", "3", "--pace", "0"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    facts = {
        name.strip(): value.strip()
        for name, _, value in (line.strip().partition("  ") for line in printed.out.splitlines())
    }
    assert facts["conversations"] == "18, of them 3 forks; 3 hibernated and woken"
    # 15 of three turns each, one more for each that is interrupted, two more for each fork.
    assert facts["turns"].startswith("54 in ")
    assert facts["outcomes"] == "51 answered, 3 interrupted"
    assert facts["recalled"] == "18 answers hold what was told before"
    assert (facts["lost turns"], facts["leaks"], facts["problems"]) == ("0", "none", "none")


def test_a_run_prints_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--agent", "embedded", "Count to 5"]) == 0
    assert capsys.readouterr() == ("1 2 3 4 5\n", "")


def test_an_agent_that_hangs_at_its_start_is_one_that_does_not_start() -> None:
    error, timeout = tri.TurnFailed("it failed"), tri.TurnTimeout("start", seconds=60)
    error.__cause__, timeout.__cause__ = timeout, tri.AgentStartError("it did not answer")
    assert (exit_code_of(error), one_line(error)) == (ExitCode.NO_AGENT, "it did not answer")


def test_doctor_is_named_for_the_agents_that_it_knows() -> None:
    told = [one_line(tri.NotLoggedIn(f"{agent}: Please run /login")) for agent in ("claude-code", "my-bot")]
    assert told == [
        "claude-code: Please run /login (`triologue doctor` says which account it would use)",
        "my-bot: Please run /login",
    ]


def test_a_run_prints_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = "5f0f4e4a-6a3e-4d6e-9b3c-0a1b2c3d4e5f"
    code = main(
        ["run", "--agent", "embedded", "--json", "--model", "m", "--session-id", chosen, "Which model are you?"]
    )
    said = json.loads(capsys.readouterr().out)
    assert code == 0
    shown = {name: said[name] for name in ("outcome", "result", "error", "session_id", "num_turns")}
    assert shown == {
        "outcome": "answered",
        "result": "I am m.",
        "error": None,
        "session_id": chosen,
        "num_turns": 1,
    }
    assert said["cost_usd"] == said["total_cost_usd"] > 0


def test_a_run_prints_every_message(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["run", "--agent", "embedded", "--stream-json", "Call add(a=1, b=2)"]) == 0
    frames = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    talk = [frame for frame in frames if frame["type"] in ("assistant", "user", "result")]
    assert [frame["type"] for frame in talk] == ["assistant", "assistant", "user", "assistant", "result"]
    assert talk[-1]["result"] == "The tool add says: 3."
    assert not [name for frame in frames for name in frame if name.startswith("#")], "only what is on the wire"


def test_a_prompt_from_standard_input() -> None:
    done = command("run", "--agent", "embedded", "-", stdin="Say good night")
    assert (done.returncode, done.stdout, done.stderr) == (0, "good night\n", "")


def test_a_prompt_that_is_no_utf_8() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "triologue", "run", "--agent", "embedded", "-"],
        input=b"Say na\xefve",
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},  # as in any locale but that of C
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "na\ufffdve\n".encode(), b"")


@pytest.mark.parametrize("arguments", [["run", "--no-keep", "hi"], ["serve", "--memory", "--port", "0"]])
def test_in_a_folder_that_was_deleted(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main([*arguments, "--agent", "embedded"]) == 3
    said = "triologue: the current folder was deleted; go to another one, or name one as cwd\n"
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize("arguments", [["sessions", "list"], ["run", "--agent", "embedded", "hi"], ["tokens", "list"]])
def test_a_user_without_a_home(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container that runs as a number which its list of users lacks."""
    for name in ("HOME", "TRIOLOGUE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    assert main(arguments) == ExitCode.FAILED
    assert capsys.readouterr().err == (
        "triologue: there is no home folder to keep sessions in; set $TRIOLOGUE_HOME to a folder, or HOME to an "
        "absolute path\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["sessions", "list"],
            "cannot open the session store '{}/sessions.db': Not a directory; name another folder with $TRIOLOGUE_HOME",
        ),
        (
            ["tokens", "add", "tv"],
            "cannot make the folder of the token file '{}/tokens.json': Not a directory; name an",
        ),
    ],
)
def test_a_data_folder_that_cannot_be(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with a home that may only be read."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRIOLOGUE_HOME", f"{tmp_path}/file/below")
    assert main(arguments) == ExitCode.FAILED
    assert capsys.readouterr().err.startswith(f"triologue: {said.format(f'{tmp_path}/file/below')}")


@pytest.mark.parametrize(
    "arguments", [["sessions", "list"], ["run", "--agent", "embedded", "hi"], ["tokens", "add", "tv"]]
)
def test_a_data_folder_on_a_disk_that_is_not_there(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "triologue")
    monkeypatch.setenv("TRIOLOGUE_HOME", f"{tmp_path}/link")
    assert main(arguments) == ExitCode.FAILED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "its folder is a file, or a link that leads nowhere; name a" in printed.err


@pytest.mark.parametrize("arguments", [["doctor"], ["run", "hi"]])
def test_an_agent_that_is_named_wrongly_in_the_environment(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIOLOGUE_AGENT", "claude")
    assert main(arguments) == 2
    assert "'claude'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "Usage: triologue [OPTIONS] COMMAND [ARGS]..."),
        (["frob"], 2, "triologue: No such command 'frob' (see `triologue --help`)"),
        (["run"], 2, "triologue run: Missing argument 'PROMPT' (see `triologue run --help`)"),
        (
            ["run", "--agent", "x", "y"],
            2,
            "triologue run: Invalid value for '--agent' (env var: 'TRIOLOGUE_AGENT'): 'x'",
        ),
        (["run", "--fork", "x"], 2, "triologue run: --fork needs --resume KEY_OR_ID or --continue"),
        (
            ["run", "--resume", "a", "--continue", "x"],
            2,
            "triologue run: --resume and --continue name two conversations",
        ),
        (["run", "--session-id", "a", "--continue", "x"], 2, "triologue run: --session-id cannot rename"),
        (["run", "--json", "--stream-json", "x"], 2, "triologue run: --json and --stream-json are two forms of output"),
        (["doctor", "x"], 2, "triologue doctor: Invalid value for '[AGENT]': 'x' is not one of 'claude-code'"),
        (["run", ""], 2, "triologue run: the prompt is empty"),
        (["run", "--cwd", "/nowhere", "x"], 2, "triologue run: Invalid value for '--cwd'"),
        (["run", "--agent", "embedded", "--session-id", "a", "x"], 2, "triologue: session_id='a' is not a UUID"),
        (["run", "--agent", "embedded", "--permission-mode", "a", "x"], 2, "triologue: permission_mode='a' is none of"),
        (["demo", "--pace", "nan"], 2, "triologue demo: Invalid value for '--pace': 'nan' is no number of seconds"),
        (["demo", "--turns", "1"], 2, "triologue demo: Invalid value for '--turns': 1 is not in the range"),
        (["run", "--agent", "embedded", "Fail with 529: overloaded"], 1, "triologue: the turn failed"),
        (["run", "--agent", "embedded", "--resume", "a", "x"], 4, "triologue: no conversation has the session id 'a'"),
        (
            ["run", "--agent", "embedded", "--timeout", "0.01", "Wait 60 seconds"],
            124,
            "triologue: no answer within 0.01 s",
        ),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRIOLOGUE_AGENT", raising=False)
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert error.startswith(said)
    if arguments:
        assert error.count("\n") == 1


def options_of(command: click.Command, path: str) -> Iterator[tuple[str, str, bool]]:
    """Each long option of a command and of those below it: whose, how it is written, and whether it has no value."""
    for option in command.params:
        if isinstance(option, click.Option):
            yield from ((path, written, option.is_flag) for written in option.opts if written.startswith("--"))
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from options_of(each, f"{path} {name}")


@pytest.mark.parametrize(("path", "option", "is_flag"), list(options_of(triologue, "triologue")))
def test_an_option_that_lacks_its_value_or_has_one_too_many(
    path: str, option: str, is_flag: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path.split()[1:], f"{option}=x" if is_flag else option]) == 2
    wrong = "does not take a value" if is_flag else "requires an argument"
    assert capsys.readouterr().err == f"{path}: Option '{option}' {wrong} (see `{path} --help`)\n"


def test_a_failure_is_in_the_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--agent", "embedded", "--json", "--resume", "nope", "x"]) == 4
    said = json.loads(capsys.readouterr().out)
    assert (said["outcome"], said["reason"], said["result"]) == ("failed", "SessionNotFound", None)
    assert said["error"].startswith("no conversation has the session id 'nope'")


def test_a_key_that_is_misspelt(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--agent", "embedded", "--resume", "nope", "x"]) == 4
    said = capsys.readouterr().err
    assert said.startswith("triologue: no conversation has the session id 'nope'")
    assert said.endswith("; `triologue sessions list` shows what is kept\n")


def test_an_agent_that_is_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_CLI_PATH", "/nowhere/claude")
    for arguments in (["run", "x"], ["demo", "--agent", "claude-code"]):
        assert main(arguments) == 3
        assert capsys.readouterr().err == (
            "triologue: CLAUDE_CODE_CLI_PATH='/nowhere/claude': there is no such file; "
            "correct it, or leave it out to have the CLI looked for\n"
        )


def test_doctor_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = tmp_path / "claude"
    old.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo '1.0.3 (Claude Code)' && exit\nexit 7\n")
    old.chmod(0o755)
    monkeypatch.setenv("CLAUDE_CODE_CLI_PATH", str(old))
    assert main(["doctor", "claude-code"]) == 3
    assert [line.split() for line in capsys.readouterr().out.splitlines()[2:]] == [
        ["claude-code", "not", "ready"],
        ["program", str(old)],
        ["starts", "no"],
        ["version", "1.0.3", "(not", "tested)"],
        ["!", "Claude", "Code", "ended", "with", "exit", "code", "7"],
    ]
    for variable in ("CLAUDE_CODE_CLI_PATH", "QODERCLI_PATH", "CORTEX_CODE_CLI_PATH"):
        monkeypatch.setenv(variable, "/nowhere/cli")
    monkeypatch.delenv("TRIOLOGUE_AGENT", raising=False)
    assert main(["doctor"]) == 3
    printed = capsys.readouterr().out.splitlines()
    titles = [line for line in printed if line.endswith(" ready")]
    assert titles == ["claude-code  not ready", "qoder  not ready", "cortex-code  not ready", "embedded  ready"]
    monkeypatch.setenv("TRIOLOGUE_AGENT", "embedded")
    assert main(["doctor"]) == 0
    assert main(["doctor", "qoder"]) == 3
    assert main(["doctor", "embedded"]) == 0


GROUPS = [
    name
    for group in (sessions, tokens)
    for name in (group.name or "", *(f"{group.name} {each}" for each in group.commands))
]


@pytest.mark.parametrize("name", ["", "demo", "chat", "run", "doctor", "ps", "top", "serve", *GROUPS])
def test_help_fits_a_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"Usage: triologue{' ' * bool(name)}{name} [OPTIONS]")
    assert max(map(len, printed.splitlines())) <= 80
    assert "..." not in printed.partition("Commands:")[2]


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("triologue ")


def test_a_shell_that_completes_the_command_is_told_what_may_follow_the_version() -> None:
    line = {"_TRIOLOGUE_COMPLETE": "bash_complete", "COMP_WORDS": "triologue --version do", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-m", "triologue"], env=os.environ | line, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("plain,doctor\n", "")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "triologue", "run", "--agent", "embedded", "--stream-json", "Count to 50000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize("command", ["doctor embedded", "run --agent embedded --no-keep --json hi", "--help"])
def test_no_reader_at_all_is_no_error_either(command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "triologue", *command.split()],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_a_shell_has_closed_is_as_if_it_were_dev_null(closed: str) -> None:
    line = f"'{sys.executable}' -m triologue run --agent embedded --no-keep 'Say hi' {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "" if " >&-" in f" {closed}" else "hi\n", "")


def test_a_terminal_of_no_width_is_one_of_the_usual_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert main(["doctor", "embedded"]) == 0
    assert "  program  none: it runs in this process\n" in capsys.readouterr().out


def test_without_its_extra_it_says_how_to_install_it() -> None:
    hide = "import sys; sys.modules['rich'] = None; from triologue.cli.main import main; sys.exit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "triologue: the command needs its extra, install it with: pip install 'triologue[cli]'\n"


@pytest.mark.parametrize(
    ("module", "code"),
    [("triologue.errors", -signal.SIGINT), ("triologue.cli.commands", 130)],
)
def test_ctrl_c_while_it_is_loaded_is_no_traceback(module: str, code: int, tmp_path: Path) -> None:
    program = tmp_path / "triologue"
    program.write_text(f"""
import signal, sys

class CtrlC:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, CtrlC())
from triologue.cli.main import main
sys.exit(main(["doctor", "embedded"]))
""")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_ctrl_c_while_it_is_loaded_raises_nothing_in_the_middle_of_it(tmp_path: Path) -> None:
    program = tmp_path / "triologue"
    program.write_text("""
import signal, sys

class CtrlC:
    def find_spec(self, name, path, target=None):
        if name == "triologue.errors":
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                print("raised in the middle of it", flush=True)
                raise

sys.meta_path.insert(0, CtrlC())
import triologue
""")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("before", ["signal.default_int_handler", "signal.SIG_IGN", "lambda *_: None"])
def test_ctrl_c_is_the_programs_again_once_it_is_loaded(before: str, tmp_path: Path) -> None:
    program = tmp_path / "triologue"
    program.write_text(f"""
import signal

before = {before}
signal.signal(signal.SIGINT, before)
import triologue
assert signal.getsignal(signal.SIGINT) is before
""")
    subprocess.run([sys.executable, program], check=True)


def test_a_program_of_that_name_tells_of_its_errors_as_it_chose_to(tmp_path: Path) -> None:
    program = tmp_path / "triologue"
    program.write_text("import sys\nsys.excepthook = lambda *_: print('it broke')\nimport triologue\nraise ValueError")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "it broke\n", "")


def test_a_chat_from_a_pipe_answers_each_line_and_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    done = command("chat", "--agent", "embedded", stdin="Remember: I like Python\n\n/fork\nWhat do I like?\n/cost")
    answers = [line for line in done.stdout.splitlines() if not line.startswith("(")]
    assert (done.returncode, done.stderr) == (0, "")
    assert answers[:2] == ["I will remember that you like Python.", "You like Python."]
    assert answers[2].startswith("Total cost: $")
    assert main(["sessions", "list", "--prefix", "chat/", "--json"]) == 0
    fork, original = json.loads(capsys.readouterr().out)
    assert (fork["parent"], fork["turns"], original["turns"]) == (original["key"], 2, 1)


def test_a_chat_that_goes_on_begins_with_a_copy(capsys: pytest.CaptureFixture[str]) -> None:
    command("chat", "--agent", "embedded", stdin="Remember: I like Python")
    assert main(["sessions", "list", "--json"]) == 0
    (original,) = json.loads(capsys.readouterr().out)
    done = command("chat", "--resume", original["key"], stdin="/fork\nWhat do I like?")
    assert done.stdout.splitlines()[:2] == [
        f"(this is a copy now; /resume {original['session_id']} goes back)",
        "You like Python.",
    ]
    assert main(["sessions", "list", "--json"]) == 0
    heads = json.loads(capsys.readouterr().out)
    assert [(head["parent"], head["turns"]) for head in heads] == [(original["key"], 1), (None, 1)]


def test_of_nothing_there_is_no_copy() -> None:
    done = command("chat", "--agent", "embedded", stdin="/fork")
    assert done.returncode == 1
    assert "has not begun, so there is nothing to fork; send a prompt first" in done.stdout


def test_a_model_is_no_conversation_before_something_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    lines = "/model parrot\n"
    done = command("chat", "--agent", "embedded", stdin=lines)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(the model is parrot)\n", "")
    assert main(["sessions", "list"]) == 0
    assert capsys.readouterr().out == "No session is kept.\n"
    done = command("chat", "--agent", "embedded", stdin=lines + "Which model are you?")
    assert done.stdout.splitlines()[1] == "I am parrot."


def test_each_conversation_has_a_model_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    said = said_in_chat("Which model are you?")
    assert main(["sessions", "list", "--json"]) == 0
    (first,) = json.loads(capsys.readouterr().out)
    lines = f"/model\n/model parrot\n/resume {first['key']}\n/model\nWhich model are you?\n/model\n"
    assert said_in_chat(lines) == [
        "(the model is the default of the agent)",
        "(the model is parrot)",
        f"(the next message goes on with {first['key']})",
        "(the model is told with the next answer)",
        *said,
        f"(the model is {said[0].removeprefix('I am ').removesuffix('.')})",
    ]
    copied = said_in_chat("Hello\n/fork\n/model\nWhich model are you?", "--model", "parrot")
    assert copied[-2:] == ["(the model is parrot)", "I am parrot."]


def said_in_chat(lines: str, *arguments: str) -> list[str]:
    """What it printed, but for times and costs."""
    printed = command("chat", "--agent", "embedded", *arguments, stdin=lines).stdout
    return [line for line in printed.splitlines() if " s, $" not in line]


def test_a_chat_from_a_pipe_tells_that_a_prompt_failed() -> None:
    done = command("chat", "--agent", "embedded", stdin="Fail: no luck\nSay hello\n")
    assert done.returncode == 1
    assert "no luck" in done.stdout
    assert "hello" in done.stdout.splitlines()


def command(*arguments: str, stdin: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "triologue", *arguments], input=stdin, capture_output=True, text=True, check=False
    )


NOWHERE_TO_WRITE = """
import errno, sys, tempfile

def gettempdir():
    raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

tempfile.gettempdir = gettempdir
from triologue.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ps"], "No manager of this user runs.\n"),
        (["run", "--no-keep", "--agent", "embedded", "Say hi"], "hi\n"),
    ],
)
def test_a_container_with_no_folder_for_temporary_files(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TRIOLOGUE_RUNTIME_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    command = [sys.executable, "-c", NOWHERE_TO_WRITE, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, said, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_is_told_of_in_one_line() -> None:
    command = [sys.executable, "-m", "triologue", "run", "--agent", "embedded", "Say hi"]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (
        1,
        "triologue: the output cannot be written: No space left on device\n",
    )
