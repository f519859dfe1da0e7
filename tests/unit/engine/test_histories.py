"""Conversations on disk, read back by us and by the vendors' own SDKs."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import claude_agent_sdk
import msgspec
import pytest
import qoder_agent_sdk
import trio
from hypothesis import given, strategies as st
from trio.testing import wait_all_tasks_blocked

from tests.support.real_cli import find_claude, open_clean_place
from tests.unit.engine.stage import open_engine
from triologue.engine import Transcript, Transcripts
from triologue.engine.histories import (
    CLAUDE,
    CORTEX,
    QODER,
    DiskTranscripts,
    FolderRules,
    ToldTranscripts,
    take_back,
)
from triologue.engine.setup import new_uuid
from triologue.engine.transcripts import SubAgent
from triologue.errors import StoreError
from triologue.messages import TranscriptMirror
from triologue.testing.strategies import json_values, texts

Place = Callable[[FolderRules], DiskTranscripts]
VENDORS = [(CLAUDE, claude_agent_sdk), (QODER, qoder_agent_sdk)]
by_vendor = pytest.mark.parametrize(("rules", "sdk"), VENDORS, ids=["claude", "qoder"])


def uid(number: int) -> str:
    return str(UUID(int=number))


def plain(transcript: Transcript | None) -> Any:
    """All of a transcript, so that two can be compared."""
    assert transcript is not None
    entries = [(entry.role, entry.content, entry.uuids) for entry in transcript.entries]
    names = (transcript.session_id, transcript.cwd, transcript.title, transcript.tag)
    return entries, names, transcript.prompts, transcript.cost_usd, transcript.model_usage


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def call(use: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": use, "name": "add", "input": {"a": 1}}


def result(use: str, said: str = "1") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": use, "content": said}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder in which the SDKs look too."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for rules in (CLAUDE, QODER, CORTEX):
        monkeypatch.delenv(rules.variable, raising=False)
    return tmp_path / "home"


@pytest.fixture
def cwd(tmp_path: Path) -> str:
    (tmp_path / "work.d").mkdir()
    return str(tmp_path / "work.d")


def conversation(cwd: str, session_id: str = uid(1)) -> Transcript:
    """A prompt, two tool calls at once, their results, an answer."""
    said = Transcript(session_id, cwd)
    said.add("user", "add things", [uid(11)])
    said.add("assistant", [text("I will."), call("t1"), call("t2")], [uid(12), uid(13), uid(14)])
    said.add("user", [result("t1"), result("t2")], [uid(15), uid(16)])
    said.add("assistant", [text("2")], [uid(17)])
    said.prompts = {uid(11): "completed"}
    said.cost_usd = 0.25
    unused = {"cacheReadInputTokens": 0, "cacheCreationInputTokens": 0, "webSearchRequests": 0, "contextWindow": 1000}
    said.model_usage = {"m": {"inputTokens": 3, "outputTokens": 4, "costUSD": 0.25, **unused}}
    return said


def lines_of(store: DiskTranscripts, session_id: str = uid(1)) -> list[dict[str, Any]]:
    path = store.path(session_id)
    assert path is not None
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def write(store: DiskTranscripts, cwd: str, *lines: Any, session_id: str = uid(1), end: str = "\n") -> Path:
    """A file that another program wrote."""
    store.keep(conversation(cwd, session_id))
    path = store.path(session_id)
    assert path is not None
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + end)
    return path


def foreign(number: int, parent: int | None, role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A minimal line."""
    message = {"role": role, "content": content, **more.pop("message", {})}
    link = None if parent is None else uid(parent)
    named = {"uuid": uid(number), "parentUuid": link, "sessionId": uid(1), "timestamp": "2026-01-01T00:00:00.000Z"}
    return {"type": role, **named, "message": message, **more}


# --- what the SDKs see ------------------------------------------------------------------------------------------------


