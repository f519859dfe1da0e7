"""The functions for conversations on disk: what they tell of a file is what the vendor's SDK tells of it."""

import importlib
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.sdk.face_stage import FACES, SDKS, asked, options, set_up
from triologue.engine.histories import CLAUDE, QODER, DiskTranscripts
from triologue.engine.transcripts import Entry, SubAgent, Transcript
from triologue.sdk import claude, qoder

VENDORS = ["claude", "qoder"]
RULES = {"claude": CLAUDE, "qoder": QODER}
ONE, TWO, THREE = (f"{number:08}-0000-4000-8000-000000000000" for number in (1, 2, 3))


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return set_up(tmp_path, monkeypatch)


def conversation(session_id: str, work: Path, *said: str) -> Transcript:
    transcript = Transcript(session_id, str(work))
    for number, text in enumerate(said):
        role = "assistant" if number % 2 else "user"
        content: Any = [{"type": "text", "text": text}] if number % 2 else text
        transcript.entries.append(Entry(role, content, [uuid(number)]))
    return transcript


def keep(vendor: str, transcript: Transcript) -> Path:
    histories = DiskTranscripts(RULES[vendor])
    histories.keep(transcript)
    return histories.file_of(transcript)


def plain(value: Any) -> Any:
    """What a function of ours, or of the vendor, gave, as plain values."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else msgspec.structs.asdict(value)


def agree(vendor: str, ask: Callable[[Any], Any]) -> Any:
    """What our function gives, after it was found to be what the vendor's gives; but for what that one lacks."""
    ours, theirs = plain(ask(FACES[vendor])), plain(ask(importlib.import_module(SDKS[vendor])))
    pairs = zip(ours, theirs, strict=True) if isinstance(ours, list) else [(ours, theirs)]
    for mine, its in pairs:
        assert {name: mine[name] for name in its} == its
    return ours


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_list_has_the_newest_first(vendor: str, work: Path) -> None:
    for number, (session_id, title) in enumerate(((ONE, None), (TWO, "Second"), (THREE, None))):
        transcript = conversation(session_id, work, f"prompt {number}", "reply", "x" * 70_000, "the end")
        transcript.title, transcript.tag = title, "red" if title else None
        os.utime(keep(vendor, transcript), (1000 + number, 1000 + number))
    listed = agree(vendor, lambda sdk: sdk.list_sessions(str(work)))
    assert [(each["session_id"], each["custom_title"], each["tag"]) for each in listed] == [
        (THREE, None, None),
        (TWO, "Second", "red"),
        (ONE, None, None),
    ]
    assert agree(vendor, lambda sdk: sdk.list_sessions()) == listed
    assert agree(vendor, lambda sdk: sdk.list_sessions(str(work), limit=1, offset=1)) == listed[1:2]
    assert agree(vendor, lambda sdk: sdk.list_sessions(str(work / "elsewhere"))) == []


@pytest.mark.parametrize("vendor", VENDORS)
def test_odd_files_are_told_of_as_the_vendor_does(vendor: str, work: Path) -> None:
    file = keep(vendor, conversation(ONE, work, "Hello", "Hi"))
    first, *others = file.read_text().splitlines()
    odd = {
        TWO: ['{"type":"mode"}', "garbage", '{"type":"user","isMeta":true,"message":{"content":"not me"}}', first],
        THREE: [first.replace('"isSidechain":false', '"isSidechain":true'), *others],
        uuid(1): ['{"type":"user","message":{"content":"<command-name>/clear</command-name>"}}'],
        uuid(2): ['{"type":"user","message":{"content":"[Request interrupted by user]"}}', '{"aiTitle":"A title"}'],
        uuid(3): ['{"type":"user","message":{"content":[{"type":"text","text":"a\\nb "},{"type":"image"}]}}'],
        uuid(4): ['{"type":"user","message":{"content":"' + "y" * 300 + '"}}', '{"type":"tag","tag":"t"}'],
        uuid(5): [],
        "no-uuid": [first],
    }
    for name, lines in odd.items():
        (file.parent / f"{name}.jsonl").write_text("\n".join(lines) + "\n" * bool(lines))
    for name in (ONE, *odd):
        os.utime(file.parent / f"{name}.jsonl", (1, 1))
        sdk: Any = importlib.import_module(SDKS[vendor])
        theirs = sdk.get_session_info(name, str(work))
        ours = FACES[vendor].get_session_info(name, str(work))
        if vendor == "qoder" and theirs is not None and theirs.created_at is None:
            ours.created_at = None  # that SDK looks for it in the first line only
        assert (ours and plain(ours)) == (theirs and plain(theirs)), name


