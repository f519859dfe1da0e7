"""`serve` and `tokens` as a script sees them: what they print, where, and their exit codes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

import triologue as tri
from triologue.cli.endings import ExitCode
from triologue.cli.main import main
from triologue.cli.tokens import tokens_path
from triologue.gateway.token_file import TokenFile


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command while it serves, and what it says first."""
    program = [sys.executable, "-m", "triologue", "serve", "--agent", "embedded", "--port", "0", *arguments]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def end(process: subprocess.Popen[str], number: int) -> tuple[int, str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


ENDED = "triologue: ended as asked; nothing of it is left running\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_serves_until_a_signal(number: int) -> None:
    with serving("--memory") as (process, said):
        address = re.fullmatch(
            r"(http://127\.0\.0\.1:\d+/)  \(embedded; no tokens: whoever connects may do everything; Ctrl-C ends it\)\n",
            said,
        )
        assert address is not None, said
        with urllib.request.urlopen(address[1]) as answer:
            assert b"<title>triologue</title>" in answer.read()
        assert end(process, number) == (0, "", ENDED)


def test_it_says_what_it_waits_for_when_it_is_to_end() -> None:
    with serving("--memory") as (process, said):
        url = said.split()[0].replace("http", "ws")

        async def run_a_turn() -> None:
            async with tri.open_remote(url) as far:
                turn = await far.session("k").send("Wait 3600 seconds")
                async for _ in turn:  # so it runs
                    break
                process.send_signal(signal.SIGINT)

        trio.run(run_a_turn)
        assert process.stderr is not None
        assert process.stderr.readline() == "triologue: waits for 1 turn to end; a second signal interrupts\n"
        assert end(process, signal.SIGINT) == (0, "", ENDED)


def test_no_token_is_said(tmp_path: Path) -> None:
    token = TokenFile(tmp_path / "t.json", create=True).add("phone")
    with serving("--memory", "--tokens", str(tmp_path / "t.json")) as (process, said):
        assert said.endswith(f"  (embedded; tokens of {tmp_path}/t.json; Ctrl-C ends it)\n")
        assert token not in said
        assert end(process, signal.SIGTERM)[0] == 0


def test_it_keeps_sessions_where_it_is_told(tmp_path: Path) -> None:
    with serving("--store", str(tmp_path / "own.db")) as (process, _):
        assert end(process, signal.SIGTERM)[0] == 0
    assert (tmp_path / "own.db").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--memory", "--store", "a.db"], "--store and --memory are two answers to one question; give one of them"),
        (["--tls-key", "key.pem"], "--tls-key is of a certificate; add --tls-cert FILE"),
        (["--port", "70000"], "Invalid value for '--port': 70000 is not in the range 0<=x<=65535"),
        (["--cwd", "/none"], "Invalid value for '--cwd': Directory '/none' does not exist"),
        (["--agent", "hal"], "Invalid value for '--agent' (env var: 'TRIOLOGUE_AGENT'): 'hal' is not one of"),
    ],
)
def test_a_command_line_that_cannot_be(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"triologue serve: {said}")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--host", "0.0.0.0"], 2, r"host='0.0.0.0' can be reached by others, so give it .* \(--insecure\) means"),
        (["--host", "0.0.0.0", "--tokens", "{file}"], 2, r"host='0.0.0.0' can be reached by others"),
        (["--tokens", "none.json"], 1, r"there is no token file 'none.json'; `triologue tokens add NAME"),
        (["--origin", "example.org"], 2, r"the origin 'example.org' is none"),
        (["--tls-cert", "none.pem"], 2, r"--tls-cert none.pem: there is no certificate .* in that: No such file"),
        (["--tls-cert", "{file}"], 2, r"--tls-cert .*: there is no certificate with its key, in PEM, in that"),
        (["--host", "192.0.2.1", "--insecure"], 2, r"cannot listen on '192.0.2.1', port 0: .*; name another"),
    ],
)
def test_what_cannot_be_served(
    arguments: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TokenFile(tmp_path / "t.json", create=True).add("phone")
    filled = [each.format(file=tmp_path / "t.json") for each in arguments]
    assert main(["serve", "--agent", "embedded", "--memory", "--port", "0", *filled]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.match(f"triologue: {said}", printed.err), printed.err
    assert printed.err.count("\n") == 1


def test_an_agent_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CLAUDE_CODE_CLI_PATH", "/none/claude")
    assert main(["serve", "--agent", "claude-code", "--memory", "--port", "0"]) == ExitCode.NO_AGENT
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.startswith("triologue: CLAUDE_CODE_CLI_PATH='/none/claude': there is no such file; correct it")


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", "--agent", "embedded", "--memory", "--port", str(port)]) == 2
    expected = f"triologue: cannot listen on '127.0.0.1', port {port}: Address already in use; name another with --host"
    assert capsys.readouterr().err.startswith(expected)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_for_its_output_is_no_taken_port() -> None:
    program = [sys.executable, "-m", "triologue", "serve", "--agent", "embedded", "--port", "0", "--memory"]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "triologue: the output cannot be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, said)


def test_a_token_from_its_making_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["phone", "--right", "watch", "--right", "approve", "--prefix", "team-a/", "--expires", "30d"]
    assert main(["tokens", "add", *arguments]) == 0
    printed = capsys.readouterr()
    token = printed.out.strip()
    assert (token.startswith("tri_"), printed.err) == (True, "")
    assert tokens_path().stat().st_mode & 0o777 == 0o600

    assert main(["tokens", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    (grant,) = json.loads(listed)
    assert (grant["name"], sorted(grant["rights"]), grant["prefix"]) == ("phone", ["approve", "watch"], "team-a/")
    assert main(["tokens", "list"]) == 0
    table = capsys.readouterr().out
    assert table.split()[:8] == ["ID", "NAME", "RIGHTS", "PREFIX", "EXPIRES", grant["id"], "phone", "approve"]
    assert token.split("_", 2)[2] not in listed + table

    assert main(["tokens", "revoke", grant["id"]]) == 0
    assert "revoked" in capsys.readouterr().err
    assert main(["tokens", "revoke", grant["id"]]) == 1
    assert capsys.readouterr().err.startswith(f"triologue: there is no token with the id {grant['id']!r}; `tri")
    assert main(["tokens", "revoke", token]) == 1
    assert token[8:] not in capsys.readouterr().err
    assert main(["tokens", "list"]) == 0
    assert capsys.readouterr().out == "There is no token.\n"


def test_the_terminal_does_not_obey_the_prefix_of_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokens", "add", "phone", "--prefix", "a\x1b[2J\nb"]) == 0
    assert main(["tokens", "list"]) == 0
    assert " a[2J b " in capsys.readouterr().out.splitlines()[-1]


def test_without_a_right_it_may_only_watch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "own.json")
    assert main(["tokens", "add", "tv", "--tokens", path]) == 0
    assert [grant.rights for grant in TokenFile(path).grants()] == [frozenset({"watch"})]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["add", "x", "--right", "root"], 2, "triologue tokens add: Invalid value for '--right': 'root' is not one of"),
        (
            ["add", "x", "--expires", "0d"],
            2,
            "triologue: a token that has expired already is good for nothing; give --expires more than 0",
        ),
        (
            ["add", "x", "--expires", "soon"],
            2,
            "triologue tokens add: Invalid value for '--expires': 'soon' is no time",
        ),
        (["add", ""], 2, "triologue: a token's name is 1 to 512 printable characters, not ''"),
        (["add"], 2, "triologue tokens add: Missing argument 'NAME'"),
        (["list"], 1, "triologue: there is no token file"),
        (["revoke", "x", "--tokens", os.devnull], 1, "triologue: the token file '/dev/null' is no regular file"),
    ],
)
def test_tokens_that_cannot_be(arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokens", *arguments]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(said), printed.err
    assert printed.err.count("\n") == 1


def test_a_token_file_in_a_folder_that_is_not_there_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "t.json"
    assert main(["tokens", "list", "--tokens", str(path)]) == 1
    assert f"`triologue tokens add NAME --tokens {path}` makes one" in capsys.readouterr().err
    assert main(["tokens", "add", "phone", "--tokens", str(path)]) == 0
    assert [grant.name for grant in TokenFile(path).grants()] == ["phone"]
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("{} >/dev/full", 1, "no token was made, as it cannot be printed: No space left on device"),
        ("{} | :", 1, "no token was made, as it cannot be printed: Broken pipe"),
        ("{} >/dev/null", 2, "no token was made: the output is closed, or /dev/null, and nobody would see it"),
        ("{} >&-", 2, "no token was made: the output is closed, or /dev/null, and nobody would see it"),
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_token_that_nobody_sees_is_not_kept(line: str, code: int, said: str, tmp_path: Path) -> None:
    kept = TokenFile(tmp_path / "t.json", create=True)
    kept.add("phone")
    add = f"'{sys.executable}' -m triologue tokens add tv --tokens '{tmp_path}/t.json'"
    command = ["bash", "-o", "pipefail", "-c", line.format(add)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", f"triologue: {said}\n")
    assert TokenFile(tmp_path / "t.json").grants() == kept.grants()
