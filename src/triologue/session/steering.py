"""Prompts that were handed to an agent while it works on another one, and what it makes of them."""

from typing import final
from uuid import NAMESPACE_OID, uuid5

from msgspec.structs import replace

from triologue.messages import CancelAsyncMessage, Outcome, TurnStarted, UserMessage
from triologue.session import effects as do
from triologue.session.ground import Ground
from triologue.session.link import LinkState, Recalling
from triologue.session.mailbox import Mailbox, Waiting
from triologue.session.run import Phase, Run, cancelled


@final
class Steering:
    """The agent folds such a prompt into its turn, or makes a turn of its own of it, or drops it: then it waits again.

    Only an agent that tells what becomes of each prompt can be steered, for else nobody knows which of these happened.
    """

    def __init__(self, session: Ground, mailbox: Mailbox) -> None:
        self._session = session
        self._mailbox = mailbox
        self._handed: dict[str, Waiting] = {}
        """By the prompts' uuids, oldest first."""
        self._recalled: set[str] = set()

    def __len__(self) -> int:
        return len(self._handed)

    def hand_over(self) -> None:
        """Give the agent what waits first and is meant for the turn that runs."""
        session = self._session
        while self._mailbox.next_overlap() == "steer" and self._can_steer() and (turn := self._mailbox.take()):
            prompt = replace(turn.prompt, priority="next")
            self._handed[prompt.uuid or turn.turn_id] = replace(turn, prompt=prompt, is_begun=True)
            if not turn.is_begun:
                session.publish(turn.turn_id, [TurnStarted()])
            session.effect(do.SendPrompt(session.link.generation, prompt))

    def _can_steer(self) -> bool:
        run, link = self._session.run, self._session.link
        is_running = run is not None and run.phase is Phase.STARTED and not run.is_stopping and run.put_aside is None
        return is_running and link.state is LinkState.READY and link.tells_lifecycle

    def waits(self, turn_id: str) -> bool:
        """Is this turn with the agent, and nothing known of it?"""
        return any(each.turn_id == turn_id for each in self._handed.values())

    def take_up(self, uuid: str) -> bool:
        """The agent says something of this prompt: True when it went into the turn that runs, and that is all.

        Else, if it is one of these, it is a turn of its own from now on, as if it had just been sent.
        """
        turn = self._handed.pop(uuid, None)
        if turn is None:
            return False
        self._recalled.discard(uuid)
        run = self._session.run
        if run is not None and run.phase is Phase.STARTED:
            self._session.settle_turn(turn.turn_id, Outcome(kind="merged", into=run.turn_id))
            return True
        if run is not None:  # another one was to begin; it is in the agent's hands as this one was
            self._handed = {run.prompt.uuid or run.turn_id: _as_waiting(run), **self._handed}
        self._begin(turn)
        return False

    def begin_next(self) -> None:
        """The turn is over that they were meant for, so the first that is left becomes a turn of its own."""
        uuid = next(iter(self._handed), None)
        if uuid is not None and self._session.link.state is LinkState.READY:
            self._begin(self._handed.pop(uuid))

    def answered_with(self, uuids: list[str]) -> None:
        """The result of the turn that runs answers these prompts too."""
        for uuid in uuids:
            self.take_up(uuid)

    def dropped(self, uuid: str) -> bool:
        """The agent will not do it: it waits again, unless that was wanted. False: it is none of these."""
        turn = self._handed.pop(uuid, None)
        if turn is not None:
            self._give_back([turn], is_known=True)
        return turn is not None

    def lost(self) -> None:
        """The agent is gone: what it did not take up waits again."""
        turns, self._handed = list(self._handed.values()), {}
        self._give_back(turns, is_known=False)
        self._recalled.clear()

    def recall(self, turn_id: str) -> None:
        """Its caller does not want it any more: ask the agent to drop it. One that is folded stays where it is."""
        session = self._session
        for uuid, turn in self._handed.items():
            if turn.turn_id == turn_id and uuid not in self._recalled:
                self._recalled.add(uuid)
                if CancelAsyncMessage in session.peer.requests:
                    session.send_request(CancelAsyncMessage(message_uuid=uuid), Recalling(uuid))

    def recalled(self, uuid: str, *, is_dropped: bool) -> None:
        """The agent's answer to that."""
        if is_dropped:
            self.dropped(uuid)

    def _begin(self, turn: Waiting) -> None:
        session = self._session
        run = session.run = Run(turn.turn_id, turn.prompt)
        run.is_begun = True
        run.move(Phase.SENT)
        session.watch.begin(session.link.generation)

    def _give_back(self, turns: list[Waiting], *, is_known: bool) -> None:
        kept = []
        for turn in turns:
            if (turn.prompt.uuid in self._recalled) or self._session.is_leaving:
                self._recalled.discard(turn.prompt.uuid or "")
                self._session.settle_turn(turn.turn_id, cancelled("withdrawn"))
            else:
                prompt = renewed(turn.prompt) if is_known else turn.prompt
                kept.append(replace(turn, prompt=replace(prompt, priority=None), overlap="queue"))
        self._mailbox.put_back(kept)


def renewed(prompt: UserMessage) -> UserMessage:
    """The same prompt under another uuid, for an agent that would not do the same one twice."""
    return replace(prompt, uuid=str(uuid5(NAMESPACE_OID, f"again {prompt.uuid}")))


def _as_waiting(run: Run) -> Waiting:
    return Waiting(run.turn_id, run.prompt, "steer", is_begun=True)
