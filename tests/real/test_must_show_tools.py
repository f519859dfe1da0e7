"""The tools of the real Claude Code work on real files, and a turn shows each call and what came of it."""

import pytest

import triologue as tri
from tests.support.live import Story, bash, call, open_live_manager, read_story
from tests.support.real_cli import CleanPlace

pytestmark = pytest.mark.real_cli


async def test_bash_makes_a_file_and_reads_it(place: CleanPlace) -> None:
    command = "echo made > made.txt && cat made.txt"
    async with open_live_manager(place, tri.Options(allowed_tools=["Bash"])) as manager:
        turn = await manager.session("files").send(bash(command) + " [[results]] [[then , done]]")
        story = await read_story(turn)
        outcome = await turn.wait()
    assert (place.cwd / "made.txt").read_text() == "made\n"
    assert story == Story(
        calls=[("Bash", {"command": command, "description": "part of a test"})],
        results=[("Bash", "made", False)],
        said="made, done",
        result=outcome.result,
    )
    assert (outcome.kind, outcome.unwrap().result, outcome.unwrap().num_turns) == ("answered", "made, done", 2)


@pytest.mark.slow
async def test_a_file_is_written_read_and_edited_where_edits_are_accepted(place: CleanPlace) -> None:
    file = place.cwd / "poem.txt"
    path = str(file)
    async with open_live_manager(place, tri.Options(permission_mode="acceptEdits")) as manager:
        session = manager.session("files")
        turn = await session.send(
            call("Write", file_path=path, content="roses are red\n")
            + call("Read", file_path=path)
            + call("Edit", file_path=path, old_string="red", new_string="blue")
            + "[[say done]]"
        )
        story = await read_story(turn)
        messages = [message async for message in turn if isinstance(message, tri.UserMessage)]
        # A later turn sees what the earlier one made.
        seen = await read_story(await session.send(call("Read", file_path=path) + "[[say seen]]"))
    assert file.read_text() == "roses are blue\n"
    assert story.calls == [
        ("Write", {"file_path": path, "content": "roses are red\n"}),
        ("Read", {"file_path": path}),
        ("Edit", {"file_path": path, "old_string": "red", "new_string": "blue", "replace_all": False}),
    ]
    assert [(name, is_error) for name, _, is_error in story.results] == [
        ("Write", False),
        ("Read", False),
        ("Edit", False),
    ]
    structured = [message.tool_use_result for message in messages]
    assert [structured[0]["type"], structured[1]["file"]["content"], structured[2]["newString"]] == [
        "create",
        "roses are red\n",
        "blue",
    ]
    assert (story.said, seen.said) == ("done", "seen")
    assert "roses are blue" in seen.results[0][1]


@pytest.mark.slow
async def test_tools_in_parallel_and_one_that_fails(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(allowed_tools=["Bash"])) as manager:
        script = bash("echo one") + bash("echo two").replace("[[tool", "[[and tool") + bash("echo no >&2; exit 3")
        turn = await manager.session("files").send(script + "[[say on]]")
        story = await read_story(turn)
    assert [arguments["command"] for _, arguments in story.calls] == ["echo one", "echo two", "echo no >&2; exit 3"]
    # Those in parallel come as they end.
    assert sorted(story.results[:2]) == [("Bash", "one", False), ("Bash", "two", False)]
    assert story.results[2:] == [("Bash", "Exit code 3\nno", True)]
    assert (story.said, (await turn.wait()).kind) == ("on", "answered")


@pytest.mark.slow
async def test_a_tool_that_nobody_allowed_is_refused_and_the_turn_goes_on(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        turn = await manager.session("files").send(bash("touch forbidden") + "[[say as you wish]]")
        story = await read_story(turn)
        result = (await turn.wait()).unwrap()
    assert not (place.cwd / "forbidden").exists()
    assert [(name, is_error) for name, _, is_error in story.results] == [("Bash", True)]
    assert [denial["tool_name"] for denial in result.permission_denials or []] == ["Bash"]
    assert result.result == "as you wish"
