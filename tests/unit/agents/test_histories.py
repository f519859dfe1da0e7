"""Histories of the vendors' programs: which lines a store keeps, and where a kept one is put."""

import json
import logging
import re
import stat
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio

import triologue as tri
from tests.support.keeping import Keeper
from tests.support.standin_program import agent_program
from tests.support.threads import no_threads
from tests.support.wiretap import Wiretap
from triologue.agents import ClaudeCode, Qoder, access_token
from triologue.agents.mirrors import entries_of
from triologue.agents.own_folders import own_folder
from triologue.errors import AgentProtocolError, StoreError
from triologue.messages import TranscriptMirror
from triologue.options import Options, without_identity
from triologue.ports import MirrorsHistories, Restored, TranscriptEntry

A = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
OWN = f"{A}.jsonl"
INNER = f"{A}/subagents/agent-a1.jsonl"


def entry(path: str, uuid: str | None = None, /, **line: Any) -> TranscriptEntry:
    line = line if uuid is None else {"uuid": uuid, **line}
    return TranscriptEntry(session_id=A, path=path, id=uuid, line=json.dumps(line).encode())


KEPT = [
    entry(OWN, "u1", type="user"),
    entry(INNER, type="agent_metadata", agentType="scout"),
    entry(INNER, "u2", type="user"),
    entry(INNER, type="agent_metadata", agentType="scout", finished=True),
    entry(OWN, type="tag", tag="x"),
]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def agent(tmp_path: Path) -> ClaudeCode:
    """Of a user who has set up nothing."""
    return ClaudeCode(environ={"HOME": str(tmp_path / "home")})


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


# --- what is kept -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "path"),
    [
        (f"/c/projects/-here/{OWN}", OWN),
        (f"/c/projects/-here/{INNER}", INNER),
        (f"/c/projects/-here/{A}/subagents/workflows/w1/agent-a1.jsonl", f"{A}/subagents/workflows/w1/agent-a1.jsonl"),
        (f"/c/projects/{OWN}", None),
        (f"/c/{OWN}", None),
        (f"/c/projects/../{OWN}", None),
        (f"/c/projects/-here/../../-there/{OWN}", None),
        (f"/c/projects/-here/{A}/../x.jsonl", None),
        (f"/elsewhere/projects/-here/{OWN}", None),
        (f"/c/projects/-here\0/{OWN}", None),
        (f"/c/projects/-here\ud800/{OWN}", None),
        (f"/c/projects/-here/{A}/settings.json", None),
        (f"/c/projects/-here/{A}.json", None),
        ("/c/projects/-here/.jsonl", None),
        ("", None),
    ],
)
def test_what_lies_in_a_projects_folder_is_kept(file: str, path: str | None) -> None:
    mirror = TranscriptMirror.of(file, [b'{"type":"user","uuid":"u1"}'])
    if path is None:
        with pytest.raises(AgentProtocolError, match=re.escape(f"{file!r} is no history below '/c/projects'")):
            entries_of(mirror, "/c/projects")
        return
    found = entries_of(mirror, "/c/projects")
    assert [(each.session_id, each.path, each.id) for each in found] == [(A, path, "u1")]


def test_a_folder_may_go_by_two_names(tmp_path: Path, agent: ClaudeCode) -> None:
    (tmp_path / "home" / ".claude" / "projects" / "-here").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "home")
    mirror = TranscriptMirror.of(str(tmp_path / "link" / ".claude" / "projects" / "-here" / OWN), [b"{}"])
    assert [each.path for each in agent.entries_of(mirror, Options())] == [OWN]
    with pytest.raises(AgentProtocolError):
        agent.entries_of(mirror, Options(env={"CLAUDE_CONFIG_DIR": "/other"}))


@pytest.mark.parametrize("kind", [ClaudeCode, Qoder])
@pytest.mark.parametrize("config", ["cfg", "", "{}/cfg"])
def test_a_relative_config_folder_begins_where_the_program_was_started(
    tmp_path: Path, kind: type[ClaudeCode | Qoder], config: str
) -> None:
    """Claude Code tells its files as that variable says, or by their full names."""
    work = tmp_path / "work"
    variable = "CLAUDE_CONFIG_DIR" if kind is ClaudeCode else "QODER_CONFIG_DIR"
    options = Options(cwd=work, env={variable: config.format(work)})
    agent = kind(environ={"HOME": str(tmp_path)})
    folder = Path("cfg" if config else "", "projects", "-here")
    for told in (folder / OWN, work / folder / OWN):
        mirror = TranscriptMirror.of(str(told), [b"{}"])
        assert [each.path for each in agent.entries_of(mirror, options)] == [OWN]
    for stray in (Path("projects-of-others", "-here", OWN), tmp_path / folder / OWN, Path("..", folder, OWN)):
        with pytest.raises(AgentProtocolError):
            agent.entries_of(TranscriptMirror.of(str(stray), [b"{}"]), options)


