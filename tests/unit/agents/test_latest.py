"""Which conversation of a folder is gone on with: Claude Code's files, as it chooses among them."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

import triologue as tri
from triologue.agents import ClaudeCode
from triologue.engine.histories import CLAUDE
from triologue.errors import StoreError
from triologue.options import Options
from triologue.ports import FindsLatest

A = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
B = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"


@pytest.fixture
def agent(tmp_path: Path) -> ClaudeCode:
    """Of a user who has set up nothing."""
    return ClaudeCode(environ={"HOME": str(tmp_path / "home")})


def project_of(config: Path, cwd: Path) -> Path:
    return config / "projects" / re.sub("[^A-Za-z0-9]", "-", str(cwd))


def write_history(project: Path, name: str, *lines: dict[str, Any], age: int) -> Path:
    project.mkdir(parents=True, exist_ok=True)
    path = project / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    os.utime(path, (2_000_000_000 - age,) * 2)
    return path


def said(**facts: Any) -> dict[str, Any]:
    return {"type": "user", "uuid": "u1", "parentUuid": None, "message": {"role": "user", "content": "hi"}, **facts}


async def test_the_latest_conversation_is_the_one_that_was_written_last_and_in_which_something_was_said(
    tmp_path: Path, agent: ClaudeCode
) -> None:
    options = Options(cwd=tmp_path)
    project = project_of(tmp_path / "home/.claude", tmp_path)
    assert await agent.latest(options) is None
    write_history(project, "notes.jsonl", said(), age=0)
    write_history(project, f"{B[:-1]}0.jsonl", age=1)
    write_history(project, f"{B[:-1]}1.jsonl", {"type": "custom-title", "customTitle": "x"}, age=2)
    write_history(project, f"{B[:-1]}2.jsonl", said(isSidechain=True), age=3)
    (project / f"{B[:-1]}3.jsonl").mkdir()
    (project / f"{B[:-1]}4.jsonl").symlink_to("nowhere")
    write_history(project, f"{B[:-1]}5.jsonl", {"type": "user", "isSidechain": True}, said(), age=4)
    os.mkfifo(project / f"{B[:-1]}6.jsonl")  # that nobody writes to
    write_history(project, f"{B[:-1]}7.jsonl", said(message=None), age=5)
    assert await agent.latest(options) is None
    write_history(project, f"{A}.jsonl", said(), age=10)
    write_history(project.with_name("-elsewhere"), f"{B}.jsonl", said(), age=5)
    assert await agent.latest(options) == A
    write_history(project, f"{B}.jsonl", said(), age=9)
    assert await agent.latest(options) == B


async def test_what_cannot_be_read_is_passed_over(
    tmp_path: Path, agent: ClaudeCode, caplog: pytest.LogCaptureFixture
) -> None:
    project = project_of(tmp_path / "home/.claude", tmp_path)
    write_history(project, f"{A}.jsonl", said(), age=10**9)
    unreadable = project / f"{B}.jsonl"
    unreadable.symlink_to("/proc/self/mem")  # for root too
    assert await agent.latest(Options(cwd=tmp_path)) == A
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"the history {str(unreadable)!r} is passed over, as it cannot be read: " in caplog.text


async def test_a_folder_of_histories_that_cannot_be_looked_into(tmp_path: Path, agent: ClaudeCode) -> None:
    project = project_of(tmp_path / "home/.claude", tmp_path)
    project.parent.mkdir(parents=True)
    project.symlink_to(project)
    no_text = str(tmp_path / "\ud800")
    for cwd in (str(tmp_path), no_text):
        with pytest.raises(StoreError, match=re.escape(f"the latest history of {cwd!r} cannot be found: ")):
            await agent.latest(Options(cwd=cwd))


async def test_folders_that_share_a_project_do_not_share_their_conversations(tmp_path: Path, agent: ClaudeCode) -> None:
    own, other, link = tmp_path / "john-doe", tmp_path / "john.doe", tmp_path / "link"
    for folder in (own, other):
        folder.mkdir()
    link.symlink_to(own)
    project = project_of(tmp_path / "home/.claude", own)
    write_history(project, f"{A}.jsonl", {"type": "summary"}, said(cwd=str(own)), said(cwd=str(other)), age=2)
    write_history(project, f"{B}.jsonl", said(cwd=str(other)), age=1)
    options = Options(cwd=link)
    assert [await agent.latest(options), await agent.latest(Options(cwd=other))] == [A, B]
    other.rmdir()  # it was moved to `own`, then
    assert await agent.latest(options) == B
    # As this one was, whose old folder is used for something else.
    write_history(project, f"{B[:-1]}0.jsonl", said(cwd=str(tmp_path)), age=0)
    assert await agent.latest(options) == f"{B[:-1]}0"


async def test_of_folders_with_long_names_each_has_its_own(tmp_path: Path, agent: ClaudeCode) -> None:
    """The program cuts what it keeps them under, and adds a hash of its own."""
    deep = tmp_path / ("x" * 120) / ("y" * 120)
    alpha, beta, gone = deep / "alpha", deep / "beta", deep / "gone"
    alpha.mkdir(parents=True)
    beta.mkdir()
    project = project_of(tmp_path / "home/.claude", alpha)
    first, second = (project.with_name(f"{project.name[:200]}-{hash}") for hash in ("1k3", "9zz"))
    write_history(first, f"{A}.jsonl", said(cwd=str(alpha)), age=3)
    write_history(first, f"{B[:-1]}0.jsonl", said(cwd=str(gone)), age=2)
    write_history(first, f"{B[:-1]}1.jsonl", said(), age=1)
    assert [await agent.latest(Options(cwd=folder)) for folder in (alpha, beta)] == [A, None]
    write_history(second, f"{B}.jsonl", said(cwd=str(beta)), age=0)
    assert [await agent.latest(Options(cwd=folder)) for folder in (alpha, beta)] == [A, B]
    # Also where one of them is in the place of the other, as the SDK would take it for.
    place_of_beta = CLAUDE.own_place(project.parent, str(beta))
    write_history(place_of_beta, f"{B[:-1]}2.jsonl", said(cwd=str(alpha)), age=-1)
    assert [await agent.latest(Options(cwd=folder)) for folder in (alpha, beta)] == [f"{B[:-1]}2", B]


async def test_names_that_differ_only_in_how_they_are_composed(tmp_path: Path, agent: ClaudeCode) -> None:
    composed, parted = tmp_path / "\u00e9", tmp_path / "e\u0301"
    composed.mkdir()
    parted.mkdir()
    project = project_of(tmp_path / "home/.claude", composed)
    write_history(project, f"{A}.jsonl", said(cwd=str(composed)), age=1)
    write_history(project, f"{B}.jsonl", said(cwd=str(parted)), age=0)
    assert [await agent.latest(Options(cwd=folder)) for folder in (composed, parted)] == [A, B]


@pytest.mark.parametrize(
    ("config", "folder"), [(None, "home/.claude"), ("", "work"), ("cfg", "work/cfg"), ("/{}/abs", "abs")]
)
async def test_the_config_folder_is_where_the_program_has_it(tmp_path: Path, config: str | None, folder: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    write_history(project_of(tmp_path / folder, work), f"{A}.jsonl", said(), age=0)
    env = {"HOME": str(tmp_path / "home")}
    if config is not None:
        env["CLAUDE_CONFIG_DIR"] = config.format(tmp_path)
    assert await ClaudeCode(environ=env).latest(Options(cwd=work)) == A


@pytest.mark.parametrize("agent", [ClaudeCode(environ={}), tri.Embedded()], ids=repr)
async def test_there_is_no_latest_conversation_of_a_folder_that_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: FindsLatest
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(tri.AgentStartError, match="the current folder was deleted"):
        await agent.latest(Options())