@by_vendor
def test_the_sdk_reads_what_was_kept(home: Path, cwd: str, rules: FolderRules, sdk: Any) -> None:
    store = DiskTranscripts(rules, now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    said = conversation(cwd)
    said.note(uid(12), message={"id": "msg_1", "model": "m-1", "usage": {"input_tokens": 3, "output_tokens": 4}})
    said.note(uid(13), message={"id": "msg_1", "model": "m-1"})
    said.note(uid(14), message={"id": "msg_1", "model": "m-1"})
    said.note(uid(15), toolUseResult={"sum": 1})
    store.keep(said)
    (info,) = sdk.list_sessions(directory=cwd)
    assert (info.session_id, info.summary, info.first_prompt, info.cwd) == (uid(1), "add things", "add things", cwd)
    assert (info.custom_title, info.tag) == (None, None)
    assert info.created_at == datetime(2026, 1, 2, tzinfo=UTC).timestamp() * 1000
    assert sdk.get_session_info(uid(1)) == sdk.get_session_info(uid(1), directory=cwd)
    messages = sdk.get_session_messages(uid(1), directory=cwd)
    assert [(message.type, message.uuid, message.session_id) for message in messages] == [
        (role, uid(number), uid(1))
        for role, number in zip(["user", *["assistant"] * 3, "user", "user", "assistant"], range(11, 18), strict=True)
    ]
    assert messages[0].message == {"role": "user", "content": "add things"}
    assert messages[1].message == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 4},
        "content": [text("I will.")],
    }
    assert messages[4].message == {"role": "user", "content": [result("t1")]}
    assert said.notes is None
    if rules is QODER:
        assert messages[4].tool_use_result == {"sum": 1}


@by_vendor
def test_what_the_sdk_changes_is_read_back(home: Path, cwd: str, rules: FolderRules, sdk: Any) -> None:
    store = DiskTranscripts(rules)
    store.keep(conversation(cwd))
    sdk.rename_session(uid(1), "Sums é", directory=cwd)
    sdk.tag_session(uid(1), "math")
    info = sdk.get_session_info(uid(1))
    assert (info.summary, info.custom_title, info.tag) == ("Sums é", "Sums é", "math")
    read = store.get(uid(1))
    assert read is not None
    assert (read.title, read.tag) == ("Sums é", "math")
    read.add("user", "more", [uid(21)])
    read.title = "Mine"
    store.keep(read)
    sdk.tag_session(uid(1), None)
    info = sdk.get_session_info(uid(1))
    assert (info.custom_title, info.tag, len(sdk.get_session_messages(uid(1)))) == ("Mine", None, 8)
    again = store.get(uid(1))
    assert again is not None
    assert (again.title, again.tag) == ("Mine", None)
    sdk.delete_session(uid(1))
    assert (store.get(uid(1)), uid(1) in store, sdk.list_sessions()) == (None, False, [])


@by_vendor
def test_the_sdk_forks_it_and_we_go_on_with_the_fork(home: Path, cwd: str, rules: FolderRules, sdk: Any) -> None:
    store = DiskTranscripts(rules)
    store.keep(conversation(cwd))
    whole = sdk.fork_session(uid(1), directory=cwd).session_id
    part = sdk.fork_session(uid(1), up_to_message_id=uid(14), title="Cut").session_id
    forked, cut = store.get(whole), store.get(part)
    assert forked is not None
    assert cut is not None
    assert forked.messages() == conversation(cwd).messages()
    assert cut.messages() == conversation(cwd).messages()[:2]
    assert cut.title == "Cut"
    cut.mend()
    cut.add("user", "and now?", [uid(31)])
    store.keep(cut)
    assert [m.message["content"] for m in sdk.get_session_messages(part)][-1] == "and now?"
    assert len(sdk.get_session_messages(part)) == 7


@by_vendor
def test_a_fork_of_ours_keeps_what_lines_tell(home: Path, cwd: str, rules: FolderRules, sdk: Any) -> None:
    days = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(9))
    store = DiskTranscripts(rules, now=lambda: next(days))
    said = conversation(cwd)
    said.note(uid(15), toolUseResult={"sum": 1})
    store.keep(said)
    fork = said.fork(uid(2))
    fork.add("user", "go on", [uid(21)])
    store.keep(fork)
    by_uuid = {line["uuid"]: line for line in lines_of(store, uid(2)) if "uuid" in line}
    assert by_uuid[uid(15)]["toolUseResult"] == {"sum": 1}
    assert [by_uuid[uid(number)]["timestamp"][:10] for number in (15, 21)] == ["2026-01-01", "2026-01-02"]
    assert {line["sessionId"] for line in lines_of(store, uid(2))} == {uid(2)}
    assert len(sdk.get_session_messages(uid(1))) == 7
    assert len(sdk.get_session_messages(uid(2))) == 8
    assert plain(DiskTranscripts(rules).get(uid(2))) == plain(fork)


