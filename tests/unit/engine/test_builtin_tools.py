"""The tools of the agent program, doing real work."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, strategies as st

from tests.support.leftovers import descendants, is_alive
from tests.unit.engine.stage import open_engine, said
from triologue.engine.builtin_tools import builtin_tools
from triologue.engine.builtin_tools.patches import structured_patch
from triologue.engine.builtin_tools.running import run_program
from triologue.engine.toolbox import ToolOutcome, function_tool
from triologue.messages import Interrupt, ToolUseBlock
from triologue.ports import ModelReply

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8


async def call(cwd: Path, tool: str, **given: Any) -> ToolOutcome:
    (found,) = (each for each in builtin_tools(cwd) if each.definition.name == tool)
    return await function_tool(found.definition).run(
        {key.replace("_", "-", key[0] == "_"): value for key, value in given.items()}, "t"
    )


async def gives(cwd: Path, tool: str, **given: Any) -> tuple[Any, Any]:
    """What a call gives the model and the host."""
    outcome = await call(cwd, tool, **given)
    assert not outcome.is_error, outcome.content
    assert isinstance(outcome.value, msgspec.Raw)
    return outcome.content, json.loads(bytes(outcome.value))


async def fails(cwd: Path, tool: str, **given: Any) -> str:
    outcome = await call(cwd, tool, **given)
    assert outcome.is_error
    assert isinstance(outcome.content, str)
    assert isinstance(outcome.value, msgspec.Raw)
    assert json.loads(bytes(outcome.value)) == f"Error: {outcome.content}"
    return outcome.content


def test_what_the_tools_are() -> None:
    tools = builtin_tools("/here")
    guards = {each.definition.name: msgspec.structs.astuple(each.guard) for each in tools}
    assert guards == {
        "Read": ("read", "file_path", None, None),
        "Write": ("edit", "file_path", None, None),
        "Edit": ("edit", "file_path", None, None),
        "Glob": ("read", "path", None, None),
        "Grep": ("read", "path", None, None),
        "Bash": ("run", None, "command", "description"),
    }
    assert [name for name in guards if _tool(name).annotations == {"readOnlyHint": True, "destructiveHint": False}] == [
        "Read",
        "Glob",
        "Grep",
    ]
    assert _tool("Edit").input_schema["required"] == ["file_path", "old_string", "new_string"]
    assert {"-A", "-B", "-C", "-n", "-i", "output_mode"} < set(_tool("Grep").input_schema["properties"])


def _tool(name: str) -> Any:
    return next(each.definition for each in builtin_tools("/here") if each.definition.name == name)


# --- files ------------------------------------------------------------------------------------------------------------


async def test_read(tmp_path: Path) -> None:
    path = tmp_path / "r.txt"
    path.write_text("one\ntwo\n")
    assert await gives(tmp_path, "Read", file_path="r.txt") == (
        "1\tone\n2\ttwo\n3\t",
        {
            "type": "text",
            "file": {"filePath": str(path), "content": "one\ntwo\n", "numLines": 3, "startLine": 1, "totalLines": 3},
        },
    )
    content, value = await gives(tmp_path, "Read", file_path=str(path), offset="2", limit=1)
    assert (content, value["file"]["content"], value["file"]["startLine"]) == ("2\ttwo", "two", 2)
    path.write_bytes(b"\xff\n")
    assert (await gives(tmp_path, "Read", file_path=str(path)))[0] == "1\t\ufffd\n2\t"
    path.write_text("")
    assert (await gives(tmp_path, "Read", file_path=str(path)))[0] == "(the file is empty)"


async def test_what_cannot_be_read(tmp_path: Path) -> None:
    assert await fails(tmp_path, "Read", file_path="no") == (
        f"There is no file {tmp_path}/no. The working directory is {tmp_path}."
    )
    assert await fails(tmp_path, "Read", file_path=".") == f"{tmp_path}: Is a directory"
    assert "missing required field `file_path`" in await fails(tmp_path, "Read", path="x")
    os.mkfifo(tmp_path / "pipe")
    assert await fails(tmp_path, "Read", file_path="pipe") == f"{tmp_path}/pipe is no ordinary file"
    (tmp_path / "binary").write_bytes(b"a\0b")
    assert "is no text file" in await fails(tmp_path, "Read", file_path="binary")
    (tmp_path / "large").write_text("x" * 1000 + "\n" + "y\n" * 200_000)
    assert "at most 262144 are read at once" in await fails(tmp_path, "Read", file_path="large")
    assert (await gives(tmp_path, "Read", file_path="large", offset=2, limit=2))[0] == "2\ty\n3\ty"
    assert "there is no line 300000" in await fails(tmp_path, "Read", file_path="large", offset=300_000)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    assert "too much to look into" in await fails(tmp_path, "Read", file_path="huge", limit=1)


async def test_read_a_picture(tmp_path: Path) -> None:
    (tmp_path / "p.PNG").write_bytes(PNG)
    content, value = await gives(tmp_path, "Read", file_path="p.PNG")
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAAAAAAAAA=="}
    assert content == [{"type": "image", "source": source}]
    assert value == {"type": "image", "file": {"base64": source["data"], "type": "image/png", "originalSize": 16}}


async def test_write(tmp_path: Path) -> None:
    path = tmp_path / "new" / "n.txt"
    assert await gives(tmp_path, "Write", file_path="new/n.txt", content="line one\nLINE 2\n") == (
        f"The file {path} was created.",
        {
            "type": "create",
            "filePath": str(path),
            "content": "line one\nLINE 2\n",
            "structuredPatch": [],
            "originalFile": None,
            "userModified": False,
        },
    )
    _, value = await gives(tmp_path, "Write", file_path="new/n.txt", content="zzz")
    assert (path.read_text(), value["type"], value["originalFile"]) == ("zzz", "update", "line one\nLINE 2\n")
    assert value["structuredPatch"] == [
        {
            "oldStart": 1,
            "oldLines": 2,
            "newStart": 1,
            "newLines": 1,
            "lines": ["-line one", "-LINE 2", "+zzz", "\\ No newline at end of file"],
        }
    ]
    assert "cannot hold this text" in await fails(tmp_path, "Write", file_path="x", content="\ud800")
    assert not (tmp_path / "x").exists()
    assert "File exists" in await fails(tmp_path, "Write", file_path="new/n.txt/below", content="")


async def test_edit(tmp_path: Path) -> None:
    path = tmp_path / "e.txt"
    path.write_text("line one\nline two\n")
    content, value = await gives(tmp_path, "Edit", file_path="e.txt", old_string="line two", new_string="LINE 2")
    assert content == f"The file {path} was changed."
    assert value == {
        "filePath": str(path),
        "oldString": "line two",
        "newString": "LINE 2",
        "originalFile": "line one\nline two\n",
        "structuredPatch": [
            {"oldStart": 1, "oldLines": 2, "newStart": 1, "newLines": 2, "lines": [" line one", "-line two", "+LINE 2"]}
        ],
        "userModified": False,
        "replaceAll": False,
    }
    assert path.read_text() == "line one\nLINE 2\n"
    path.write_bytes(b"a a\r\nb\r\n\xff")
    assert "this text 2 times" in await fails(tmp_path, "Edit", file_path="e.txt", old_string="a", new_string="c")
    content, _ = await gives(tmp_path, "Edit", file_path="e.txt", old_string="a", new_string="c", replace_all=True)
    assert content == f"The file {path} was changed in 2 places."
    await gives(tmp_path, "Edit", file_path="e.txt", old_string="c c\nb\n", new_string="d\ne\n")
    assert path.read_bytes() == b"d\r\ne\r\n\xff"  # its line ends, and what is no text, stay
    assert "does not have this text" in await fails(tmp_path, "Edit", file_path="e.txt", old_string="x", new_string="y")
    assert "nothing to change" in await fails(tmp_path, "Edit", file_path="e.txt", old_string="x", new_string="x")
    assert "does not have" in await fails(tmp_path, "Edit", file_path="e.txt", old_string="", new_string="x")
    assert "There is no file" in await fails(tmp_path, "Edit", file_path="no", old_string="x", new_string="y")
    await gives(tmp_path, "Edit", file_path="made", old_string="", new_string="x")
    assert (tmp_path / "made").read_text() == "x"


@given(before=st.text("ab\n", max_size=60), after=st.text("ab\n", max_size=60))
def test_a_patch_makes_the_one_of_the_other(before: str, after: str) -> None:
    made, at = [], 0
    old = before.split("\n") if before else []
    for hunk in structured_patch(before, after):
        start = hunk["oldStart"] - bool(hunk["oldLines"])
        made += old[at:start]
        lines = [line for line in hunk["lines"] if not line.startswith("\\")]
        assert [line[1:] for line in lines if line[0] != "+"] == old[start : start + hunk["oldLines"]]
        assert len(made) == hunk["newStart"] - bool(hunk["newLines"])
        made += [line[1:] for line in lines if line[0] != "-"]
        at = start + hunk["oldLines"]
    made += old[at:]
    assert [line for line in made if line] == [line for line in after.split("\n") if line]
    assert bool(structured_patch(before, after)) == (before != after)


def test_a_large_change_is_told_quickly() -> None:
    before = "".join(f"old {number}\n" for number in range(30_000))
    (hunk,) = structured_patch(f"same\n{before}end\n", f"same\n{before.replace('old', 'new')}end\n")
    assert (hunk["oldStart"], hunk["oldLines"], hunk["newLines"], len(hunk["lines"])) == (1, 30_002, 30_002, 60_002)


def test_lines_that_are_everywhere_are_told_quickly() -> None:
    (hunk,) = structured_patch("a\n" * 1000, "b\na\n" * 480)
    assert (hunk["oldLines"], hunk["newLines"]) == (1000, 960)


# --- search -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for number, (name, text) in enumerate(
        [
            ("a.py", "import os\nx = 1\ny = 2\nz = 3\n"),
            ("b.txt", "Import\n"),
            ("src/deep/c.py", "import sys\r\n"),
            ("src/d.ts", "export\n"),
            (".git/e.py", "import never\n"),
            (".hidden.py", "nothing\n"),
            ("bin.py", "import\0"),
        ]
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (number, number))
    (tmp_path / "secret.py").write_text("import secret\n")
    (root / "link.py").symlink_to(tmp_path / "secret.py")
    (root / "up").symlink_to(tmp_path)
    os.utime(root / "link.py", (9, 9), follow_symlinks=False)
    return root


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.py", ["link.py", "bin.py", ".hidden.py", "src/deep/c.py", "a.py"]),
        ("src/**/*.{py,ts}", ["src/d.ts", "src/deep/c.py"]),
        ("./src/*", ["src/d.ts"]),
        ("src/**", ["src/d.ts", "src/deep/c.py"]),
        ("[!b]*.?[x-z]", ["link.py", ".hidden.py", "src/deep/c.py", "a.py"]),
        ("**/d\\.ts", ["src/d.ts"]),
        ("*.rb", []),
    ],
)
async def test_glob(tree: Path, pattern: str, names: list[str]) -> None:
    content, value = await gives(tree, "Glob", pattern=pattern)
    files = [str(tree / name) for name in names]
    assert value == {"filenames": files, "numFiles": len(files), "truncated": False, "durationMs": value["durationMs"]}
    assert content == ("\n".join(files) or "No files found")


async def test_glob_limits(tree: Path, tmp_path: Path) -> None:
    for number in range(120):
        (tmp_path / f"f{number}.many").touch()
    content, value = await gives(tree, "Glob", pattern="*.many", path="..")
    assert (value["numFiles"], value["truncated"], content.splitlines()[-1]) == (
        100,
        True,
        "(there are more; give a narrower pattern)",
    )
    assert "give the folder as path" in await fails(tree, "Glob", pattern="/etc/*")
    assert "give the folder as path" in await fails(tree, "Glob", pattern="../*.py")
    assert f"There is no folder {tree}/none." in await fails(tree, "Glob", pattern="*", path="none")
    assert "is no pattern for files" in await fails(tree, "Glob", pattern="[z-a]")
    assert "is not closed" in await fails(tree, "Glob", pattern="{a")
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff.odd")).touch()
    assert (await gives(tree, "Glob", pattern="*.odd"))[0] == f"{tree}/\ufffd.odd"


async def test_grep_files(tree: Path) -> None:
    assert await gives(tree, "Grep", pattern="^import") == (
        "Found 2 files\na.py\nsrc/deep/c.py",
        {"mode": "files_with_matches", "numFiles": 2, "filenames": ["a.py", "src/deep/c.py"]},
    )
    assert (await gives(tree, "Grep", pattern="^import", _i=True))[1]["filenames"] == ["a.py", "b.txt", "src/deep/c.py"]
    assert (await gives(tree, "Grep", pattern="port", type="ts"))[1]["filenames"] == ["src/d.ts"]
    assert (await gives(tree, "Grep", pattern="port", glob="src/**"))[1]["filenames"] == ["src/d.ts", "src/deep/c.py"]
    assert (await gives(tree, "Grep", pattern="port", path="src", head_limit=1))[0] == (
        "Found 1 file\nsrc/d.ts\n(cut here; narrow the search, or raise head_limit)"
    )
    assert (await gives(tree / "src", "Grep", pattern="os", path=".."))[1]["filenames"] == [f"{tree}/a.py"]
    assert (await gives(tree, "Grep", pattern="nowhere"))[0] == "No files found"


async def test_grep_lines(tree: Path) -> None:
    content, value = await gives(tree, "Grep", pattern="= 2|sys$", output_mode="content", _B=1)
    assert content == "a.py-2-x = 1\na.py:3:y = 2\nsrc/deep/c.py:1:import sys"
    assert (value["mode"], value["numLines"], value["content"], value["filenames"]) == ("content", 3, content, [])
    shown, _ = await gives(tree, "Grep", pattern="os|3", path="a.py", output_mode="content", _C=0, _A=1, _n=False)
    assert shown == "a.py:import os\na.py-x = 1\n--\na.py:z = 3\na.py-"
    across = await gives(tree, "Grep", pattern=r"x.*y", output_mode="content", multiline=True)
    assert across[0] == "a.py:2:x = 1\na.py:3:y = 2"
    count, value = await gives(tree, "Grep", pattern="=", output_mode="count")
    assert (count, value["numMatches"]) == ("a.py:3\n3 matches in 1 files", 3)
    (tree / "long").write_text("q" * 3000 + "\n" + "q\n" * 20_000)
    cut, _ = await gives(tree, "Grep", pattern="q", path="long", output_mode="content")
    assert cut.startswith("long:1:" + "q" * 2000 + "...\nlong:2:q\n")
    assert cut.endswith("\n(cut here; narrow the search, or raise head_limit)")
    assert len(cut) < 31_000
    assert (await gives(tree, "Grep", pattern="nowhere", output_mode="content"))[0] == "No matches found"


async def test_what_cannot_be_searched(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is no regular expression" in await fails(tree, "Grep", pattern="(")
    assert "'cobol' is none of the known types" in await fails(tree, "Grep", pattern="x", type="cobol")
    assert "There is no file or folder" in await fails(tree, "Grep", pattern="x", path="none")
    assert "cannot be started in" in await fails(tree / "none", "Grep", pattern="x", path="/")
    (tree / "slow").write_text("a" * 60)
    monkeypatch.setattr("triologue.engine.builtin_tools.search.TIMEOUT", 0.5)
    assert "took more than 0.5 s" in await fails(tree, "Grep", pattern="(a+)+b")  # which would take for ever
    (tree / "broken.py").write_text("import sys; sys.exit('no')")
    monkeypatch.setattr("triologue.engine.builtin_tools.search._PROGRAM", tree / "broken.py")
    assert await fails(tree, "Glob", pattern="x") == "The search failed (exit code 1): no"


# --- shell ------------------------------------------------------------------------------------------------------------


async def test_bash(tmp_path: Path) -> None:
    assert await gives(tmp_path, "Bash", command="pwd; echo err >&2; cat", description="where") == (
        f"{tmp_path}\nerr",
        {"stdout": str(tmp_path), "stderr": "err", "interrupted": False, "isImage": False, "noOutputExpected": False},
    )
    assert (await gives(tmp_path, "Bash", command="true"))[0] == "(no output)"
    assert await fails(tmp_path, "Bash", command="echo out; echo err >&2; exit 3") == "Exit code 3\nout\nerr"
    assert await fails(tmp_path, "Bash", command="kill -9 $$") == "Exit code 137"
    assert "cannot be started" in await fails(tmp_path / "none", "Bash", command="true")
    assert "cannot be started" in await fails(tmp_path, "Bash", command="\0")
    assert "in the background" in await fails(tmp_path, "Bash", command="true", run_in_background=True)
    assert "cannot be called like this" in await fails(tmp_path, "Bash", command="true", timeout=0)


async def test_long_output_is_cut_in_the_middle(tmp_path: Path) -> None:
    content, value = await gives(
        tmp_path, "Bash", command="echo begin; head -c 1000000 /dev/zero | tr '\\0' x; echo end"
    )
    assert content == value["stdout"]
    assert content.startswith("begin\nxxx")
    assert content.endswith("xxxend")
    assert "x\n... [970010 bytes left out] ...\nx" in content


async def test_what_a_command_leaves_running_ends_with_it(tmp_path: Path) -> None:
    content, _ = await gives(tmp_path, "Bash", command="sleep 1000 & echo $!")
    assert await _is_gone(int(content))


async def test_a_command_that_takes_too_long(tmp_path: Path) -> None:
    # One child ignores SIGTERM; one is in a session of its own, and not even in the shell's tree.
    command = "echo begun; (trap '' TERM; sleep 1000) & setsid sh -c 'sleep 1000 & sleep 1001' & sleep 1002"
    assert await fails(tmp_path, "Bash", command=command, timeout=1000) == (
        "Command timed out after 1 s and was stopped\nbegun"
    )
    assert await _nothing_lives()


async def test_a_shell_that_does_not_want_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triologue.engine.builtin_tools.running.GRACE", 0.1)
    command = "trap '' TERM; while :; do sleep 1000; done"
    assert (
        await fails(tmp_path, "Bash", command=command, timeout=300) == "Command timed out after 0.3 s and was stopped"
    )
    assert await _nothing_lives()


async def test_a_system_without_handles_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> int:
        raise OSError

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert (await gives(tmp_path, "Bash", command="sleep 1000 & echo x"))[0] == "x"
    assert await _nothing_lives()


async def test_an_interrupt_stops_a_command(tmp_path: Path) -> None:
    command = f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' & sleep 1000"
    use = ToolUseBlock(id="t", name="Bash", input={"command": command})
    bash = next(each.definition for each in builtin_tools(tmp_path) if each.definition.name == "Bash")
    async with open_engine(model=_Says(said(use)), tools=[bash]) as host:
        host.send(host.prompt("go"))
        while not (pid := (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else ""):
            await trio.sleep(0.01)
        host.send(host.request(Interrupt()))
        while not host.results:
            await trio.sleep(0.01)
        assert await _is_gone(int(pid))
    assert host.results[0].terminal_reason == "aborted_tools"


class _Says:
    name = "says"

    def __init__(self, reply: ModelReply) -> None:
        self._reply = reply

    async def reply(self, request: Any, emit: Any) -> ModelReply:
        return self._reply


async def _is_gone(pid: int) -> bool:
    """Whether it is, soon: what was killed takes a moment to go."""
    with trio.move_on_after(5):
        while is_alive(pid):
            await trio.sleep(0.01)
    return not is_alive(pid)


async def _nothing_lives() -> bool:
    """Whether nothing that was started here is alive, soon."""
    with trio.move_on_after(5):
        while descendants():
            await trio.sleep(0.01)
    return not descendants()


async def test_output_that_something_else_holds_open(tmp_path: Path) -> None:
    # What left the group on purpose is let go, and its output with it.
    ran = await run_program(["sh", "-c", "setsid sleep 1000 & echo $!; sleep 0.2"], cwd=tmp_path, timeout=30, keep=1000)
    assert (ran.code, ran.stderr) == (0, "")
    os.kill(int(ran.stdout), signal.SIGKILL)
    assert await _is_gone(int(ran.stdout))
