"""`triologue sessions` as a script sees it: what it prints, and its exit code."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import trio
from msgspec.structs import replace

from tests.unit.cli.sessions.history_files import SESSION, HistoryFile, shopping, text
from triologue.agents import new_owner
from triologue.cli.database import database_path, open_database
from triologue.cli.main import main
from triologue.cli.sessions.listing import table_of
from triologue.errors import told_owner
from triologue.ports import Append, StoredSession
from triologue.stores import SqliteStore

HOLD = """
import os, sys, trio
from triologue.agents import new_owner
from triologue.errors import told_owner
from triologue.stores import SqliteStore

async def main():
    async with SqliteStore(sys.argv[1]) as store:
        await store.acquire(sys.argv[2], owner=new_owner(), ttl=60)
        os._exit(7)

trio.run(main)
"""


@pytest.fixture
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config folder of Claude Code, and a working folder with one history in it."""
    shop = tmp_path / "shop"
    shop.mkdir()
    monkeypatch.chdir(shop)
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "claude"))
    projects = tmp_path / "claude" / "projects"
    folder = projects / re.sub("[^A-Za-z0-9]", "-", str(shop.resolve()))
    (folder / SESSION / "subagents").mkdir(parents=True)
    (folder / f"{SESSION}.jsonl").write_bytes(shopping().data())
    subagent = folder / SESSION / "subagents" / "agent-1.jsonl"
    subagent.write_bytes(HistoryFile().user("look", isSidechain=True).data())
    subagent.with_suffix(".meta.json").write_text('{"agentType": "scout"}')
    return projects


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> "Said":
    return Said(capsys)


