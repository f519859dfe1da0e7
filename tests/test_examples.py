"""Every program in `examples/`, run on the built-in agent and on the real Claude Code CLI; what it prints is compared."""

import importlib
import json
import re
import warnings
from collections.abc import AsyncGenerator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

import triologue as tri
from tests.support.real_cli import CleanPlace, open_clean_place
from triologue.engine import Transcripts

FOLDER = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))

# Programs that bring an agent with tools of their own, because it is what they show.
WITH_OWN_AGENT = {"limits", "permissions", "tenants", "tools"}
# Those that the default suite runs on the real CLI too; the slow one runs all.
SOON_ON_CLAUDE = {"bot", "permissions", "quickstart"}
# They wait for a disk or a socket, of which the virtual clock knows nothing.
ON_REAL_TIME = {"durable", "gateway_serve", "one_shot_kept", "remote_client"}
# Abandoning a query is what it shows, and Python warns of that.
WARNS = {"own_generator"}

ON_EMBEDDED = {
    "abort_event": """
        aborted: error_during_execution
        alive: I am still here
    """,
    "bot": """
        slack:C1: I will remember that you like Python.
        slack:C1: You like Python.
        slack:C2: I will remember that you like tea.
        slack:C2: You like tea.
    """,
    "branches": """
        branch: You like Python and you like C.
        main:   You like Python.
        main is hibernated
        woken:  You like Python.
        reset:  You have not told me that yet.
    """,
    "chat_class": """
        I will remember that you like Python.
        You like Python.
    """,
    "client_chat": """
        > Remember: my name is Ada
        I will remember that your name is Ada.
        > What is my name?
        Your name is Ada.
    """,
    "connect_disconnect_across_tasks": """
        I will remember that you like boats.
        You like boats.
        disconnected
    """,
    "cost": """
        Remember: I like Python   $0.000189   in total $0.000189
        What do I like?           $0.000162   in total $0.000351
        Say thanks                $0.000177   in total $0.000528
    """,
    "endless_input": """
        I will remember that you like tea.
        You like tea.
        closed
    """,
    "gateway_serve": """
        I will remember that you like Python.
        /: HTTP/1.1 200 OK
        /healthz: HTTP/1.1 200 OK
        /metrics: HTTP/1.1 401 Unauthorized
    """,
    "hooks": """
        UserPromptSubmit: Call mcp__desk__add(a=1, b=1)
        result: The tool mcp__desk__add says: 2.
        UserPromptSubmit: Call mcp__desk__add(a=100, b=1)
        result: The tool mcp__desk__add failed: PreToolUse:mcp__desk__add hook error: only small numbers.
    """,
    "durable": """
        I will remember that you like Python.
        asked again: answered, and not run again
        You like Python.
        in the store: ['slack:C1']
    """,
    "interrupt_and_go_on": """
        interrupt: stopped
        result: error_during_execution
        result: success - that was enough
    """,
    "limits": """
        error_max_turns True ['Reached maximum number of turns (2)']
        success False enough
    """,
    "many_conversations": """
        ada: You like engines.
        alan: You like apples.
        grace: You like compilers.
    """,
    "next_prompt_from_reply": """
        6
        3
        10
        5
        16
        8
        4
        2
        done
    """,
    "one_shot": """
        I will remember that you like Python.
        answered in 1 round trip with the model
    """,
    "one_shot_kept": """
        I will remember that you like Python.
        You like Python.
    """,
    "overlapping": """
        rejected: busy
        running: interrupted
        urgent: I went first
        waiting: I waited
        one: one

        and two
        two: merged into one
    """,
    "overnight": """
        build: failed: the turn failed (api_error): API Error: 529 overloaded
        docs: the docs are fine
        tests: took too long (first_event)
    """,
    "own_generator": """
        I will remember that you like tea.
        I will remember that you like cake.
    """,
    "permissions": """
        delete {'path': 'old.txt'}  [Allow] [Deny]
        Bob is too late: Ada said allow
        delete {'path': '/etc/hosts'}  [Allow] [Deny]
        Bob is too late: Ada said deny
        The tool delete says: old.txt is gone. The tool delete failed: Only files of this project.
    """,
    "quickstart": """
        You like Python.
    """,
    "remote_client": """
        web:ada: You like Python.
        web:ada: You like Python.
        message-1: answered
        message-2: answered
        NotFound: there is no such session, or not for this token
    """,
    "session_not_found": """
        no conversation has the session id '5f0c3c3e-0000-4000-8000-000000000000' (cwd 'CWD'): the built-in agent keeps them in memory, for as long as the process lives, or in a store; start afresh by leaving `resume` out, or under a manager's key by `session.reset()`
        I will remember that you like Python.
    """,
    "sessions": """
        resumed   True You like Python.
        continued True You like Python.
        forked    False I will remember that you like C.
        named     True
        original  True You like Python.
        my own id True
    """,
    "streamed_input": """
        I will remember that you like trio.
        You like trio.
    """,
    "talking_agents": """
        Ada: I pack an apple
        Bob: I pack an apple a book
        Cyd: I pack an apple a book a cat
        Ada: I pack an apple a book a cat a drum
        Bob: I pack an apple a book a cat a drum an egg
    """,
    "tenants": """
        acme:2 waits for room for one more live agent: 1 of 1 agents live in its group, all busy
        acme:2 says: I waited
        bolt:1 has cost more than $0.0001
    """,
    "tools": """
        I will use add and nap.
        add {'a': 1, 'b': 2}
        nap {'seconds': 0.1}
        -> 3
        -> rested
        The tool add says: 3. The tool nap says: rested.
    """,
    "tools_in_process": """
        I will use mcp__desk__add and mcp__desk__greet and mcp__desk__divide.
        mcp__desk__add {'a': 1, 'b': 2}
        mcp__desk__greet {'name': 'Ada'}
        mcp__desk__divide {'a': 1, 'b': 4}
        -> [{'type': 'text', 'text': '3'}]
        -> [{'type': 'text', 'text': 'Hi Ada'}]
        -> [{'type': 'text', 'text': '0.25'}]
        The tool mcp__desk__add says: 3. The tool mcp__desk__greet says: Hi Ada. The tool mcp__desk__divide says: 0.25.
    """,
    "watching": """
        early #1 accepted: Remember: I like Python
        early ended: answered: I will remember that you like Python.
        early #N accepted: What do I like?
        early ended: answered: You like Python.
        turn room:7-2 answered
        late #1 accepted: Remember: I like Python
        late ended: answered: I will remember that you like Python.
        late #N accepted: What do I like?
        late ended: answered: You like Python.
    """,
}

