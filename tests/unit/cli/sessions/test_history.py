"""A vendor's history becomes a session: what was said, in turns with outcomes, and the lines as they are."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from tests.unit.cli.sessions.history_files import BEGAN, SESSION, HistoryFile, shopping, text
from triologue.cli.sessions.history import Imported, read_session, records_beyond
from triologue.messages import Message, Outcome, TurnAccepted, TurnEnded, TurnStarted, UserMessage
from triologue.ports import Record, StoredSession
from triologue.testing.strategies import json_values
from triologue.wire import decode_record

EGGS = str(UUID(int=8))


def read(history: HistoryFile, *others: tuple[str, bytes], marks_leaf: bool = False) -> Imported | None:
    files = {f"{SESSION}.jsonl": history.data(), **dict(others)}
    return read_session(SESSION, files, key="k", agent="claude-code", marks_leaf=marks_leaf)


def read_some(history: HistoryFile, *others: tuple[str, bytes]) -> Imported:
    imported = read(history, *others)
    assert imported is not None
    return imported


def messages(imported: Imported) -> list[Message]:
    return [decode_record(record.kind, record.line) for record in imported.records]


def outcomes(imported: Imported) -> list[Outcome]:
    return [message.outcome for message in messages(imported) if isinstance(message, TurnEnded)]


def test_its_head() -> None:
    assert read_some(shopping()).head == StoredSession(
        key="k",
        session_id=SESSION,
        is_confirmed=True,
        agent="claude-code",
        cwd="/work/shop",
        title="Shopping list",
        tags=("home",),
        created=BEGAN + 2,
        last_active=BEGAN + 9,
        turns=2,
        input_tokens=20,
        output_tokens=10,
        cost_usd=0.25,
        last_seq=11,
    )


@pytest.mark.parametrize("told", [10**400, -1, True, "1.5", None])
def test_a_number_that_cannot_be_is_not_told(told: Any) -> None:
    history = HistoryFile().user("Buy milk").assistant(text("Bought."))
    history.lines[-1]["message"]["usage"] = {"input_tokens": -1, "output_tokens": True}
    head = read_some(history.note(type="cost-state", totalCostUSD=told)).head
    assert (head.cost_usd, head.input_tokens, head.output_tokens) == (None, 0, 0)


def cut(history: HistoryFile, lines: int) -> HistoryFile:
    shorter = HistoryFile()
    shorter.lines = history.lines[:lines]
    return shorter


@given(st.lists(st.integers(2, 12), max_size=4))
def test_a_history_that_grew_is_added_wherever_it_was(lengths: list[int]) -> None:
    whole, kept = shopping(), list[Record]()
    for length in [*sorted(lengths), len(whole.lines)]:
        new = records_beyond(read_some(cut(whole, length)).records, kept)
        assert new is not None
        kept += new
    assert [record.seq for record in kept] == list(range(1, len(kept) + 1))
    before, now = [
        [record.line for record in records if record.kind != "#turn_ended"]
        for records in (kept, read_some(whole).records)
    ]
    assert before == now
    for turn_id in {record.turn_id for record in kept} - {None}:  # what came after its outcome is not told as its
        assert [record.kind == "#turn_ended" for record in kept if record.turn_id == turn_id][-2:] == [False, True]
    assert records_beyond(read_some(HistoryFile().user("Something else")).records, kept) is None


def test_its_log() -> None:
    imported = read_some(shopping())
    assert [(record.seq, record.kind, record.time - BEGAN) for record in imported.records] == [
        (1, "#turn_accepted", 2),
        (2, "#turn_started", 2),
        (3, "assistant", 3),
        (4, "assistant", 4),
        (5, "user", 5),
        (6, "assistant", 6),
        (7, "#turn_ended", 6),
        (8, "#turn_accepted", 8),
        (9, "#turn_started", 8),
        (10, "user", 9),
        (11, "#turn_ended", 9),
    ]
    assert {record.turn_id for record in imported.records[7:]} == {EGGS}
    accepted, tool_result = messages(imported)[0], messages(imported)[4]
    assert isinstance(accepted, TurnAccepted)
    assert (accepted.prompt.content, accepted.prompt.uuid) == ("Buy milk", str(UUID(int=2)))
    assert isinstance(tool_result, UserMessage)
    assert tool_result.tool_use_result == {"stdout": "milk"}
    assert [outcome.kind for outcome in outcomes(imported)] == ["answered", "interrupted"]


def test_an_error_in_the_place_of_an_answer_and_no_answer_at_all() -> None:
    history = HistoryFile().user("one").assistant(text("API Error: 529"), isApiErrorMessage=True).user("two")
    failed, lost = outcomes(read_some(history))
    assert (failed.kind, str(failed.error)) == ("failed", "the turn failed: API Error: 529")
    assert (lost.kind, str(lost.error)) == ("lost", "the history has no answer to this prompt")


def test_its_lines_are_kept_as_they_are_but_for_what_is_no_part_of_it() -> None:
    history = shopping()
    agent = HistoryFile().user("look", isSidechain=True).data()
    imported = read_some(history, (f"{SESSION}/subagents/agent-a.jsonl", b"garbage\n\n" + agent))
    kept = [json.dumps(line).encode() for line in history.lines if line["type"] != "api-request-1"]
    own, theirs = imported.entries[: len(kept)], imported.entries[len(kept) :]
    assert [entry.line for entry in own] == kept
    assert [entry.id for entry in own] == [
        line.get("uuid") for line in history.lines if line["type"] != "api-request-1"
    ]
    assert [(entry.path, entry.line + b"\n") for entry in theirs] == [(f"{SESSION}/subagents/agent-a.jsonl", agent)]


def test_no_conversation() -> None:
    assert read(HistoryFile()) is None
    assert read(HistoryFile().note(type="summary", summary="x")) is None
    assert read(HistoryFile().user("look", isSidechain=True)) is None


def test_the_branch_that_was_marked_counts_where_the_vendor_marks_it() -> None:
    history = HistoryFile().user("one").assistant(text("first"))
    leaf = history.lines[-1]["uuid"]
    history.user("two").note(type="active-leaf", leafUuid=leaf)
    taken = [read(history, marks_leaf=marks) for marks in (True, False)]
    assert [each.head.turns if each is not None else 0 for each in taken] == [1, 2]


UUIDS = st.sampled_from(["1", "2", "3", "4"])
ODD: st.SearchStrategy[Any] = st.sampled_from([None, True, 0, -1e300, "", "x", [], [{}], [3], {}, {"type": 3}])
CONTENTS = st.sampled_from(["hi", "[Request interrupted by user]", [text("ho")], [{"type": "tool_result"}]])
LINES = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["user", "assistant", "user", "assistant", "progress"]),
        "uuid": UUIDS,
        "message": st.fixed_dictionaries(
            {"content": CONTENTS | ODD | json_values()}, optional={"id": ODD, "usage": ODD}
        )
        | ODD,
    },
    optional={
        "parentUuid": UUIDS | ODD,
        "timestamp": st.sampled_from(["2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"]) | ODD,
        "cwd": ODD,
        "isApiErrorMessage": ODD,
        "toolUseResult": ODD,
        "customTitle": ODD,
        "totalCostUSD": ODD,
    },
)


@given(st.lists(LINES, max_size=6))
def test_whatever_is_in_it_each_turn_has_one_beginning_and_one_end(lines: list[dict[str, Any]]) -> None:
    history = HistoryFile()
    history.lines = lines
    imported = read(history)
    if imported is None:
        return
    assert [record.seq for record in imported.records] == list(range(1, imported.head.last_seq + 1))
    kinds = [type(message) for message in messages(imported)]
    for kind in (TurnAccepted, TurnStarted, TurnEnded):
        assert kinds.count(kind) == imported.head.turns