@by_vendor
def test_sub_agents(home: Path, cwd: str, rules: FolderRules, sdk: Any) -> None:
    store = DiskTranscripts(rules)
    store.keep(conversation(cwd))
    agent = SubAgent(id="a1", kind="reviewer", tool_use_id="t1", description="Look", parent_agent_id="a0")
    inner = Transcript(uid(1), cwd, agent=agent)
    inner.add("user", "look", [uid(41)])
    store.keep(inner)
    inner.add("assistant", [text("fine")], [uid(42)])
    store.keep(inner)
    assert sdk.list_subagents(uid(1)) == ["a1"]
    messages = sdk.get_subagent_messages(uid(1), "a1")
    assert [(m.type, m.uuid, m.message["content"], m.parent_tool_use_id) for m in messages] == [
        ("user", uid(41), "look", "t1"),
        ("assistant", uid(42), [text("fine")], "t1"),
    ]
    assert len(sdk.list_sessions()) == 1
    assert len(sdk.get_session_messages(uid(1))) == 7
    (meta,) = home.rglob("*.meta.json")
    assert json.loads(meta.read_text()) == {
        "agentType": "reviewer",
        "description": "Look",
        "toolUseId": "t1",
        "parentAgentId": "a0",
    }
    store.forget(uid(1))
    store.forget(uid(1))
    assert list(home.rglob("*.json*")) == []
    Transcripts().keep(inner)  # in memory nobody would read it


@by_vendor
def test_a_compacted_conversation(home: Path, cwd: str, rules: FolderRules, sdk: Any) -> None:
    store = DiskTranscripts(rules)
    said = conversation(cwd)
    store.keep(said)
    said.entries.clear()
    said.add("user", "In short: sums.", [uid(51)])
    store.keep(said)
    said.add("user", "next", [uid(52)])
    store.keep(said)
    assert [m.uuid for m in sdk.get_session_messages(uid(1))] == [uid(51), uid(52)]
    assert plain(DiskTranscripts(rules).get(uid(1))) == plain(said)
    if rules is QODER:
        historical = sdk.get_session_messages(uid(1), view="historical")
        assert [m.uuid for m in historical] == [*map(uid, range(11, 18)), uid(52)]


@by_vendor
def test_a_cut_is_a_branch_of_the_same_file(home: Path, cwd: str, rules: FolderRules, sdk: Any) -> None:
    store = DiskTranscripts(rules)
    store.keep(conversation(cwd))
    read = store.get(uid(1))
    assert read is not None
    cut = read.until(uid(13))
    assert cut is not None
    store.keep(cut)
    assert len(sdk.get_session_messages(uid(1))) == 7  # it shows once it is gone on with
    cut.mend()
    cut.add("user", "otherwise", [uid(21)])
    store.keep(cut)
    again = DiskTranscripts(rules).get(uid(1))
    assert again is not None
    assert again.messages() == cut.messages()
    assert sdk.get_session_messages(uid(1))[-1].uuid == uid(21)
    assert again.prompts == {uid(11): "completed"}


@by_vendor
@pytest.mark.parametrize(
    "name", ["a/b.c d", "é/ü/😀", "x" * 120 + "/" + "é😀" * 40 + "/y"], ids=["odd", "wide", "long"]
)
def test_projects_are_found_as_the_sdk_names_them(
    home: Path, tmp_path: Path, rules: FolderRules, sdk: Any, name: str
) -> None:
    folder = tmp_path / "real" / name
    folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    store = DiskTranscripts(rules)
    store.keep(conversation(str(tmp_path / "link")))
    assert [info.session_id for info in sdk.list_sessions(directory=str(folder))] == [uid(1)]
    assert [path.name for path in home.glob("*/projects/*")] == [sdk.project_key_for_directory(str(folder))]
    assert plain(store.latest(str(folder))) == plain(conversation(str(tmp_path / "link")))


def test_a_long_path_that_was_cut_with_another_hash(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 150) / ("y" * 150)
    folder.mkdir(parents=True)
    other = home / ".claude/projects" / (claude_agent_sdk.project_key_for_directory(folder)[:201] + "other")
    other.mkdir(parents=True)
    said = conversation(str(folder))
    DiskTranscripts(CLAUDE).keep(said)
    (file,) = home.rglob("*.jsonl")
    assert file.parent.name == claude_agent_sdk.project_key_for_directory(folder)  # a new one goes to its own place
    file.rename(other / file.name)
    file.parent.rmdir()
    store = DiskTranscripts(CLAUDE)
    assert plain(store.latest(str(folder))) == plain(said)
    assert len(claude_agent_sdk.list_sessions(directory=str(folder))) == 1
    said.add("user", "more", [uid(21)])
    store.keep(said)
    assert [path.parent for path in home.rglob("*.jsonl")] == [other]