# The stub answers `echo[n]: ` and all prompts so far, or as a script in the prompt says.
ON_CLAUDE = {
    "abort_event": """
        aborted: error_during_execution
        alive: echo[2]: SCRIPT | Say I am still here
    """,
    "bot": """
        slack:C1: echo[1]: Remember: I like Python
        slack:C1: echo[2]: Remember: I like Python | What do I like?
        slack:C2: echo[1]: Remember: I like tea
        slack:C2: echo[2]: Remember: I like tea | What do I like?
    """,
    "branches": """
        branch: echo[3]: Remember: I like Python | Remember: I like C | What did I tell you?
        main:   echo[2]: Remember: I like Python | What did I tell you?
        main is hibernated
        woken:  echo[3]: Remember: I like Python | What did I tell you? | What do I like?
        reset:  echo[1]: What do I like?
    """,
    "chat_class": """
        echo[1]: Remember: I like Python
        echo[2]: Remember: I like Python | What do I like?
    """,
    "client_chat": """
        > Remember: my name is Ada
        echo[1]: Remember: my name is Ada
        > What is my name?
        echo[2]: Remember: my name is Ada | What is my name?
    """,
    "connect_disconnect_across_tasks": """
        echo[1]: Remember: I like boats
        echo[2]: Remember: I like boats | What do I like?
        disconnected
    """,
    "cost": """
        Remember: I like Python   $N   in total $N
        What do I like?           $N   in total $N
        Say thanks                $N   in total $N
    """,
    "endless_input": """
        echo[1]: Remember: I like tea
        echo[2]: Remember: I like tea | What do I like?
        closed
    """,
    "gateway_serve": """
        echo[1]: Remember: I like Python
        /: HTTP/1.1 200 OK
        /healthz: HTTP/1.1 200 OK
        /metrics: HTTP/1.1 401 Unauthorized
    """,
    "hooks": """
        UserPromptSubmit: [[tool mcp__desk__add {"a": 1, "b": 1}]][[results]]
        result: 2
        UserPromptSubmit: [[tool mcp__desk__add {"a": 100, "b": 1}]][[results]]
        result: PreToolUse:mcp__desk__add hook error: only small numbers
    """,
    "durable": """
        echo[1]: Remember: I like Python
        asked again: answered, and not run again
        echo[2]: Remember: I like Python | What do I like?
        in the store: ['slack:C1']
    """,
    "interrupt_and_go_on": """
        interrupt: stopped
        result: error_during_execution
        result: success - echo[2]: SCRIPT | Say that was enough
    """,
    "limits": """
        error_max_turns True ['Reached maximum number of turns (2)']
        success False echo[2]: SCRIPT | Say enough
    """,
    "many_conversations": """
        ada: echo[2]: Remember: I like engines | What do I like?
        alan: echo[2]: Remember: I like apples | What do I like?
        grace: echo[2]: Remember: I like compilers | What do I like?
    """,
    "next_prompt_from_reply": """
        6
        3
        10
        5
        16
        8
        4
        2
        done
    """,
    "one_shot": """
        echo[1]: Remember: I like Python
        answered in 1 round trip with the model
    """,
    "one_shot_kept": """
        echo[1]: Remember: I like Python
        echo[2]: Remember: I like Python | What do I like?
    """,
    "overlapping": """
        rejected: busy
        running: interrupted
        urgent: echo[1]: Say I went first
        waiting: echo[2]: Say I went first | Say I waited
        one: echo[3]: Say I went first | Say I waited | Say one

        and two
        two: merged into one
    """,
    "overnight": """
        docs: the docs are fine
    """,
    "own_generator": """
        echo[1]: Remember: I like tea
        echo[1]: Remember: I like cake
    """,
    "permissions": """
        Bash {'command': 'touch old.txt'}  [Allow] [Deny]
        Bob is too late: Ada said allow
        Bash {'command': 'touch /etc/never'}  [Allow] [Deny]
        Bob is too late: Ada said deny
        (Bash completed with no output) | Only files of this project.
    """,
    "quickstart": """
        echo[2]: Remember: I like Python | What do I like?
    """,
    "remote_client": """
        web:ada: echo[2]: Remember: I like Python | What do I like?
        web:ada: echo[2]: Remember: I like Python | What do I like?
        message-1: answered
        message-2: answered
        NotFound: there is no such session, or not for this token
    """,
    "session_not_found": """
        no conversation has the session id '5f0c3c3e-0000-4000-8000-000000000000' (cwd 'CWD', config folder 'HOME/.claude'); start afresh by leaving `resume` out, or under a manager's key by `session.reset()`
        echo[1]: Remember: I like Python
    """,
    "sessions": """
        resumed   True echo[2]: Remember: I like Python | What do I like?
        continued True echo[3]: Remember: I like Python | What do I like? | What did I tell you?
        forked    False echo[4]: Remember: I like Python | What do I like? | What did I tell you? | Remember: I like C
        named     True
        original  True echo[4]: Remember: I like Python | What do I like? | What did I tell you? | What do I like?
        my own id True
    """,
    "streamed_input": """
        echo[1]: Remember: I like trio
        echo[2]: Remember: I like trio | What do I like?
    """,
    "talking_agents": """
        Ada: I pack an apple
        Bob: I pack an apple a book
        Cyd: I pack an apple a book a cat
        Ada: I pack an apple a book a cat a drum
        Bob: I pack an apple a book a cat a drum an egg
    """,
    "tenants": """
        acme:2 waits for room for one more live agent: 1 of 1 agents live in its group, all busy
        acme:2 says: echo[1]: Say I waited
        bolt:1 has cost more than $0.0001
    """,
    "tools": """
        I look around.
        Bash {'command': 'pwd'}
        -> CWD
        Here I am.
    """,
    "tools_in_process": """
        mcp__desk__add {'a': 1, 'b': 2}
        -> [{'type': 'text', 'text': '3'}]
        mcp__desk__greet {'name': 'Ada'}
        -> [{'type': 'text', 'text': 'Hi Ada'}]
        mcp__desk__divide {'a': 1, 'b': 4}
        -> [{'type': 'text', 'text': '0.25'}]
        3 | Hi Ada | 0.25
    """,
    "watching": """
        early #1 accepted: Remember: I like Python
        early ended: answered: echo[1]: Remember: I like Python
        early #N accepted: What do I like?
        early ended: answered: echo[2]: Remember: I like Python | What do I like?
        turn room:7-2 answered
        late #1 accepted: Remember: I like Python
        late ended: answered: echo[1]: Remember: I like Python
        late #N accepted: What do I like?
        late ended: answered: echo[2]: Remember: I like Python | What do I like?
    """,
}

