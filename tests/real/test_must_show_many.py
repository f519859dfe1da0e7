"""Thirty conversations with the real Claude Code at once; and a hundred of which four may live, under random trouble."""

import json
import os

import pytest
import trio

import triologue as tri
from tests.support.leftovers import descendants
from tests.support.live import bash, open_live_manager
from tests.support.processes import processes_with
from tests.support.real_cli import CleanPlace, find_claude
from tests.support.signpost import open_signpost, sleepers
from tests.support.soak import Census, Soak, weigh_kib

pytestmark = [pytest.mark.real_cli, pytest.mark.slow, pytest.mark.timeout(300)]

SESSIONS, TURNS = 30, 4

MANY, LIVE, SEED = 100, 4, 4
SOAK_SECONDS = float(os.environ.get("TRIOLOGUE_SOAK_SECONDS", "120"))
"""Of trouble; starting and ending come on top."""
RECALLING = 5
"""Conversations that are asked in the end for all that they know; the others' transcripts are read."""


async def test_thirty_sessions_of_several_turns_each(place: CleanPlace) -> None:
    recalls: dict[str, list[str | None]] = {}
    starting: list[int] = []

    async def talk(session: tri.Session) -> None:
        results = [await session.ask(f"{session.key} says {number}") for number in range(TURNS)]
        recalls[session.key] = [result.result for result in results]

    async def watch(manager: tri.SessionManager) -> None:
        while True:
            starting.append(manager.statistics().starting)
            await trio.sleep(0.01)

    limits = tri.Limits(max_live=SESSIONS, max_starting=2)
    async with open_live_manager(place, limits=limits, deadlines=tri.Deadlines(start=240)) as manager:
        async with trio.open_nursery() as watching:
            watching.start_soon(watch, manager)
            async with trio.open_nursery() as talking:
                for number in range(SESSIONS):
                    talking.start_soon(talk, manager.session(f"s{number}"))
            watching.cancel_scope.cancel()
        assert manager.statistics().live == SESSIONS
        assert len({statistics.pid for statistics in manager.sessions()}) == SESSIONS
    assert processes_with(place.marker) == []
    assert max(starting) == 2
    for number in range(SESSIONS):
        said = [f"s{number} says {turn}" for turn in range(TURNS)]
        expected = [f"echo[{turn + 1}]: {' | '.join(said[: turn + 1])}" for turn in range(TURNS)]
        assert recalls[f"s{number}"] == expected


async def test_thirty_sessions_some_in_tools_and_some_interrupted(place: CleanPlace) -> None:
    """What happens to one happens to no other, and the block's end is the end of all."""
    outcomes: dict[str, str] = {}
    options = tri.Options(allowed_tools=["Bash"])
    deadlines = tri.Deadlines(start=240, drain=0, close=20)
    async with open_signpost(place.home) as post:
        async with open_live_manager(
            place, options, limits=tri.Limits(max_live=SESSIONS), deadlines=deadlines
        ) as manager:

            async def play(number: int) -> None:
                session = manager.session(f"s{number}")
                await session.ask(f"first {number}")
                script = [f"[[say calm {number}]]", f"[[wait gate{number}]]", bash(post.sleeper)][number % 3]
                turn = await session.send(script)
                if number % 3 == 1:
                    await place.api.wait_reached(f"gate{number}")
                    await session.interrupt()
                if number % 3 < 2:
                    outcomes[session.key] = (await turn.wait()).kind

            async with trio.open_nursery() as nursery:
                for number in range(SESSIONS):
                    nursery.start_soon(play, number)
            for _ in range(SESSIONS // 3):
                await post.wait_reached()
            assert len(sleepers(place.marker)) == SESSIONS // 3
        assert processes_with(place.marker) == []
    kinds = ["answered", "interrupted"]
    assert outcomes == {f"s{number}": kinds[number % 3] for number in range(SESSIONS) if number % 3 < 2}


@pytest.mark.timeout(SOAK_SECONDS + 600)
async def test_a_hundred_of_which_four_live_are_killed_interrupted_and_put_to_sleep(place: CleanPlace) -> None:
    program = find_claude()
    assert program is not None
    census = Census(program)
    one_kib = await weigh_one(place)
    # Twenty restarts a second would be within it: here it is the test that kills.
    restart = tri.RestartPolicy(max_restarts=1_000, within=60, backoff=0, max_backoff=0)
    async with tri.open_manager(
        tri.ClaudeCode(environ=place.env),
        options=tri.Options(cwd=place.cwd),
        limits=tri.Limits(max_live=LIVE, max_starting=2),
        deadlines=tri.Deadlines(start=240, interrupt=60),
        restart=restart,
    ) as manager:
        soak = Soak(manager, MANY, SEED)
        async with trio.open_nursery() as watching:
            watching.start_soon(census.watch)
            await soak.run(SOAK_SECONDS)
            await check_histories(place, soak)
            watching.cancel_scope.cancel()
    assert processes_with(place.marker) == []
    told = (
        f"done {dict(soak.done)}, turns {dict(soak.kinds)}, most {census.most}, KiB {census.heaviest_kib} of {one_kib}"
    )
    print(told)
    assert soak.odd == [], told
    for key in soak.keys:
        # A caller that gave up before its turn was accepted may have had another turn of that id, which was no turn.
        assert {turn_id: soak.ended[key][turn_id] for turn_id in soak.sent[key]} == dict.fromkeys(soak.sent[key], 1), (
            told
        )
    assert min(soak.done[what] for what in ("killed", "interrupted", "gave up", "hibernated")) > 0, told
    assert soak.kinds["answered"] > 0, told
    assert census.most <= LIVE, told
    assert census.heaviest_kib < LIVE * one_kib, told


async def weigh_one(place: CleanPlace) -> int:
    """What one agent weighs that has answered, alone on the machine; KiB."""
    async with open_live_manager(place) as manager:
        await manager.session("alone").ask("hello")
        return weigh_kib(descendants())


async def check_histories(place: CleanPlace, soak: Soak) -> None:
    """Every prompt that was answered is in its conversation's history, once, and in order."""
    recalling = [key for key in soak.keys if soak.answered[key]][:RECALLING]
    for key in soak.keys:
        session_id = soak.manager.session(key).session_id
        known = prompts_in_transcript(place, session_id) if session_id is not None else []
        assert [prompt for prompt in known if prompt in soak.answered[key]] == soak.answered[key], key
        if key in recalling:
            result = (await soak.manager.session(key).ask("[[recall]] in the end")).result or ""
            recalled = result.partition(": ")[2].split(" | ")
            assert [prompt for prompt in recalled if prompt in soak.answered[key]] == soak.answered[key], key


def prompts_in_transcript(place: CleanPlace, session_id: str) -> list[str]:
    """What the user said, as Claude Code has it on disk; nothing where it was always killed before it wrote that down."""
    paths = list((place.home / ".claude" / "projects").glob(f"*/{session_id}.jsonl"))
    if not paths:
        return []
    (path,) = paths
    records = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    contents = [record["message"]["content"] for record in records if record["type"] == "user"]
    texts = [
        content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
        for content in contents
    ]
    return [text for text in texts if text]