@by_vendor
def test_a_title_stays_near_the_end(home: Path, cwd: str, rules: FolderRules, sdk: Any) -> None:
    store = DiskTranscripts(rules)
    said = conversation(cwd)
    said.title = "Long"
    store.keep(said)
    sdk.tag_session(uid(1), "kept")
    for number in range(100, 120):
        said.add("user", "x" * 10_000, [uid(number)])
        store.keep(said)
        if number == 110:
            sdk.rename_session(uid(1), "Longer")
    info = sdk.get_session_info(uid(1))
    assert (info.custom_title, info.tag, said.title, said.tag) == ("Longer", "kept", "Longer", "kept")


# --- what is read back ------------------------------------------------------------------------------------------------


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Any conversation that the engine could have had."""
    said = Transcript(str(uuid4()), draw(st.just("/here") | texts().map(lambda name: "/" + name.replace("\0", ""))))
    blocks = st.fixed_dictionaries({"type": st.sampled_from(["text", "tool_use", "x"])}, optional={"a": json_values()})
    results = st.builds(lambda use: {"type": "tool_result", "tool_use_id": use}, texts())
    for role in draw(st.lists(st.sampled_from(["prompt", "blocks", "assistant", "results"]), max_size=6)):
        kind = results if role == "results" else blocks
        content: Any = draw(texts()) if role == "prompt" else draw(st.lists(kind, min_size=1, max_size=3))
        frames = 1 if role in ("prompt", "blocks") else len(content)
        said.add("assistant" if role == "assistant" else "user", content, [str(uuid4()) for _ in range(frames)])
    states = st.sampled_from(["completed", "cancelled"])
    prompts = [entry.uuids[0] for entry in said.entries if entry.role == "user"]
    said.prompts = draw(st.dictionaries(st.sampled_from(prompts), states)) if prompts else {}
    said.cost_usd = draw(st.floats(min_value=0, allow_infinity=False))
    usage = st.builds(lambda n: {"inputTokens": n, "outputTokens": n, "costUSD": 0.5}, st.integers(0, 2**40))
    said.model_usage = draw(st.dictionaries(texts(), usage, max_size=2))
    said.title, said.tag = draw(st.none() | st.just("T")), draw(st.none() | st.just("t"))
    return said


@given(said=transcripts(), steps=st.lists(st.integers(0, 6), max_size=4), rules=st.sampled_from([CLAUDE, QODER]))
def test_what_is_written_is_read_back_the_same(said: Transcript, steps: list[int], rules: FolderRules) -> None:
    with TemporaryDirectory() as folder:
        env = {rules.variable: folder}
        store, whole = DiskTranscripts(rules, env=env), said.entries
        for step in sorted(steps):  # it grows from keep to keep
            said.entries = whole[:step]
            store.keep(said)
        said.entries = whole
        store.keep(said)
        read = DiskTranscripts(rules, env=env).get(said.session_id)
        if any(entry.role == "user" for entry in whole):
            assert plain(read) == plain(said)
        else:
            assert read is None
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.jsonl"))
        store.keep(said)
        assert sum(path.stat().st_size for path in Path(folder).rglob("*.jsonl")) == size


@given(said=transcripts(), steps=st.lists(st.integers(0, 6), max_size=4), cut=st.integers(0, 20) | st.none())
def test_what_is_told_is_taken_back_the_same(said: Transcript, steps: list[int], cut: int | None) -> None:
    told: list[TranscriptMirror] = []
    keeping, whole = ToldTranscripts(Transcripts(), told.append), said.entries
    for step in sorted(steps):
        said.entries = whole[:step]
        keeping.keep(said)
    said.entries = whole
    keeping.keep(said)
    uuids = [uuid for entry in said.entries for uuid in entry.uuids]
    if cut is not None and cut < len(uuids):
        said = said.until(uuids[cut]) or said
        said.add("user", "on from here", [str(uuid4())])
        keeping.keep(said)
    assert {mirror.file_path for mirror in told} <= {f"{said.session_id}.jsonl"}
    lines = [line for mirror in told for line in mirror.lines]
    ids = [uuid for mirror in told for line in mirror.entries if (uuid := line.get("uuid"))]
    assert len(ids) == len(set(ids))
    kept = Transcripts()
    take_back(kept, said.session_id, lines, ids[-1] if ids else None)
    if any(entry.role == "user" for entry in said.entries):
        assert plain(kept.get(said.session_id)) == plain(said)
    told.clear()
    ToldTranscripts(kept, told.append).keep(kept.get(said.session_id) or Transcript("x", "/"))
    assert told == []


def test_a_message_that_grows_is_appended_block_by_block(home: Path, cwd: str) -> None:
    store = DiskTranscripts(CLAUDE)
    said = Transcript(uid(1), cwd)
    store.keep(said)
    assert uid(1) not in store  # nothing was said
    said.add("user", "go", [uid(11)])
    said.add("assistant", [call("t1"), call("t2")], [uid(12), uid(13)])
    results = said.add("user", [], [])
    store.keep(said)
    for number in (1, 2):
        results.add(result(f"t{number}"), uid(13 + number))
        store.keep(said)
    assert plain(store.get(uid(1))) == plain(said)
    assert [line["uuid"] for line in lines_of(store) if "uuid" in line] == [uid(n) for n in range(11, 16)]


def test_frames_without_an_id_and_a_prompt_that_came_twice(home: Path, cwd: str) -> None:
    store = DiskTranscripts(CLAUDE)
    said = Transcript(uid(1), cwd)
    said.add("user", "killed", [uid(11)])
    said.add("user", "between", [uid(12)])
    said.add("assistant", [call("t1")], [""])
    said.mend()
    said.add("user", "killed", [uid(11)])
    store.keep(said)
    store.keep(said)
    read = store.get(uid(1))
    assert read is not None
    assert read.messages() == said.messages()
    assert len(claude_agent_sdk.get_session_messages(uid(1))) == 5
    assert read.prompts == {}


def test_prompt_states_are_forgotten_with_what_was_cut_off(home: Path, cwd: str) -> None:
    store = DiskTranscripts(CLAUDE)
    said = conversation(cwd)
    said.add("user", "late", [uid(21)])
    said.prompts[uid(21)] = "cancelled"
    store.keep(said)
    cut = said.until(uid(17))
    assert cut is not None
    cut.add("user", "other", [uid(22)])
    store.keep(cut)
    read = store.get(uid(1))
    assert read is not None
    assert read.prompts == {uid(11): "completed"}


def test_the_latest_of_a_folder(home: Path, cwd: str, tmp_path: Path) -> None:
    store = DiskTranscripts(CLAUDE)
    first, second, elsewhere = conversation(cwd, uid(1)), conversation(cwd, uid(2)), conversation(str(tmp_path), uid(3))
    for said in (first, second, elsewhere, first):
        store.keep(said)
    assert (plain(store.latest(cwd)), plain(store.latest(str(tmp_path)))) == (plain(first), plain(elsewhere))
    assert store.latest(str(tmp_path / "none")) is None
    project = home / ".claude/projects" / claude_agent_sdk.project_key_for_directory(cwd)
    (project / f"{uid(4)}.jsonl").write_text("garbage")
    (project / f"{uid(5)}.jsonl").mkdir()
    (project / f"{uid(6)}.jsonl").symlink_to("nowhere")
    os.utime(project / f"{uid(2)}.jsonl", (4e9, 4e9))
    os.utime(project / f"{uid(4)}.jsonl", (5e9, 5e9))
    assert plain(DiskTranscripts(CLAUDE).latest(cwd)) == plain(second)


@by_vendor
def test_folders_that_share_a_project_do_not_continue_each_other(
    home: Path, tmp_path: Path, rules: FolderRules, sdk: Any
) -> None:
    own, other = tmp_path / "john-doe", tmp_path / "john.doe"
    own.mkdir()
    other.mkdir()
    store = DiskTranscripts(rules)
    private = conversation(str(other))
    store.keep(private)
    assert store.latest(str(own)) is None
    assert plain(store.latest(str(other))) == plain(private)


# --- what others wrote ------------------------------------------------------------------------------------------------


def test_a_minimal_file_of_another_program(home: Path, cwd: str) -> None:
    store = DiskTranscripts(CLAUDE)
    minimal = (foreign(1, None, "user", "hi"), foreign(2, 1, "assistant", [text("ho")]), foreign(3, 2, "user", "cut"))
    write(store, cwd, *minimal)
    read = store.get(uid(1))
    assert read is not None
    assert [m["content"] for m in read.messages()] == ["hi", [text("ho")], "cut"]
    assert (read.prompts, read.cwd) == ({uid(1): "completed"}, str(Path.cwd()))  # the last one was not begun
    read.add("assistant", [text("on")], [uid(4)])
    store.keep(read)
    assert [m.uuid for m in claude_agent_sdk.get_session_messages(uid(1))] == [uid(n) for n in range(1, 5)]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["{}"],
        [{"type": "assistant", "uuid": uid(1), "message": {"role": "assistant", "content": [text("x")]}}],
        [foreign(1, None, "user", "x", isSidechain=True)],
        [foreign(1, None, "user", 5)],
        [{**foreign(1, None, "user", "x"), "message": "x"}],
    ],
)
def test_a_file_that_nobody_could_go_on_with(home: Path, cwd: str, lines: list[Any]) -> None:
    store = DiskTranscripts(CLAUDE)
    write(store, cwd, *lines, end="")
    assert store.get(uid(1)) is None
    assert uid(1) in store  # but its id is taken
    assert (store.get(uid(9)), store.get("../x"), "../x" in store, 5 in store) == (None, None, False, False)


def test_broken_lines_are_passed_over(home: Path, cwd: str) -> None:
    store = DiskTranscripts(CLAUDE)
    lines = (
        foreign(1, None, "user", "hi"),
        "",
        '{"torn": ',
        "[1]",
        "[" * 100_000,
        {"type": "new-thing", "uuid": uid(77), "parentUuid": uid(1)},
        {"type": "user", "message": {"role": "user", "content": "no uuid"}},
        {"type": "system", "uuid": uid(5), "parentUuid": uid(1), "subtype": "x"},
        foreign(2, 5, "assistant", [text("ho"), "no block", {"no": "type"}]),
        {"type": "cost-state", "totalCostUSD": 1, "modelUsage": {"m": {"inputTokens": 7}, "n": 5}},
        {"type": "cost-state", "totalCostUSD": "much"},
        {"type": "custom-title", "customTitle": 5},
        foreign(3, 2, "assistant", [text("API Error")], isApiErrorMessage=True),
    )
    path = write(store, cwd, *lines, '{"type":"user","uuid":"x","mess', end="")
    read = store.get(uid(1))
    assert read is not None
    assert [m["content"] for m in read.messages()] == ["hi", [text("ho")]]
    assert (read.cost_usd, read.model_usage) == (1.0, {"m": {"inputTokens": 7, "outputTokens": 0, "costUSD": 0.0}})
    read.add("user", "next", [uid(9)])
    store.keep(read)
    assert path.read_text().endswith("\n")
    again = DiskTranscripts(CLAUDE).get(uid(1))
    assert again is not None
    assert again.messages() == read.messages()


def test_a_missing_parent_begins_the_conversation(home: Path, cwd: str) -> None:
    store = DiskTranscripts(CLAUDE)
    loop = foreign(4, 4, "user", "loop")
    write(store, cwd, loop, foreign(1, None, "user", "lost"), foreign(2, 99, "user", "kept"))
    read = store.get(uid(1))
    assert read is not None
    assert [m["content"] for m in read.messages()] == ["kept"]
    write(store, cwd, loop, session_id=uid(2))
    looped = store.get(uid(2))
    assert looped is not None
    assert [m["content"] for m in looped.messages()] == ["loop"]


def test_parallel_calls_as_claude_writes_them(home: Path, cwd: str) -> None:
    store = DiskTranscripts(CLAUDE)
    said = {"message": {"id": "msg_1"}}
    write(
        store,
        cwd,
        foreign(1, None, "user", "go"),
        foreign(2, 1, "assistant", [call("t1")], **said),
        foreign(3, 2, "assistant", [call("t2")], message={"id": "msg_1"}),
        foreign(4, 3, "user", [result("t2", "b")]),
        foreign(5, 2, "user", [result("t1", "a")]),
        foreign(6, 5, "assistant", [text("done")], message={"id": "msg_2"}),
        foreign(7, 3, "user", [result("t2", "again")]),
        foreign(8, 6, "user", "thanks"),
    )
    read = store.get(uid(1))
    assert read is not None
    assert read.messages() == (
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [call("t1"), call("t2")]},
        {"role": "user", "content": [result("t2", "b"), result("t1", "a")]},
        {"role": "assistant", "content": [text("done")]},
        {"role": "user", "content": "thanks"},
    )


def test_qoder_says_which_branch_is_meant(home: Path, cwd: str) -> None:
    lines = (
        foreign(1, None, "user", "hi"),
        foreign(2, 1, "user", "left"),
        foreign(3, 1, "user", "right"),
        {"type": "active-leaf", "leafUuid": uid(2), "sessionId": uid(1)},
    )
    for rules, seen in ((QODER, ["hi", "left"]), (CLAUDE, ["hi", "right"])):
        store = DiskTranscripts(rules)
        write(store, cwd, *lines)
        read = store.get(uid(1))
        assert read is not None
        assert [m["content"] for m in read.messages()] == seen
    assert [m.uuid for m in qoder_agent_sdk.get_session_messages(uid(1))] == [uid(1), uid(2)]


def test_two_writers(home: Path, cwd: str) -> None:
    one, two = DiskTranscripts(CLAUDE), DiskTranscripts(CLAUDE)
    said = conversation(cwd)
    one.keep(said)
    other = two.get(uid(1))
    assert other is not None
    for number in range(5):
        said.add("user", f"one {number}", [uid(100 + number)])
        one.keep(said)
        other.add("user", f"two {number}", [uid(200 + number)])
        two.keep(other)
    read = one.get(uid(1))
    assert read is not None
    assert read.messages() == other.messages()  # the branch that was written last
    assert len([line for line in lines_of(one) if "message" in line]) == 17


# --- the engine over it -----------------------------------------------------------------------------------------------


async def add(a: int, b: int) -> int:
    return a + b


def on_disk(rules: FolderRules) -> Any:
    return DiskTranscripts(rules)


@by_vendor
async def test_the_engine_keeps_and_resumes(home: Path, cwd: str, rules: FolderRules, sdk: Any) -> None:
    async with open_engine(transcripts=on_disk(rules), tools=[add], session_id=uid(1), new_id=new_uuid) as host:
        host.send(host.prompt('Use the tool add with {"a": 1, "b": 2}', uid(11)))
        await wait_all_tasks_blocked()
        assert len(sdk.get_session_messages(uid(1))) == 5
    first = host.results[-1]
    async with open_engine(transcripts=on_disk(rules), tools=[add], resume=uid(1), new_id=new_uuid) as host:
        host.send(host.prompt("Use the tool add", uid(11)))  # it is known
        host.send(host.prompt("What did I say first?", uid(12)))
    assert [result.result for result in host.results] == ['You said: "Use the tool add with {"a": 1, "b": 2}".']
    assert (host.results[-1].total_cost_usd or 0) > (first.total_cost_usd or 0) > 0
    messages = sdk.get_session_messages(uid(1))
    assert [(message.type, message.uuid) for message in messages if message.uuid in (uid(11), uid(12))] == [
        ("user", uid(11)),
        ("user", uid(12)),
    ]
    assert messages[2].message["model"] == "offline"
    async with open_engine(
        transcripts=on_disk(rules), continue_conversation=True, fork_session=True, new_id=new_uuid
    ) as host:
        host.send(host.prompt("How many messages?"))
    assert host.results[-1].result == "This is your 3rd message."
    assert len(sdk.list_sessions(directory="/here")) == 2


@by_vendor
async def test_a_message_is_on_disk_before_it_is_told(home: Path, cwd: str, rules: FolderRules, sdk: Any) -> None:
    seen: list[int] = []

    async def look() -> str:
        seen.append(len(sdk.get_session_messages(uid(1))))
        return "looked"

    async with open_engine(transcripts=on_disk(rules), tools=[look], session_id=uid(1)) as host:
        host.send(host.prompt("Use the tool look 2 times"))
    assert seen == [3, 6]
    assert host.results[-1].result == "The tool look says: looked."


@pytest.mark.real_cli
async def test_claude_code_goes_on_with_ours_and_we_with_its(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_clean_place() as place:
        store = DiskTranscripts(CLAUDE, env=place.env)
        store.keep(conversation(str(place.cwd)))
        argv = [str(find_claude()), "-p", "--verbose", "--output-format", "stream-json", "--resume", uid(1)]
        call_both = '[[tool Bash {"command":"echo x"}]] [[and tool Bash {"command":"echo y"}]] [[results]]'
        ended: list[Any] = []
        for prompt in ("[[recall]]", call_both):
            argv_once = [*argv, "--allowedTools", "Bash", "--", prompt]
            ran = await trio.run_process(argv_once, cwd=place.cwd, env=place.env, capture_stdout=True)
            ended.append(json.loads(ran.stdout.splitlines()[-1]))
        assert [result["result"] for result in ended] == ["echo[2]: add things | [[recall]]", "x | y"]
        assert ended[-1]["total_cost_usd"] > ended[0]["total_cost_usd"] > 0.25  # what was spent here counts on there
        read = store.get(uid(1))
        assert read is not None
        assert read.cost_usd == ended[-1]["total_cost_usd"]
        messages = read.messages()
        assert messages[:4] == conversation("").messages()
        assert [message["role"] for message in messages[4:]] == [*["user", "assistant"] * 2, "user", "assistant"]
        assert [block["type"] for block in messages[8]["content"]] == ["tool_result", "tool_result"]
        assert {"completed"} == set(read.prompts.values())
        read.add("user", "and ours again", [uid(21)])
        store.keep(read)
        monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(place.home / ".claude"))
        told = claude_agent_sdk.get_session_messages(uid(1))
        assert (told[-1].uuid, told[0].uuid, len(told)) == (uid(21), uid(11), 16)


# --- files ------------------------------------------------------------------------------------------------------------


def test_files_are_for_their_owner_alone(home: Path, cwd: str) -> None:
    before = os.umask(0o022)
    try:
        store = DiskTranscripts(CLAUDE)
        store.keep(conversation(cwd))
        store.keep(_agents_transcript(cwd))
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in home.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.rglob("*") if path.is_dir()} == {0o700}


def _agents_transcript(cwd: str, agent: str = "a1") -> Transcript:
    inner = Transcript(uid(1), cwd, agent=SubAgent(id=agent, kind="x", tool_use_id="t"))
    inner.add("user", "look", [uid(41)])
    return inner


def test_where_the_files_are(tmp_path: Path) -> None:
    for rules, home in ((CLAUDE, ".claude"), (QODER, ".qoder"), (CORTEX, ".snowflake/cortex")):
        named = DiskTranscripts(rules, env={"HOME": "/home/me", rules.variable: "/elsewhere"})
        assert repr(named) == "<DiskTranscripts in '/elsewhere/projects'>"
        assert (
            repr(DiskTranscripts(rules, env={"HOME": "/home/me"})) == f"<DiskTranscripts in '/home/me/{home}/projects'>"
        )
        assert DiskTranscripts(rules, env={"HOME": str(tmp_path)}).latest("/") is None


def test_what_cannot_be_kept(home: Path, cwd: str) -> None:
    store = DiskTranscripts(CLAUDE)
    with pytest.raises(StoreError, match="cannot be the name of a file"):
        store.keep(conversation(cwd, "../../x"))
    with pytest.raises(StoreError, match="cannot be the name of a file"):
        store.keep(_agents_transcript(cwd, "../x"))
    home.mkdir()
    (home / ".claude").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be written: (Not a directory|File exists)"):
        store.keep(conversation(cwd))
    (home / ".claude").unlink()
    store.keep(conversation(cwd))  # and nothing was taken for written


def test_what_was_kept_survives_the_process(home: Path, cwd: str) -> None:
    program = """