LONG = "[[words 1000 delay 0.05]]"
LOOK = f"[[tool Bash {json.dumps({'command': 'pwd'})}]]"
ARGUMENTS_ON_CLAUDE: dict[str, dict[str, Any]] = {
    "abort_event": {"prompt": LONG},
    "endless_input": {"silence": 0.2},
    "hooks": {"prompt": '[[tool mcp__desk__add {{"a": {}, "b": 1}}]][[results]]'},
    "interrupt_and_go_on": {"prompt": LONG},
    "limits": {"prompt": LOOK * 5},
    "next_prompt_from_reply": {"prompt": "[[say {}]]"},
    "streamed_input": {"pause": 0.1},
    "talking_agents": {"prompt": "[[say {}]]"},
    "overlapping": {"busy": LONG},
    "overnight": {"jobs": {"docs": "[[say the docs are fine]]"}},
    "tenants": {"busy": LONG},
    "permissions": {
        "prompt": '[[tool Bash {"command": "touch old.txt"}]][[tool Bash {"command": "touch /etc/never"}]][[results]]'
    },
    "tools_in_process": {
        "prompt": '[[tool mcp__desk__add {"a": 1, "b": 2}]][[tool mcp__desk__greet {"name": "Ada"}]]'
        '[[tool mcp__desk__divide {"a": 1, "b": 4}]][[results]]'
    },
    "tools": {"prompt": f"[[say I look around.]]{LOOK}[[say Here I am.]]"},
}


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