def test_lines_are_kept_as_they_were_told() -> None:
    lines = [b'{ "uuid": "u1", "n": 1.0 }', b'{"type":"tag"}', b'{"uuid":7}', b"[]", b"3"]
    found = entries_of(TranscriptMirror.of(OWN, lines), None)
    assert [(each.id, each.line) for each in found] == [("u1", lines[0]), (None, lines[1]), (None, lines[2])]
    # Half of a surrogate pair is no text.
    found = entries_of(TranscriptMirror.of(OWN, [b'{"uuid":"u1","text":"\\ud83d"}']), None)
    assert [(each.id, json.loads(each.line)) for each in found] == [("u1", {"uuid": "u1", "text": "\ufffd"})]


async def test_what_is_on_the_disk_and_not_kept_comes_first(tmp_path: Path, agent: ClaudeCode) -> None:
    options = Options(resume=A, cwd=tmp_path)
    project = tmp_path / "home" / ".claude" / "projects" / "-here"
    (project / A / "subagents").mkdir(parents=True)
    lines = KEPT[0].line, b'{"type":"api-request","uuid":"r"}', KEPT[4].line, b'{"type": "torn'
    (project / OWN).write_bytes(b"\n".join(lines))
    (project / INNER).write_bytes(KEPT[2].line + b"\n")
    (project / INNER).with_suffix(".meta.json").write_text('{"agentType": "scout"}')
    about = entry(INNER, agentType="scout", type="agent_metadata")
    for kept, unkept in (
        ([], [KEPT[0], KEPT[4], about, KEPT[2]]),
        ([KEPT[0]], [KEPT[4], about, KEPT[2]]),
        ([KEPT[0], KEPT[2]], [KEPT[4]]),
    ):
        async with agent.restore(options, kept) as restored:
            assert restored == Restored(options, unkept)
    async with agent.restore(Options(resume="../x"), []) as restored:
        assert restored.unkept == ()


async def test_what_is_no_file_of_the_program_is_passed_over(tmp_path: Path, agent: ClaudeCode) -> None:
    inner = tmp_path / "home" / ".claude" / "projects" / "-here" / A / "subagents"
    (inner / "folder.jsonl").mkdir(parents=True)
    (inner / "gone.jsonl").symlink_to("nowhere")
    (inner / "agent-\udcff.jsonl").write_bytes(KEPT[2].line)  # a name that is no text, and so cannot be kept
    (inner.parent.parent / OWN).write_bytes(KEPT[0].line)
    async with agent.restore(Options(resume=A, cwd=tmp_path), []) as restored:
        assert restored.unkept == [KEPT[0]]


# --- where it is put --------------------------------------------------------------------------------------------------


async def test_a_kept_history_is_put_into_a_folder_of_its_own(
    temporary: Path, tmp_path: Path, agent: ClaudeCode
) -> None:
    assert isinstance(agent, MirrorsHistories)
    options = Options(resume=A, cwd=tmp_path, env={"X": "y"})
    async with agent.restore(options, KEPT) as restored:
        (folder,) = temporary.iterdir()
        assert restored.options.env == {"X": "y", "CLAUDE_CONFIG_DIR": str(folder)}
        assert (restored.options.resume, options.env, restored.unkept) == (A, {"X": "y"}, ())
        (project,) = (folder / "projects").iterdir()
        assert project.name == str(tmp_path).replace("/", "-").replace("_", "-")
        assert tree(project) == {
            OWN: '{"uuid": "u1", "type": "user"}\n{"type": "tag", "tag": "x"}\n',
            INNER: '{"uuid": "u2", "type": "user"}\n',
            INNER.replace(".jsonl", ".meta.json"): '{"agentType": "scout", "finished": true}',
        }
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
        assert modes == {0o700, 0o600}
        mirror = TranscriptMirror.of(str(project / OWN), [KEPT[0].line])
        assert agent.entries_of(mirror, restored.options) == KEPT[:1]
    assert list(temporary.iterdir()) == []