@pytest.mark.parametrize("vendor", VENDORS)
def test_messages_and_those_of_sub_agents(vendor: str, work: Path) -> None:
    transcript = conversation(ONE, work, "Hello", "Hi", "Look", "Found")
    keep(vendor, transcript)
    helper = conversation(ONE, work, "Look for it", "Here")
    helper.agent = SubAgent(id="a1", kind="general-purpose", tool_use_id="toolu_1", description="looks")
    keep(vendor, helper)
    messages = agree(vendor, lambda sdk: sdk.get_session_messages(ONE))
    assert [(each["type"], each["uuid"]) for each in messages] == [
        ("user", uuid(0)),
        ("assistant", uuid(1)),
        ("user", uuid(2)),
        ("assistant", uuid(3)),
    ]
    assert agree(vendor, lambda sdk: sdk.get_session_messages(ONE, str(work), 2, 1)) == messages[1:3]
    assert agree(vendor, lambda sdk: sdk.get_session_messages(TWO)) == []
    assert FACES[vendor].list_subagents(ONE) == ["a1"]
    said = agree(vendor, lambda sdk: sdk.get_subagent_messages(ONE, "a1"))
    assert [(each["type"], each["parent_tool_use_id"]) for each in said] == [
        ("user", "toolu_1"),
        ("assistant", "toolu_1"),
    ]
    assert agree(vendor, lambda sdk: sdk.get_subagent_messages(ONE, "a2")) == []


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_compacted_conversation(vendor: str, work: Path) -> None:
    transcript = conversation(ONE, work, "Hello", "Hi", "More", "Much")
    histories = DiskTranscripts(RULES[vendor])
    histories.keep(transcript)
    transcript.entries = [Entry("user", "It was about much.", [uuid(7)]), Entry("assistant", "So it was.", [uuid(8)])]
    histories.keep(transcript)
    assert [each["uuid"] for each in agree(vendor, lambda sdk: sdk.get_session_messages(ONE))] == [uuid(7), uuid(8)]


def test_qoder_also_shows_what_was_summed_up(work: Path) -> None:
    test_a_compacted_conversation("qoder", work)
    shown = agree("qoder", lambda sdk: sdk.get_session_messages(ONE, view="historical"))
    assert [each["uuid"] for each in shown] == [uuid(0), uuid(1), uuid(2), uuid(3), uuid(8)]
    with pytest.raises(ValueError, match="historical"):
        qoder.get_session_messages(ONE, view="other")


