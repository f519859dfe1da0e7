"""A log as a person reads it."""

import pytest

from triologue.cli.sessions.spans import clock
from triologue.cli.sessions.transcript import TranscriptView, first_prompt, rows_of, state_of
from triologue.errors import TurnFailed, TurnInterrupted
from triologue.messages import (
    AssistantMessage,
    CanUseTool,
    ContentBlock,
    ImageBlock,
    Message,
    Outcome,
    PermissionAnswered,
    PermissionAsked,
    ResultMessage,
    SettingsChanged,
    StateChanged,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
    UserMessage,
)
from triologue.messages.conversation import AssistantBody, UserBody
from triologue.ports import Record, StoredSession, UnfinishedTurn
from triologue.wire import encode_record, kind_of

NOON = 1_700_000_000.0


def log(*said: tuple[str | None, Message]) -> list[Record]:
    """Records that are a second apart."""
    return [
        Record(seq=seq, turn_id=turn, kind=kind_of(message), time=NOON + seq, line=encode_record(message))
        for seq, (turn, message) in enumerate(said, start=1)
    ]


def shown(records: list[Record], *, first: int = 1) -> list[str]:
    view = TranscriptView(first=first)
    return [line.text for lines in (*map(view.show, records), view.end()) for line in lines]


def user(content: str | list[ContentBlock]) -> UserMessage:
    return UserMessage(message=UserBody(content=content))


def accepted(content: str | list[ContentBlock]) -> TurnAccepted:
    return TurnAccepted(prompt=user(content), meta={})


def assistant(*content: ContentBlock, parent: str | None = None) -> AssistantMessage:
    return AssistantMessage(message=AssistantBody(content=list(content), model="m"), parent_tool_use_id=parent)


def ended(outcome: Outcome) -> TurnEnded:
    return TurnEnded(outcome=outcome)


def result(said: str) -> ResultMessage:
    return ResultMessage(
        subtype="success", duration_ms=1, duration_api_ms=1, is_error=False, num_turns=1, session_id="s", result=said
    )


def test_a_turn_with_tools() -> None:
    ask = PermissionAsked(id="p", request=CanUseTool(tool_name="Bash", input={}))
    records = log(
        ("1", accepted([TextBlock(text="Look:\nwhat is there?"), ImageBlock(source={})])),
        (None, StateChanged(state="running")),
        (None, SettingsChanged(model="big")),
        ("1", TurnStarted()),
        (
            "1",
            assistant(
                TextBlock(text="I will look.\x1b[2J"), ToolUseBlock(id="t", name="Bash", input={"command": "ls"})
            ),
        ),
        ("1", ask),
        ("1", PermissionAnswered(id="p", answer="allow", by="U1")),
        ("1", user([ToolResultBlock.of("t", "a\nb\nc")])),
        ("1", assistant(TextBlock(text="not shown"), ToolUseBlock(id="u", name="Read", input={}), parent="t")),
        ("1", assistant(TextBlock(text="Three\nfiles."))),
        ("1", ended(Outcome(kind="answered", result=result("Three\nfiles."), cost_usd=0.0125))),
    )
    assert shown(records) == [
        "(from here on: model big, permission mode default)",
        "",
        f"[1] {clock(NOON + 1)}",
        "> Look:",
        "  what is there?",
        "  [image]",
        "I will look.[2J",
        "> Bash  ls",
        "(asks whether Bash may run)",
        "(allow by U1)",
        "  a  (and 2 more lines)",
        "  > Read  ",
        "Three",
        "files.",
        "(7.0 s, $0.0125)",
    ]


def test_turns_that_overlap_and_how_they_end() -> None:
    broken = TurnFailed("the turn failed: overloaded", result=result("overloaded"))
    records = log(
        ("1", accepted("one")),
        ("1", TurnStarted()),
        ("2", accepted("two")),
        ("3", accepted("three")),
        ("1", ended(Outcome(kind="answered", result=result("only a result")))),
        ("2", TurnStarted()),
        ("2", TurnStarted()),
        ("2", ended(Outcome(kind="interrupted", error=TurnInterrupted("stopped")))),
        ("3", TurnStarted()),
        ("3", assistant(TextBlock(text="overloaded"))),
        ("3", ended(Outcome(kind="failed", error=broken, result=broken.result))),
        ("4", accepted("four")),
        ("5", accepted("five")),
        ("4", TurnStarted()),
    )
    assert [line for line in shown(records) if line and not line.startswith("[")] == [
        "> one",
        "only a result",
        "(3.0 s)",
        "> two",
        "(started once more)",
        "(interrupted)",
        "(1.0 s)",
        "> three",
        "overloaded",
        "the turn failed",
        "(2.0 s)",
        "> four",
        "(no outcome yet)",
        "> five",
        "(waits)",
    ]


@pytest.mark.parametrize(
    ("first", "lines"),
    [
        (2, ["> one", "1", "(2.0 s)", "> two", "2", "(2.0 s)"]),
        (4, ["1", "(2.0 s)", "> two", "2", "(2.0 s)"]),
        (6, ["> two", "2", "(2.0 s)"]),
        (7, ["2", "(2.0 s)"]),
        (9, []),
    ],
)
def test_from_the_middle_of_turns(first: int, lines: list[str]) -> None:
    records = log(
        ("1", accepted("one")),
        ("1", TurnStarted()),
        ("2", accepted("two")),
        ("1", ended(Outcome(kind="answered", result=result("1")))),
        (None, StateChanged(state="idle")),
        ("2", TurnStarted()),
        ("2", assistant(TextBlock(text="2"))),
        ("2", ended(Outcome(kind="answered", result=result("2")))),
    )
    assert [line for line in shown(records, first=first) if line and not line.startswith("[")] == lines


def test_the_first_prompt() -> None:
    assert first_prompt(log((None, StateChanged(state="idle")), ("1", accepted("one\ntwo")))) == "one two"
    assert first_prompt([]) is None


def test_what_is_told_of_a_session() -> None:
    head = StoredSession(key="k")
    assert rows_of(head, held_by=None) == [
        ("created", "not known"),
        ("last active", "not known"),
        ("turns", "0"),
        ("cost", "$0.0000"),
    ]
    held_by = "bot.py on web-1, pid 7"
    unfinished = (UnfinishedTurn(id="1", seq=1),)
    full = StoredSession(key="k", title="T\nU", tags=("a", "b"), cost_usd=None, parent="p", unfinished=unfinished)
    told = dict(rows_of(full, held_by=held_by))
    assert {name: told[name] for name in ("title", "tags", "cost", "copy of", "turns", "held by")} == {
        "title": "T U",
        "tags": "a, b",
        "cost": "not known",
        "copy of": "p, at its end",
        "turns": "0, and 1 without an outcome",
        "held by": held_by,
    }
    states = [state_of(full, held_by=held_by), state_of(full, held_by=None), state_of(head, held_by=None)]
    assert states == ["in use by bot.py on web-1, pid 7", "1 unfinished", "-"]
