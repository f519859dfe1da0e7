"""Every program in `examples/vendors/`, run on the built-in agent as the vendor's program, and Claude's on Claude Code."""

import importlib
import json
import os
import re
from collections.abc import AsyncGenerator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import MARKER
from tests.support.real_cli import CleanPlace, find_claude, open_clean_place
from tests.support.standin_program import agent_program, clean_environment, write_script

FOLDER = Path(__file__).parent.parent / "examples" / "vendors"
NAMES = sorted(f"{path.parent.name}.{path.stem}" for path in FOLDER.glob("*/*.py"))
OF_CLAUDE = [name for name in NAMES if name.startswith("claude.")]
VARIABLES = ("CLAUDE_CODE_CLI_PATH", "QODERCLI_PATH", "CORTEX_CODE_CLI_PATH")
MAX_LINES = 60

# Those that the default suite runs; the slow one runs all.
SOON = {"claude.continue_conversation", "cortex.fork", "qoder.sessions"}

WRITE = {
    "file_path": "mean.py",
    "content": "def mean(numbers):\n    return sum(numbers) / len(numbers)\n",
}
EDIT = {
    "file_path": "mean.py",
    "old_string": "return sum(numbers) / len(numbers)",
    "new_string": "return sum(numbers) / len(numbers) if numbers else 0",
}

# What the model says where the offline model has no rule for it.
SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "claude.iterative_development": [
        {
            "contains": "Write mean.py",
            "replies": [[{"say": "A first version."}, {"tool": "Write", "input": WRITE}], "It is there."],
        },
        {
            "contains": "failed with ZeroDivisionError",
            "replies": [[{"say": "I forgot that case."}, {"tool": "Edit", "input": EDIT}], "Corrected."],
        },
    ],
    "claude.review_loop": [
        {"prompt": "Write a haiku about a pond.", "reply": "The pond is quite old."},
        {"prompt": "Review this draft: The pond is quite old.", "reply": "A frog is missing."},
        {"prompt": "The review of your draft says: A frog is missing.", "reply": "Old pond, a frog jumps."},
        {"prompt": "Review this draft: Old pond, a frog jumps.", "reply": "APPROVED"},
    ],
    "qoder.multi_turn": [
        {"prompt": "Name the capital of Norway in one word.", "reply": "Oslo."},
        {"prompt": "Which river flows through Oslo?", "reply": "The Akerselva."},
        {"prompt": "Is it a long one?", "reply": "No, eight kilometres."},
        {"prompt": "What was all that I asked?", "reply": [{"recall": True}]},
    ],
}