async def test_nothing_is_put_where_nothing_is_kept_or_all_is_there(
    temporary: Path, tmp_path: Path, agent: ClaudeCode
) -> None:
    options = Options(resume=A, cwd=tmp_path)
    async with agent.restore(options, []) as restored:
        assert restored.options is options
    project = tmp_path / "home" / ".claude" / "projects" / "-elsewhere"
    project.mkdir(parents=True)
    (project / OWN).write_text('{"parentUuid": "u1", "uuid": "u0"}\n')
    async with agent.restore(options, KEPT) as restored:  # what is there is behind
        assert restored.options.env != {}
    (project / OWN).write_text('{"uuid": "u1"}\n{"uuid": "newer"}\n')
    async with agent.restore(options, KEPT) as restored:
        assert restored.options is options
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    "path", ["../x.jsonl", "/etc/x.jsonl", f"{A}/../../x.jsonl", f"{A}/x.json", f"{A}/./x.jsonl", "other.jsonl", ""]
)
async def test_a_line_that_would_go_elsewhere_is_passed_over(
    path: str, temporary: Path, agent: ClaudeCode, caplog: pytest.LogCaptureFixture
) -> None:
    strays = [entry(path, "from elsewhere", type="user")] * 1_000
    async with agent.restore(Options(resume=A, cwd="/"), [*KEPT, *strays]):
        assert len(list(temporary.rglob("*.jsonl"))) == 2
        assert "from elsewhere" not in str(tree(temporary))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_a_folder_goes_however_the_block_is_left(temporary: Path, agent: ClaudeCode) -> None:
    with pytest.raises(ZeroDivisionError):
        async with agent.restore(Options(resume=A, cwd="/"), KEPT):
            raise ZeroDivisionError
    assert list(temporary.iterdir()) == []
    with trio.CancelScope() as scope:
        async with agent.restore(Options(resume=A, cwd="/"), KEPT):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert list(temporary.iterdir()) == []


async def test_a_folder_goes_also_where_no_thread_can_be_had(temporary: Path) -> None:
    with ExitStack() as lack:
        async with own_folder(lambda folder: None) as folder:
            assert list(temporary.iterdir()) == [folder]
            lack.enter_context(no_threads())
    assert list(temporary.iterdir()) == []


async def test_without_a_thread_there_is_no_history(agent: ClaudeCode) -> None:
    with no_threads(), pytest.raises(StoreError, match="cannot be read: no thread can be started; raise the limit"):
        async with agent.restore(Options(resume=A, cwd="/"), KEPT):
            raise AssertionError("never here")


async def test_a_folder_whose_program_was_killed_is_removed_by_the_next(temporary: Path) -> None:
    dead = temporary / "triologue-history-dead"
    dead.mkdir()
    (dead / ".triologue.lock").touch()
    (dead / ".credentials.json").touch()
    async with own_folder(lambda folder: None) as first, own_folder(lambda folder: None) as second:
        assert set(temporary.iterdir()) == {first, second}