import os, sys
from triologue.engine import Transcript
from triologue.engine.histories import CLAUDE, DiskTranscripts
said = Transcript(sys.argv[1], sys.argv[2])
said.add("user", "hi", [sys.argv[1]])
DiskTranscripts(CLAUDE).keep(said)
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run([sys.executable, "-c", program, uid(1), cwd], check=False)
    assert ended.returncode == -9
    assert plain(DiskTranscripts(CLAUDE).latest(cwd))[0] == [("user", "hi", [uid(1)])]


def test_values_that_json_has_not(home: Path, cwd: str) -> None:
    store = DiskTranscripts(CLAUDE)
    said = conversation(cwd)
    said.note(uid(15), toolUseResult=msgspec.Raw(b'{"a":1}'))
    said.note(uid(16), toolUseResult=Path("/x"))
    said.note(uid(99), toolUseResult="early")
    said.add("user", "torn \ud800", [uid(18)])
    store.keep(said)
    results = [line.get("toolUseResult") for line in lines_of(store) if line.get("uuid") in (uid(15), uid(16))]
    assert results == [{"a": 1}, "PosixPath('/x')"]
    assert said.notes == {uid(99): {"toolUseResult": "early"}}  # its frame is yet to come
    read = store.get(uid(1))
    assert read is not None
    assert read.messages()[-1]["content"] == "torn \ufffd"