ON_OUR_AGENT = {
    "claude.chat_class": """
        [1] I will remember that your name is Ada.
        [2] Your name is Ada.
        [1] You have not told me that yet.
    """,
    "claude.continue_conversation": """
        continued: True - You like Python.
        resumed:   True - You like Python.
        forked:    True - I will remember that you like C.
        original:  You like Python.
    """,
    "claude.cost": """
        turn 1: $0.000075 of $0.000075, 4 tokens said
        the models' shares are the total: True
        turn 2: $0.000123 of $0.000198, 4 tokens said
        the models' shares are the total: True
        turn 3: $0.000171 of $0.000369, 4 tokens said
        the models' shares are the total: True
    """,
    "claude.debugging": """
        system init
        says I will use Bash.
        calls Bash {'command': 'echo hello'}
        got 'hello'
        says The tool Bash says: hello.
        result success after 2 round trips
        stderr: error: unknown option '--no-such-flag'
        CLIConnectionError: Claude Code refused what it was started with: error: unknown option '--no-such-flag'
    """,
    "claude.error_handling": """
        missing program: there is no such program
        unknown conversation: exit code 1
        failed call: success, is_error=True
        failed call: API Error: 400 no
        no error: success, is_error=False
        too long: error_during_execution
    """,
    "claude.iterative_development": """
        round 1
        A first version.
        Write mean.py
        It is there.
        test: ZeroDivisionError: division by zero
        round 2
        I forgot that case.
        Edit mean.py
        Corrected.
        test: passed
    """,
    "claude.many_conversations": """
        ada: Your project is in Rust.
        alan: Your project is in Lisp.
        grace: Your project is in Cobol.
        conversations: 3
    """,
    "claude.review_loop": """
        draft 1:  The pond is quite old.
        review 1: A frog is missing.
        draft 2:  Old pond, a frog jumps.
        review 2: APPROVED
    """,
    "claude.session_ids": """
        an id of the agent's own:
        I will remember that you like Python.
        told twice: True
        an id that we choose:
        I will remember that you like tea.
        taken: True
        resumed by its id:
        You like tea.
        the same: True
        kept:
        Remember: I like Python: user, assistant
        Remember: I like tea: user, assistant, user, assistant
    """,
    "cortex.abort_event": """
        aborted: error_during_execution after some of the words
        alive:   I am still here
    """,
    "cortex.client": """
        >  Remember: my table is ORDERS
        I will remember that your table is ORDERS.
        (success)
        >  What is my table?
        Your table is ORDERS.
        (success)
        >  Count to 5
        1 2 3 4 5
        (success)
    """,
    "cortex.fork": """
        three ids:  True
        in passing: True
        whole: The table is called ORDERS and the key is called ID.
        early: The table is called ORDERS.
        original: The table is called ORDERS and the key is called ID.
    """,
    "cortex.interrupt": """
        interrupted: error_during_execution
        afterwards:  success - that was enough
    """,
    "qoder.by_hand": """
        I will remember that you like Python.
        You like Python.
        I am performance.
        You have not told me that yet.
    """,
    "qoder.multi_turn": """
        you:   Name the capital of Norway in one word.
        agent: Oslo.
        you:   Which river flows through Oslo?
        agent: The Akerselva.
        you:   Is it a long one?
        agent: No, eight kilometres.
        you:   What was all that I asked?
        agent: echo[4]: Name the capital of Norway in one word. | Which river flows through Oslo? | Is it a long one? | What was all that I asked?
    """,
    "qoder.sessions": """
        chosen:    True - I will remember that you like Python.
        resumed:   True - You like Python.
        continued: True - I will remember that you like tea.
        forked:    True - I will remember that you like C.
        named:     True - You like Python and you like tea.
        branch:    True - You like Python, you like tea and you like C.
    """,
}

# The stub answers `echo[n]: ` and all prompts so far, or as a script in the prompt says.
ON_CLAUDE = {
    "claude.chat_class": """
        [1] echo[1]: Remember: my name is Ada
        [2] echo[2]: Remember: my name is Ada | What is my name?
        [1] echo[1]: What is my name?
    """,
    "claude.continue_conversation": """
        continued: True - echo[2]: Remember: I like Python | What do I like?
        resumed:   True - echo[3]: Remember: I like Python | What do I like? | What do I like?
        forked:    True - echo[4]: Remember: I like Python | What do I like? | What do I like? | Remember: I like C
        original:  echo[4]: Remember: I like Python | What do I like? | What do I like? | What did I tell you?
    """,
    "claude.cost": """
        turn 1: $N of $N, 5 tokens said
        the models' shares are the total: True
        turn 2: $N of $N, 5 tokens said
        the models' shares are the total: True
        turn 3: $N of $N, 5 tokens said
        the models' shares are the total: True
    """,
    "claude.debugging": """
        system init
        calls Bash {'command': 'echo hello'}
        got 'hello'
        says hello
        result success after 2 round trips
        stderr: error: unknown option '--no-such-flag'
        CLIConnectionError: Claude Code refused what it was started with: error: unknown option '--no-such-flag'
    """,
    "claude.error_handling": ON_OUR_AGENT["claude.error_handling"],
    "claude.iterative_development": ON_OUR_AGENT["claude.iterative_development"],
    "claude.many_conversations": """
        ada: echo[2]: Remember: my project is in Rust | What is my project in?
        alan: echo[2]: Remember: my project is in Lisp | What is my project in?
        grace: echo[2]: Remember: my project is in Cobol | What is my project in?
        conversations: 3
    """,
    "claude.review_loop": """
        draft 1:  A frog is missing.
        review 1: A frog is missing.
        draft 2:  Old pond, a frog jumps: APPROVED.
        review 2: Old pond, a frog jumps: APPROVED.
    """,
    "claude.session_ids": """
        an id of the agent's own:
        echo[1]: Remember: I like Python
        told twice: True
        an id that we choose:
        echo[1]: Remember: I like tea
        taken: True
        resumed by its id:
        echo[2]: Remember: I like tea | What do I like?
        the same: True
        kept:
        Remember: I like Python: user, assistant
        Remember: I like tea: user, assistant, user, assistant
    """,
}