async def test_a_folder_that_cannot_be(agent: ClaudeCode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(StoreError, match=r"the history of 'aaaaaaaa.*' cannot be put where it is found: .*'/nowhere"):
        async with agent.restore(Options(resume=A, cwd="/"), KEPT):
            raise AssertionError("never here")


async def test_it_is_only_for_one_user(temporary: Path, agent: ClaudeCode) -> None:
    big = [entry(OWN, f"u{number}", type="user", text="é" * 1000) for number in range(50)]
    async with agent.restore(Options(resume=A, cwd="/"), big):
        (file,) = temporary.rglob("*.jsonl")
        assert file.read_bytes() == b"".join(each.line + b"\n" for each in big)


# --- what of the user's own is there too ------------------------------------------------------------------------------


async def test_what_claude_code_needs_of_the_users_own_folder(
    temporary: Path, tmp_path: Path, agent: ClaudeCode
) -> None:
    home = tmp_path / "home"
    own = home / ".claude"
    (own / "skills").mkdir(parents=True)
    (own / "projects").mkdir()
    (own / "CLAUDE.md").write_text("tulips")
    (home / ".claude.json").write_text("{}")
    account = {"accessToken": "s3cret", "refreshToken": "0nce"}
    (own / ".credentials.json").write_text(json.dumps({"claudeAiOauth": account}))
    settings = {"enabledPlugins": {}, "extraKnownMarketplaces": {}, "env": {"CLAUDE_CONFIG_DIR": "/x", "A": "b"}}
    (own / "settings.json").write_text("\ufeff" + json.dumps(settings))
    (own / "cowork_settings.json").write_text("{ not json")
    async with agent.restore(Options(resume=A, cwd="/"), KEPT):
        (folder,) = temporary.iterdir()
        assert sorted(path.name for path in folder.iterdir() if path.name != ".triologue.lock") == [
            *(".claude.json", ".credentials.json", "CLAUDE.md", "cowork_settings.json"),
            *("projects", "settings.json", "skills"),
        ]
        assert json.loads((folder / ".credentials.json").read_text()) == {"claudeAiOauth": {"accessToken": "s3cret"}}
        assert json.loads((folder / "settings.json").read_text()) == {"env": {"A": "b"}}
        assert (folder / "cowork_settings.json").read_text() == "{ not json"
        assert (folder / "CLAUDE.md").read_text() == "tulips"
    assert (own / "CLAUDE.md").read_text() == "tulips"
    # A named folder has all of it inside. A relative one is where the program would find it.
    for named in (str(own), ".claude"):
        options = Options(resume=A, cwd=home, env={"CLAUDE_CONFIG_DIR": named})
        async with agent.restore(options, KEPT):
            (folder,) = temporary.iterdir()
            assert (folder / "CLAUDE.md").read_text() == "tulips"
            assert not (folder / ".claude.json").exists()
    # The current folder is one too, and then the program has that file in the home folder.
    (tmp_path / ".claude.json").write_text('{"mcpServers": {"planted": {"command": "/tmp/evil"}}}')
    async with agent.restore(Options(resume=A, cwd=own, env={"CLAUDE_CONFIG_DIR": ""}), KEPT):
        (folder,) = temporary.iterdir()
        assert (folder / "CLAUDE.md").read_text() == "tulips"
        assert (folder / ".claude.json").read_text() == "{}"


async def test_a_history_is_restored_to_no_folder_that_was_deleted(
    tmp_path: Path, agent: ClaudeCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(tri.AgentStartError, match="the current folder was deleted"):
        async with agent.restore(Options(resume=A), KEPT):
            raise AssertionError("never here")


async def test_what_qoder_needs_of_a_relative_config_folder(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "cfg" / ".auth").mkdir(parents=True)
    (tmp_path / "cfg" / ".auth" / "user").write_text("s3cret")
    agent = Qoder(auth=access_token("t"), environ={"HOME": "/nowhere"})
    async with agent.restore(Options(resume=A, cwd=tmp_path, env={"QODER_CONFIG_DIR": "cfg"}), KEPT):
        (folder,) = temporary.iterdir()
        assert (folder / ".auth" / "user").read_text() == "s3cret"


# --- the Qoder CLI, played by the built-in agent ----------------------------------------------------------------------


async def test_a_qoder_session_goes_on_in_an_empty_home(tmp_path: Path, temporary: Path) -> None:
    program, keeper = str(agent_program(tmp_path)), Keeper()

    async def ask(home: str, prompt: str, session_id: str | None = None) -> tri.ResultMessage:
        """One prompt of a conversation, as a manager with a store would have it."""
        folder = tmp_path / home
        (folder / ".qoder" / ".auth").mkdir(parents=True, exist_ok=True)
        (folder / ".qoder" / ".auth" / "user").write_text("s3cret")
        agent = Qoder(auth=access_token("t"), environ={"HOME": str(folder), "PATH": "/usr/bin:/bin"})
        asked = agent.mirrored(Options(cli_path=program, cwd=folder, resume=session_id))
        tapped = Wiretap(agent)
        async with agent.restore(asked, keeper.of(session_id or "")) as restored:
            started = without_identity(restored.options)
            async with tri.open_manager(tapped, options=started) as manager:
                result = await manager.session("k", options=Options(resume=session_id)).ask(prompt)
            keeper.hear(tapped.heard, agent, started)
            if session_id is not None:
                (account,) = temporary.rglob(".auth/user")
                assert account.read_text() == "s3cret"
        assert list(temporary.iterdir()) == []
        return result

    session_id = (await ask("a", "Remember: I like Python")).session_id
    second = await ask("b", "What do I like?", session_id)
    assert (second.session_id, second.result) == (session_id, "You like Python.")
    third = await ask("c", "How many messages?", session_id)
    assert "3rd message" in (third.result or "")
    assert not list((tmp_path / "b" / ".qoder").rglob("*.jsonl"))
    assert not any("s3cret" in entry.line.decode() for entry in keeper.entries)
    assert [json.loads(entry.line)["type"] for entry in keeper.entries].count("active-leaf") > 1