async def output_of(name: str, agent: tri.Agent | None, capsys: pytest.CaptureFixture[str], **arguments: Any) -> str:
    """Run a program; what it printed, without the numbers of events that depend on the agent."""
    program = importlib.import_module(f"examples.{name}")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        await program.main(*([] if name == "quickstart" else [agent]), **arguments)
    assert {warning.category for warning in warned} == ({ResourceWarning} if name in WARNS else set())
    return re.sub(r"#(?!1\b)\d+", "#N", capsys.readouterr().out)


def checked_prices(output: str) -> str:
    """The output with `$N` for each price; they depend on the CLI's version, but add up."""
    costs, totals = (
        [float(price) for price in re.findall(rf"{before}\$(\S+)", output)] for before in (" {3,}", "total ")
    )
    assert min(costs) > 0
    assert totals == pytest.approx(list(accumulate(costs)))
    return re.sub(r"\$[\d.]+", "$N", output)


@pytest.mark.parametrize("name", NAMES)
async def test_on_the_built_in_agent(
    name: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
) -> None:
    monkeypatch.chdir(tmp_path)
    if name in ON_REAL_TIME:
        autojump_clock.autojump_threshold, autojump_clock.rate = float("inf"), 1.0
    agent = None if name in WITH_OWN_AGENT else tri.Embedded(transcripts=Transcripts())
    output = await output_of(name, agent, capsys)
    assert lines(output.replace(str(tmp_path), "CWD")) == lines(ON_EMBEDDED[name])


@pytest.fixture
async def place(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[CleanPlace]:
    async with open_clean_place() as place:
        monkeypatch.chdir(place.cwd)
        yield place
        assert place.api.strays == []


@pytest.mark.real_cli
@pytest.mark.parametrize(
    "name", [name if name in SOON_ON_CLAUDE else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
async def test_on_claude_code(
    name: str, place: CleanPlace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = tri.ClaudeCode(environ=place.env)
    if name == "quickstart":  # "or tri.ClaudeCode()", says its comment
        monkeypatch.setattr(tri, "Embedded", lambda: agent)
    arguments = ARGUMENTS_ON_CLAUDE.get(name, {})
    output = await output_of(name, agent, capsys, **arguments)
    names = {str(place.cwd): "CWD", str(place.home): "HOME", arguments.get("prompt") or LONG: "SCRIPT"}
    for text, stands_for in names.items():
        output = output.replace(text, stands_for)
    if name == "cost":
        output = checked_prices(output)
    assert lines(output) == lines(ON_CLAUDE[name])


def test_every_program_is_in_the_readme() -> None:
    listed = re.findall(
        r"^- \[`(\w+)\.py`\]\(\1\.py\): ", (FOLDER / "README.md").read_text("utf-8"), flags=re.MULTILINE
    )
    assert sorted(listed) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_program_is_short_and_says_what_it_shows(name: str) -> None:
    source = (FOLDER / f"{name}.py").read_text("utf-8")
    assert source.startswith('"""')
    assert source.endswith('\n\nif __name__ == "__main__":\n    trio.run(main)\n')
    assert len(source.splitlines()) <= 50