ARGUMENTS_ON_CLAUDE: dict[str, dict[str, Any]] = {
    "claude.debugging": {"prompt": '[[tool Bash {"command": "echo hello"}]][[results]]'},
    "claude.error_handling": {"failing": '[[error 400 "no"]]', "endless": "[[hang before headers]]"},
    "claude.iterative_development": {
        "task": f"[[say A first version.]][[tool Write {json.dumps(WRITE)}]][[say It is there.]]",
        "fix": f"{{}} [[say I forgot that case.]][[tool Edit {json.dumps(EDIT)}]][[say Corrected.]]",
    },
    # The reviewer says what the draft says.
    "claude.review_loop": {
        "task": "[[say A frog is missing.]]",
        "review": "[[say {}]]",
        "revise": "You say: {} [[say Old pond, a frog jumps: APPROVED.]]",
    },
}

# Those that start Claude Code once; it takes a second each time.
QUICK_ON_CLAUDE = {"claude.cost", "claude.iterative_development"}


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


async def output_of(name: str, capsys: pytest.CaptureFixture[str], **arguments: Any) -> str:
    """Run a program; what it printed."""
    await importlib.import_module(f"examples.vendors.{name}").main(**arguments)
    return capsys.readouterr().out


def checked_prices(output: str) -> str:
    """The output with `$N` for each price; they depend on the CLI's version, but add up."""
    costs, totals = (
        [float(price) for price in re.findall(rf"{before} \$(\S+\d)", output)] for before in (r"turn \d:", "of")
    )
    assert min(costs) > 0
    assert totals == pytest.approx(list(accumulate(costs)))
    return re.sub(r"\$[\d.]+", "$N", output)


@pytest.mark.parametrize(
    "name", [name if name in SOON else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
async def test_on_our_agent(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.chdir(work)
    program, script = agent_program(home), write_script(home, *SCRIPTS.get(name, []))
    clean_environment(
        monkeypatch,
        home,
        QODER_PERSONAL_ACCESS_TOKEN="pt-any",
        TRIOLOGUE_SCRIPT=str(script),
        **dict.fromkeys(VARIABLES, str(program)),
    )
    assert lines(await output_of(name, capsys)) == lines(ON_OUR_AGENT[name])


def marked_claude(home: Path, marker: str) -> Path:
    """A `claude` that what it starts is found by; what this process starts besides is no business of the place."""
    script = home / "claude"
    script.write_text(f"#!/bin/sh\n{MARKER}={marker} exec '{find_claude()}' \"$@\"\n", "utf-8")
    script.chmod(0o755)
    return script


@pytest.fixture
async def place(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[CleanPlace]:
    async with open_clean_place() as place:
        monkeypatch.chdir(place.cwd)
        claude = marked_claude(place.home, place.marker)
        environment = {name: value for name, value in place.env.items() if name != MARKER}
        clean_environment(monkeypatch, place.home, **{**environment, VARIABLES[0]: str(claude)})
        yield place
        assert place.api.strays == []


@pytest.mark.real_cli
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK_ON_CLAUDE else pytest.mark.slow) for name in OF_CLAUDE],
)
async def test_on_claude_code(name: str, place: CleanPlace, capsys: pytest.CaptureFixture[str]) -> None:
    assert os.environ["ANTHROPIC_BASE_URL"] == place.api.url
    output = await output_of(name, capsys, **ARGUMENTS_ON_CLAUDE.get(name, {}))
    if name == "claude.cost":
        output = checked_prices(output)
    assert lines(output) == lines(ON_CLAUDE[name])


def test_every_program_is_in_the_readme() -> None:
    readme = (FOLDER.parent / "README.md").read_text("utf-8")
    listed = re.findall(r"^- \[`vendors/(\w+)/(\w+)\.py`\]\(vendors/\1/\2\.py\): ", readme, flags=re.MULTILINE)
    assert sorted(map(".".join, listed)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_program_is_short_and_says_what_it_shows(name: str) -> None:
    source = (FOLDER / f"{name.replace('.', '/')}.py").read_text("utf-8")
    vendor = name.partition(".")[0]
    assert source.startswith('"""')
    assert f"from triologue.sdk.{vendor} import" in source
    assert source.endswith('\n\nif __name__ == "__main__":\n    trio.run(main)\n')
    assert len(source.splitlines()) <= MAX_LINES