@pytest.mark.parametrize("vendor", VENDORS)
def test_names_and_tags_are_read_by_the_vendor_too(vendor: str, work: Path) -> None:
    face = FACES[vendor]
    file = keep(vendor, conversation(ONE, work, "Hello", "Hi"))
    with file.open("ab") as torn:
        torn.write(b'{"type":"us')  # as a writer that was killed leaves it
    face.rename_session(ONE, "  A title ")
    face.tag_session(ONE, "r\u200bed", str(work))
    info = agree(vendor, lambda sdk: sdk.get_session_info(ONE))
    assert (info["custom_title"], info["tag"]) == ("A title", "red")
    face.tag_session(ONE, None)
    assert agree(vendor, lambda sdk: sdk.get_session_info(ONE))["tag"] is None
    wrong: list[tuple[Any, ...]] = [
        (face.rename_session, ONE, " "),
        (face.tag_session, ONE, "\u200b"),
        (face.rename_session, "nope", "A"),
        (face.fork_session, ONE, None, "nope"),
        (face.fork_session, ONE, None, uuid(9)),
    ]
    for function, *arguments in wrong:
        with pytest.raises(ValueError):
            function(*arguments)
    missing: list[tuple[Any, ...]] = [(face.rename_session, TWO, "A"), (face.delete_session, ONE, str(work.parent))]
    for function, *arguments in missing:
        with pytest.raises(FileNotFoundError):
            function(*arguments)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_copy_is_one_that_the_vendor_would_have_made(vendor: str, work: Path) -> None:
    file = keep(vendor, conversation(ONE, work, "Hello", "Hi", "More", "Much"))
    sdk: Any = importlib.import_module(SDKS[vendor])
    for arguments in ({}, {"up_to_message_id": uuid(1)}, {"title": "Mine"}):
        copies = [each.fork_session(ONE, **arguments).session_id for each in (FACES[vendor], sdk)]
        told = [
            [
                (each["type"], each["message"], each.get("forkedFrom"))
                for each in map(json.loads, (file.parent / f"{copy}.jsonl").read_text().splitlines())
                if "message" in each
            ]
            for copy in copies
        ]
        assert told[0] == told[1]
        assert len({each.get_session_info(copy).custom_title for each in (FACES[vendor], sdk) for copy in copies}) == 1
        assert (
            len(FACES[vendor].get_session_messages(copies[0]))
            == len(sdk.get_session_messages(copies[0]))
            == len(told[0])
        )
    assert len(FACES[vendor].get_session_messages(ONE)) == 4


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_conversation_is_deleted_with_its_sub_agents(vendor: str, work: Path) -> None:
    file = keep(vendor, conversation(ONE, work, "Hello", "Hi"))
    helper = conversation(ONE, work, "Look for it", "Here")
    helper.agent = SubAgent(id="a1", kind="general-purpose", tool_use_id="toolu_1", description="looks")
    keep(vendor, helper)
    FACES[vendor].delete_session(ONE)
    assert not file.exists()
    assert not file.with_suffix("").exists()


@pytest.mark.parametrize("vendor", VENDORS)
def test_folders_are_called_as_at_the_vendor(vendor: str, work: Path) -> None:
    sdk: Any = importlib.import_module(SDKS[vendor])
    for path in (None, str(work), work / "a b.c", "/" + "long" * 80, "/ü/\U0001d4b3"):
        assert FACES[vendor].project_key_for_directory(path) == sdk.project_key_for_directory(path)


def test_worktrees_belong_to_their_project(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (
        ["init", "-q"],
        [*identity, "commit", "-q", "--allow-empty", "-m", "x"],
        ["worktree", "add", "-q", "../tree"],
    ):
        subprocess.run(["git", *command], cwd=work, check=True, capture_output=True)
    keep("claude", conversation(ONE, work.parent / "tree", "Hello", "Hi"))
    listed = agree("claude", lambda sdk: sdk.list_sessions(str(work)))
    assert [each["session_id"] for each in listed] == [ONE]
    assert agree("claude", lambda sdk: sdk.list_sessions(str(work), include_worktrees=False)) == []
    assert claude.get_session_info(ONE, str(work)) is not None


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_copy_goes_on(vendor: str, work: Path) -> None:
    face: Any = FACES[vendor]
    client_of: Any = face.ClaudeSDKClient if vendor == "claude" else face.QoderSDKClient
    async with client_of(options(vendor, cwd=work)) as client:
        await asked(client, "Remember: I like Python")
        copy = face.fork_session(client.session_id).session_id
    async with client_of(options(vendor, cwd=work, resume=copy)) as client:
        assert await asked(client, "What do I like?") == "You like Python."
    assert len(agree(vendor, lambda sdk: sdk.get_session_messages(copy))) == 4
