"""Playing the demo's conversations, all at the same time, and checking what comes back."""

from typing import final

import trio

from triologue.cli.demo.story import ENDLESS, Line, Story
from triologue.cli.demo.tally import Tally, TurnRecord
from triologue.cli.endings import ExitCode, exit_code_of, one_line
from triologue.errors import TriologueError
from triologue.manager import Session, SessionManager
from triologue.messages import AssistantMessage, Gap, StreamEvent, TurnAccepted, TurnEnded, text

TURN_PATIENCE = 120.0
"""Seconds after which a turn without an outcome counts as lost."""
SHOWN_TAIL = 200


@final
class Player:
    """Plays stories on one manager, and keeps the books."""

    def __init__(self, manager: SessionManager, tally: Tally) -> None:
        self._manager = manager
        self._tally = tally
        self.pids: set[int] = set()
        """Every agent process that was seen."""

    async def play_all(self, stories: list[Story]) -> None:
        """Play them at the same time; return when the last one is over.

        Raises:
            TriologueError: the agent cannot be started at all.
        """
        async with trio.open_nursery() as nursery:
            for story in stories:
                nursery.start_soon(self._play, story, name=f"demo {story.key}")

    async def _play(self, story: Story) -> None:
        await trio.sleep(story.delay)
        session = self._manager.session(story.key)
        try:
            await self._tell(session, story)
        except TriologueError as error:
            if exit_code_of(error) is ExitCode.NO_AGENT:
                raise
            self._tally.problems.append(f"{story.key}: {one_line(error)}")

    async def _tell(self, session: Session, story: Story) -> None:
        await self._say(session, story.tell)
        half = len(story.chatter) // 2
        for line in story.chatter[:half]:
            await self._say(session, line)
        if story.kind == "interrupted":
            await self._interrupt(session)
        for line in story.chatter[half:]:
            await self._say(session, line)
        if story.kind == "resumed":
            await self._let_go(session, story.rest)
        if story.kind == "forked":
            copy = await session.fork(f"{story.key}/copy")
            self._tally.forks += 1
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._go_on_in_copy, copy, story)
                await self._say(session, story.recall)
        else:
            await self._say(session, story.recall)

    async def _go_on_in_copy(self, copy: Session, story: Story) -> None:
        await self._say(copy, story.tell_copy)
        await self._say(copy, story.recall_copy)

    async def _let_go(self, session: Session, rest: float) -> None:
        """Hibernate: nothing of the conversation is alive until the next prompt wakes it."""
        await session.hibernate()
        if session.state != "hibernated" or session.pid is not None:
            self._tally.problems.append(f"{session.key}: {session.state} with pid {session.pid} after hibernating")
        await trio.sleep(rest)
        self._tally.wakes += 1

    async def _say(self, session: Session, line: Line) -> None:
        """One turn, read while it streams, and its answer checked."""
        outcome = (await self._send(session, line.prompt)).outcome
        if outcome is None:
            self._tally.problems.append(f"{session.key}: {line.prompt!r} had no outcome in {TURN_PATIENCE:g} s")
        elif outcome.kind != "answered":
            outcome.unwrap()
        elif not line.is_answered_by((outcome.result and outcome.result.result) or ""):
            self._tally.problems.append(f"{session.key}: {line.prompt!r} was answered wrongly: {outcome.result!r:.300}")
        elif line.must_not or len(line.must) > 1:
            self._tally.recalls += 1

    async def _interrupt(self, session: Session) -> None:
        """A turn that is stopped once it has begun to speak."""
        outcome = (await self._send(session, ENDLESS, stop_early=True)).outcome
        if outcome is None:
            self._tally.problems.append(f"{session.key}: an interrupted turn had no outcome in {TURN_PATIENCE:g} s")
        elif outcome.kind not in ("interrupted", "answered"):
            outcome.unwrap()

    async def _send(self, session: Session, prompt: str, *, stop_early: bool = False) -> TurnRecord:
        began = trio.current_time()
        turn = await session.send(prompt)
        record = self._tally.accept(session.key)
        texts = self._tally.texts
        texts[session.key] = ""
        with trio.move_on_after(TURN_PATIENCE):
            async for message in turn:
                said = text(message) if isinstance(message, StreamEvent | AssistantMessage) else ""
                if not said:
                    continue
                if record.first_text is None:
                    record.first_text = trio.current_time() - began
                    if stop_early:
                        await session.interrupt()
                # A whole message repeats what its pieces said.
                piece = said if isinstance(message, StreamEvent) else "  "
                texts[session.key] = (texts[session.key] + piece)[-SHOWN_TAIL:]
            record.outcome = await turn.wait()
            record.whole = trio.current_time() - began
        texts.pop(session.key, None)
        if session.pid is not None:
            self.pids.add(session.pid)
        return record

    # The second set of books.

    async def audit(self) -> None:
        """Compare with the logs of the sessions: every accepted turn has exactly one outcome there too."""
        accepted = 0
        for statistics in self._manager.sessions():
            begun, ended = await self._read_log(statistics.key, statistics.records)
            accepted += len(begun)
            if sorted(begun) != sorted(ended):
                self._tally.problems.append(
                    f"{statistics.key}: its log has {len(begun)} accepted turns and {len(ended)} outcomes"
                )
        if accepted != len(self._tally.turns):
            self._tally.problems.append(f"the logs have {accepted} turns, and {len(self._tally.turns)} were accepted")

    async def _read_log(self, key: str, records: int) -> tuple[list[str], list[str]]:
        begun: list[str] = []
        ended: list[str] = []
        async with self._manager.session(key).subscribe(after=0) as events:
            seen = 0
            while seen < records:
                event = await anext(events)
                seen = event.seq or seen
                match event.message:
                    case TurnAccepted():
                        begun.append(event.turn_id or "")
                    case TurnEnded():
                        ended.append(event.turn_id or "")
                    case Gap():
                        self._tally.problems.append(f"{key}: its log has a gap")
                    case _:
                        pass
        return begun, ended