class Said:
    """What a command says."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> list[str]:
        assert main(["sessions", *arguments]) == code, self._capsys.readouterr()
        printed = self._capsys.readouterr()
        assert printed.err.count("\n") == (1 if code else 0), printed.err
        return (printed.err if code else printed.out).splitlines()

    def json(self, *arguments: str) -> Any:
        return json.loads("\n".join(self(*arguments, "--json")))


def test_what_is_run_is_kept(said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    assert said("list") == ["No session is kept."]
    assert not database_path().exists()
    assert main(["run", "--agent", "embedded", "--no-keep", "Say hi"]) == 0
    assert main(["run", "--agent", "embedded", "--no-keep", "--json", "Say hi"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["key"] is None
    assert main(["run", "--agent", "embedded", "--resume", "nope", "hi"]) == 4
    capsys.readouterr()
    assert said("list") == ["No session is kept."]
    assert main(["run", "--agent", "embedded", "--json", "Call add(a=1, b=2)"]) == 0
    key = json.loads(capsys.readouterr().out)["key"]
    assert (database_path().stat().st_mode & 0o777, database_path().parent.stat().st_mode & 0o777) == (0o600, 0o700)
    (listed,) = said.json("list")
    assert (listed["key"], listed["agent"], listed["turns"], listed["cwd"]) == (key, "embedded", 1, str(Path.cwd()))
    header, row = said("list")
    assert header.split() == ["KEY", "TITLE", "AGENT", "TURNS", "COST", "ACTIVE", "STATE"]
    assert re.split(r"  +", row.strip()) == [key, "Call add(a=1, b=2)", "embedded", "1", "$0.00", "just now", "-"]
    shown = said("show", listed["session_id"])
    assert shown[0] == key
    begin = shown.index("> Call add(a=1, b=2)")
    assert shown[begin + 1 : begin + 5] == ["I will use add.", "> add  a: 1, b: 2", "  3", "The tool add says: 3."]
    assert said("search", "TOOL ADD") == [f"{key}  {said.json('search', 'tool add')[0]['seq']}  The tool add says: 3."]


def test_a_history_that_is_imported(said: Said, projects: Path, tmp_path: Path) -> None:
    file = next(projects.rglob(f"{SESSION}.jsonl"))
    assert said("import") == [f"{file}: kept as imported/{SESSION}, with 2 turns"]
    (before,) = said.json("list")
    assert (before["title"], before["tags"], before["cwd"]) == ("Shopping list", ["home"], "/work/shop")
    assert (
        said("import", "--all")
        == said("import", str(file.parent))
        == [f"{file}: is kept as imported/{SESSION} already"]
    )
    assert said.json("list") == [before]

    written = said("export", SESSION, "--format", "claude", "-o", str(tmp_path / "out"))
    untold = b'{"type": "api-request-1"'
    kept = [line for line in file.read_bytes().splitlines() if not line.startswith(untold)]
    assert (tmp_path / "out" / file.name).read_bytes().splitlines() == kept
    subagent = f"{SESSION}/subagents/agent-1.jsonl"
    assert (tmp_path / "out" / subagent).read_bytes() == (file.parent / subagent).read_bytes()
    assert sorted(written) == sorted(str(path) for path in (tmp_path / "out").rglob("*.json*"))
    assert (
        "is there already, and nothing was written"
        in said("export", SESSION, "--format", "claude", "-o", str(tmp_path / "out"), code=2)[0]
    )

    longer = shopping().user("And bread").assistant(text("Bread too."), id="m3")
    file.write_bytes(longer.data())
    assert said("import") == [f"{file}: has grown, imported/{SESSION} as well"]
    records = [json.loads(line) for line in said("export", f"imported/{SESSION}")]
    assert [record["seq"] for record in records] == list(range(1, 16))
    assert records[-2]["message"]["message"]["content"] == [text("Bread too.")]
    assert said("search", "bread", "--in", SESSION) == [
        f"imported/{SESSION}  12  > And bread",
        f"imported/{SESSION}  14  Bread too.",
    ]
    assert said("show", SESSION, "--from", "12")[-3:-1] == ["> And bread", "Bread too."]

    file.write_bytes(HistoryFile().user("Something else").data())
    assert said("import")[0].endswith("already, and went on there; nothing was changed")


def test_only_the_histories_of_the_current_folder_are_imported(said: Said, projects: Path, tmp_path: Path) -> None:
    """Claude Code keeps those of `p.q` beside those of `p-q`."""
    (like := tmp_path / "p.q").mkdir()
    (here := tmp_path / "p-q").mkdir()
    folder = projects / re.sub("[^A-Za-z0-9]", "-", str(here.resolve()))
    folder.mkdir()
    own, other = folder / f"{UUID(int=1)}.jsonl", folder / f"{UUID(int=2)}.jsonl"
    for file, cwd in ((own, here), (other, like)):
        file.write_bytes(HistoryFile(file.stem).user("hi", cwd=str(cwd)).data())
    os.chdir(here)  # the fixture goes back
    assert said("import") == [f"{own}: kept as imported/{own.stem}, with 1 turn"]


def test_what_lies_beside_a_history_and_is_none_is_passed_over(said: Said, projects: Path, tmp_path: Path) -> None:
    file = next(projects.rglob(f"{SESSION}.jsonl"))
    inner = file.with_suffix("") / "subagents"
    (inner / "folder.jsonl").mkdir()
    (inner / "gone.jsonl").symlink_to("nowhere")
    (inner / "agent-\udcff.jsonl").write_bytes((inner / "agent-1.jsonl").read_bytes())
    (inner / "agent-2.jsonl").write_bytes(HistoryFile().user("Look for milk").data())
    os.mkfifo(inner / "agent-2.meta.json")
    assert said("import") == [f"{file}: kept as imported/{SESSION}, with 2 turns"]
    written = said("export", SESSION, "--format", "claude", "-o", str(tmp_path / "out"))
    assert [Path(path).name for path in written] == [file.name, "agent-1.meta.json", "agent-1.jsonl", "agent-2.jsonl"]


def test_a_history_without_times_is_not_called_old(said: Said, tmp_path: Path) -> None:
    file = tmp_path / f"{SESSION}.jsonl"
    file.write_bytes(HistoryFile().user("Buy milk", timestamp=None).data())
    said("import", str(file))
    assert re.split(r"  +", said("list")[1].strip())[-2:] == ["not known", "-"]
    told = [re.split(r"  +", line.strip()) for line in said("show", SESSION)]
    assert told[-2:] == [["> Buy milk"], ["(lost)"]], "and not how long it took"
    assert ["created", "not known"] in told
    assert ["last active", "not known"] in told
    assert said("prune", "--older-than", "1d", "--yes") == ["No session is that old."]


def test_what_may_have_no_end_is_not_read(said: Said, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"{SESSION}.jsonl")
    told = said("import", "/dev/zero", code=1)
    assert told == ["triologue: '/dev/zero' is neither a file nor a folder; name a history, or a folder of them"]
    assert said("import", str(tmp_path), code=1) == [f"triologue: no history was found in {str(tmp_path)!r}"]


def test_a_history_may_come_through_a_pipe_that_is_named(said: Said) -> None:
    reading, writing = os.pipe()
    os.write(writing, HistoryFile().user("Buy milk").data())
    os.close(writing)
    assert said("import", f"/dev/fd/{reading}") == [f"/dev/fd/{reading}: kept as imported/{SESSION}, with 1 turn"]
    os.close(reading)


def test_who_waits_for_what_comes_through_a_pipe_can_leave(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / f"{SESSION}.jsonl")
    command = [sys.executable, "-m", "triologue", "sessions", "import", str(pipe)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            writing = os.open(pipe, os.O_WRONLY)  # returns when it is being read
            running.send_signal(signal.SIGINT)
            _, told = running.communicate(timeout=10)
        finally:
            running.kill()
        os.close(writing)
    assert told == "triologue: interrupted; nothing of it is left running\n"


def test_a_history_that_is_imported_in_the_middle_of_a_turn(said: Said, tmp_path: Path) -> None:
    file, history = tmp_path / f"{SESSION}.jsonl", HistoryFile().user("Buy milk")
    file.write_bytes(history.data())
    assert said("import", str(file)) == [f"{file}: kept as imported/{SESSION}, with 1 turn"]
    for number, answer in enumerate(("I will look.", "Bought.")):
        file.write_bytes(history.assistant(text(answer), id=f"m{number}").data())
        assert said("import", str(file)) == [f"{file}: has grown, imported/{SESSION} as well"]
    assert said("import", str(file)) == [f"{file}: is kept as imported/{SESSION} already"]
    shown = said("show", SESSION)
    assert shown[shown.index("> Buy milk") :] == ["> Buy milk", "(lost)", "(0.0 s)", "I will look.", "Bought."]
    written = said("export", SESSION, "--format", "claude", "-o", str(tmp_path / "out"))
    assert Path(written[0]).read_bytes() == file.read_bytes()


def test_names_copies_and_the_end(said: Said, projects: Path) -> None:
    said("import", "--key", "shop")
    bought = str(UUID(int=6))
    said("rename", SESSION, " Milk\n and eggs ")
    assert said("tag", "shop", "food", "home") == ["home", "food"]
    assert said("tag", "shop", "-r", "home") == ["food"]
    assert said("fork", "shop", "copy", "--at", bought) == ["copy"]
    copy, original = said.json("list")
    assert (copy["key"], copy["parent"], copy["forked_at"], copy["session_id"]) == ("copy", "shop", bought, None)
    assert (original["title"], original["tags"]) == ("Milk and eggs", ["food"])
    assert [head["key"] for head in said.json("list", "--tag", "food")] == ["shop"]
    assert [head["key"] for head in said.json("list", "--prefix", "co")] == ["copy"]
    assert said("fork", "shop", "copy", code=2) == [
        "triologue: the key 'copy' has a conversation already; use another key"
    ]
    assert said("prune", "--older-than", "1h", "--prefix", "co", "--yes") == ["No session is that old."]
    assert said("prune", "--older-than", "1h", "--yes") == ["1 session deleted."]
    assert said("delete", "copy", "--yes") == ["1 session deleted."]
    assert said("list") == ["No session is kept."]


def test_a_copy_up_to_a_message_that_there_is_not(said: Said, projects: Path) -> None:
    said("import", "--key", "shop")
    for at, why in (("nonsense", "no message of the session 'shop' has this uuid"), ("", "is no uuid of a message")):
        assert why in said("fork", "shop", "copy", "--at", at, code=2)[0]
    assert len(said.json("list")) == 1
    longer = shopping().user("And bread")
    next(projects.rglob(f"{SESSION}.jsonl")).write_bytes(longer.data())  # with the program itself, and not yet kept
    assert said("fork", "shop", "copy", "--at", longer.lines[-1]["uuid"]) == ["copy"]


def test_what_is_no_text_is_no_name(said: Said, projects: Path) -> None:
    no_text = "\udcff"  # what Python makes of an argument of the one byte 0xff
    said("import", "--key", "k")
    for arguments in (["show", no_text], ["resume", no_text], ["fork", no_text], ["search", "milk", "--in", no_text]):
        assert "no session '\\udcff' is kept" in said(*arguments, code=4)[0]
    for command in ("rename", "tag"):
        assert "has half a character in it" in said(command, "k", no_text, code=2)[0]
    assert said("list", "--prefix", no_text) == ["No such session is kept."]
    assert len(said.json("list", "--limit", f"{10**20}")) == 1


def test_what_another_host_holds_stays(said: Said, projects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said("import")

    async def hold() -> None:
        async with SqliteStore(database_path()) as store:
            await store.acquire(f"imported/{SESSION}", owner="bot.py on web-1, pid 7 [9@elsewhere#ab]", ttl=60)

    trio.run(hold)
    assert said("import")[0].endswith("already")
    assert said("rename", SESSION, "a name") == []
    next(projects.rglob(f"{SESSION}.jsonl")).write_bytes(shopping().user("And bread").data())
    for code, arguments in (
        (0, ["sessions", "prune", "--older-than", "1d", "--yes"]),
        (1, ["sessions", "delete", SESSION, "--yes"]),
        (1, ["sessions", "import"]),
        (1, ["run", "--resume", SESSION, "hi"]),
    ):
        assert main(arguments) == code
        (error,) = capsys.readouterr().err.splitlines()
        assert f"the session 'imported/{SESSION}' is held by bot.py on web-1, pid 7; " in error
    assert said.json("list")[0]["title"] == "a name"


def test_what_a_host_held_that_is_dead_can_grow_and_go(said: Said, projects: Path) -> None:
    said("import")
    with subprocess.Popen([sys.executable, "-c", HOLD, database_path(), f"imported/{SESSION}"]) as host:
        assert host.wait() == 7
    file = next(projects.rglob(f"{SESSION}.jsonl"))
    file.write_bytes(shopping().user("And bread").data())
    assert said("import") == [f"{file}: has grown, imported/{SESSION} as well"]
    with subprocess.Popen([sys.executable, "-c", HOLD, database_path(), f"imported/{SESSION}"]) as host:
        assert host.wait() == 7
    assert said("delete", SESSION, "--yes") == ["1 session deleted."]


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["show", "nope"], 4, "triologue: no session 'nope' is kept; `triologue sessions list` shows those that are"),
        (["delete", "nope", "--yes"], 4, "triologue: no session 'nope' is kept"),
        (["resume", "nope"], 4, "triologue: no session 'nope' is kept"),
        (["search", "--in", "nope", "x"], 4, "triologue: no session 'nope' is kept"),
        (["search", " "], 2, "triologue sessions search: the text to look for is blank"),
        (["search", "x"], 1, "triologue: nobody said 'x' in what is kept"),
        (["search", "x" * 9999], 1, f"triologue: nobody said '{'x' * 78}… in what is kept"),
        (["show", "x" * 9999], 4, f"triologue: no session '{'x' * 78}… is kept"),
        (["tag", "k", ""], 2, "triologue sessions tag: a tag is blank"),
        (
            ["prune", "--older-than", "30"],
            2,
            "triologue sessions prune: Invalid value for '--older-than': '30' is no time",
        ),
        (["import", "/nowhere"], 1, "triologue: '/nowhere' cannot be read: No such file or directory"),
        (["import", "--all", "x"], 2, "triologue sessions import: --all takes the histories of all folders"),
        (["import", "--agent", "qoder"], 1, "triologue: no history of qoder was found in"),
    ],
)
def test_an_error_is_one_line(
    arguments: list[str], code: int, error: str, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QODER_CONFIG_DIR", str(tmp_path))
    assert said(*arguments, code=code)[0].startswith(error)


def test_what_is_used_while_the_user_thinks_is_not_pruned(
    said: Said, projects: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said("import", "--key", "used")
    other = next(projects.rglob(f"{SESSION}.jsonl")).with_name(f"{UUID(int=1)}.jsonl")
    other.write_bytes(HistoryFile(other.stem).user("Bread").data())
    said("import", str(other), "--key", "unused")

    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            with ThreadPoolExecutor(1) as another_program:
                another_program.submit(trio.run, use).result()
            return "y\n"

    async def use() -> None:
        async with SqliteStore(database_path()) as store:
            lease, head = await store.acquire("used", owner="bot.py", ttl=60)
            assert head is not None
            await store.append(Append(lease=lease, session=replace(head, last_active=time.time())))
            await store.release(lease)

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert main(["sessions", "prune", "--older-than", "1d"]) == 0
    printed = capsys.readouterr()
    assert printed.out.endswith("Delete 2 sessions? [y/N] 1 session deleted.\n")
    assert printed.err == "triologue: not deleted: the session 'used' was used meanwhile, so it is kept\n"
    assert [head["key"] for head in said.json("list")] == ["used"]


def test_nobody_can_be_asked(said: Said, projects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said("import")
    assert main(["sessions", "delete", SESSION]) == 2
    assert "--yes answers" in capsys.readouterr().err
    assert len(said.json("list")) == 1


def test_a_database_that_must_be_refused(said: Said) -> None:
    database_path().parent.mkdir(parents=True)
    database_path().write_bytes(b"no database at all" * 100)
    assert "this is no SQLite database" in said("list", code=1)[0]
    database_path().unlink()
    with sqlite3.connect(database_path()) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    error = said("list", code=1)[0]
    assert "is the database of another program" in error
    assert error.endswith("; name another folder with $TRIOLOGUE_HOME")


def test_one_that_is_damaged_keeps_nobody_from_the_others(
    said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, prompt in ((1, "Find the needle"), (2, "Find the thread")):
        file = tmp_path / f"{UUID(int=number)}.jsonl"
        file.write_bytes(HistoryFile(file.stem).user(prompt).data())
        said("import", str(file), "--key", prompt.split()[-1])
    data = database_path().read_bytes()
    assert b"Find the needle" in data
    database_path().write_bytes(data.replace(b"Find the needle", b"Find the NEEDLE"))
    titles = {re.split(r"  +", row)[0]: re.split(r"  +", row)[1] for row in said("list")[1:]}
    assert titles == {"needle": "(damaged)", "thread": "Find the thread"}
    assert main(["sessions", "search", "find"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "thread  1  > Find the thread\n"
    assert "record 1 of 'needle' is not what was written" in printed.err
    assert said("delete", "needle", "--yes") == ["1 session deleted."]


@pytest.mark.parametrize("is_alive", [True, False])
def test_who_works_with_it(said: Said, tmp_path: Path, *, is_alive: bool) -> None:
    file = tmp_path / f"{UUID(int=1)}.jsonl"
    file.write_bytes(HistoryFile(file.stem).user("Hello").data())
    said("import", str(file), "--key", "k")
    owner = new_owner()
    if not is_alive:  # a process that had this pid, and began at another time
        owner = re.sub(r"\[.*@", "[0@", owner)

    async def hold() -> None:
        async with open_database() as store:
            await store.acquire("k", owner=owner, ttl=60.0)

    trio.run(hold)
    shown = told_owner(owner)
    assert ("in use by" in said("list")[1]) is is_alive
    assert (f"  held by      {shown}" in said("show", "k")) is is_alive
    assert json.loads("\n".join(said("show", "k", "--json")))["held_by"] == (shown if is_alive else None)


def test_a_narrow_terminal_gets_less() -> None:
    head = StoredSession(key="chat/1", agent="embedded", last_active=100.0)
    holders = {"chat/1": "bot.py on web-1, pid 7"}
    for width, columns in (
        (70, ["KEY", "TITLE", "ACTIVE", "STATE"]),
        (None, ["KEY", "TITLE", "AGENT", "TURNS", "COST", "ACTIVE", "STATE"]),
    ):
        table = table_of([head], {"chat/1": "T" * 100}, holders, now=160.0, width=width)
        assert [column.header for column in table.columns] == columns
        cells = [str(next(iter(column.cells))) for column in table.columns]
        assert (cells[1], cells[-2:]) == ("T" * 59 + "…", ["1 min ago", "in use by bot.py on web-1, pid 7"])
