"""Prompts that were handed to an agent while it works on another one, and what it makes of them."""

from typing import final
from uuid import NAMESPACE_OID, uuid5

from msgspec.structs import replace

from triologue.messages import CancelAsyncMessage, Outcome, TurnStarted, UserMessage
from triologue.session import effects as do
from triologue.session.ground import CONTROL, Ground
from triologue.session.link import READY, Interrupting, Recalling
from triologue.session.mailbox import Mailbox, Waiting, joined
from triologue.session.run import SENT, Run, cancelled, interrupted, never_ran


@final
class Steering:
    """The agent folds such a prompt into its turn, or makes a turn of its own of it, or drops it: then it waits again.

    Only an agent that tells what becomes of each prompt can be steered, for else nobody knows which of these happened.
    """

    __slots__ = ("_handed", "_mailbox", "_recalled", "_session")

    def __init__(self, session: Ground, mailbox: Mailbox) -> None:
        self._session = session
        self._mailbox = mailbox
        self._handed: dict[str, Waiting] = {}
        """By the prompts' uuids, oldest first."""
        self._recalled: dict[str, None] = {}  # no set, which takes four times as much while there are none

    def __len__(self) -> int:
        return len(self._handed)

    def hand_over(self) -> None:
        """Give the agent what waits first and is meant for the turn that runs."""
        session = self._session
        while self._can_hand_over() and session.may_begin() and (turn := self._mailbox.take()):
            prompt = replace(turn.prompt, priority="next")
            self._handed[prompt.uuid or turn.turn_id] = replace(turn, prompt=prompt, is_begun=True)
            if not turn.is_begun:
                session.publish(turn.turn_id, [TurnStarted()])
            session.effect(do.SendPrompt(session.link.generation, prompt, turn.turn_id))

    def _can_hand_over(self) -> bool:
        turn = self._mailbox.next()
        return turn is not None and turn.overlap == "steer" and not self._is_taken(turn) and self._can_steer()

    def _is_taken(self, turn: Waiting) -> bool:
        """Has the agent another prompt of this uuid? Nobody could tell what became of which, so it waits for the end."""
        run, uuid = self._session.run, turn.prompt.uuid
        return uuid is not None and (
            uuid in self._handed or (run is not None and uuid in (run.prompt.uuid, *run.folded))
        )

    def _can_steer(self) -> bool:
        run, link = self._session.run, self._session.link
        is_running = run is not None and run.owns_messages and not run.is_stopping
        is_open = link.state is READY and not link.waits_for(Interrupting)
        has_room = len(self._handed) < self._mailbox.limit  # else one that does not fold would take any number
        return is_running and is_open and has_room and link.tells_lifecycle

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
        session = self._session
        run = session.run
        if session.link.state is not READY:  # nobody will hear how it ends
            session.settle_turn(turn.turn_id, interrupted("the agent was let go"))
            return True
        if run is not None and run.owns_messages:
            self._merge(turn, run)
            return True
        if run is not None and run.put_aside is not None:  # the agent goes on, and says no more of that one
            session.end_run(run.unanswered(run.put_aside))
        self._begin(turn, instead_of=session.run)
        return False

    def _merge(self, turn: Waiting, run: Run) -> None:
        uuid = turn.prompt.uuid or turn.turn_id
        run.folded = (*run.folded, uuid)
        self._recalled.pop(uuid, None)  # too late; and another prompt of this uuid is wanted
        self._session.settle_turn(turn.turn_id, Outcome(kind="merged", into=run.turn_id))

    def collect(self, run: Run) -> None:
        """It begins, and what waits right behind it goes into it. Not earlier, so that each could be cancelled by itself."""
        for turn in self._mailbox.take_collected() if run.collects else ():
            run.prompt = joined(run.prompt, turn.prompt)
            self._session.settle_turn(turn.turn_id, Outcome(kind="merged", into=run.turn_id))

    def begin_next(self) -> None:
        """The turn is over that they were meant for, so the first that is left becomes a turn of its own."""
        if not self._handed:
            return
        session = self._session
        # An interrupt that is under way may drop them yet; and one that leaves begins nothing.
        is_open = session.link.state is READY and not session.link.waits_for(Interrupting)
        if is_open and not session.is_leaving:
            self._begin(self._handed.pop(next(iter(self._handed))))

    def answered_with(self, run: Run, uuids: list[str]) -> None:
        """The result of the turn that runs answers these prompts too."""
        for uuid in uuids:
            if (turn := self._handed.pop(uuid, None)) is not None:
                self._merge(turn, run)

    def dropped(self, uuid: str) -> bool:
        """The agent will not do it: it waits again, unless that was wanted. False: it is none of these."""
        turn = self._handed.pop(uuid, None)
        if turn is not None:
            self._give_back([turn])
        return turn is not None

    def again(self, run: Run) -> None:
        """The turn that runs was stopped by mistake, and nothing of it was done: it waits again."""
        self._session.watch.end()
        self._session.run = None
        self._give_back([_as_waiting(run)])

    def lost(self) -> None:
        """The agent is gone: what it did not take up waits again."""
        turns, self._handed = list(self._handed.values()), {}
        self._give_back(turns)
        self._recalled.clear()

    def recall(self, turn_id: str) -> None:
        """Its caller does not want it any more: ask the agent to drop it. One that is folded stays where it is."""
        session = self._session
        for uuid, turn in self._handed.items():
            if turn.turn_id == turn_id and uuid not in self._recalled:
                self._recalled[uuid] = None
                # An agent that is gone, or told to go, gives it back with its end.
                if session.link.state is READY and CancelAsyncMessage in session.peer.requests:
                    session.send_request(CancelAsyncMessage(message_uuid=uuid), Recalling(uuid), timer=CONTROL)

    def recalled(self, uuid: str, *, is_dropped: bool) -> None:
        """The agent's answer to that."""
        if is_dropped and not self.dropped(uuid):
            self._session.prompt_dropped(uuid)

    def _begin(self, turn: Waiting, instead_of: Run | None = None) -> None:
        """It is a turn of its own, which runs in the place of another one that was to begin."""
        session = self._session
        uuid = turn.prompt.uuid or turn.turn_id
        run = session.run = Run(turn.turn_id, turn.prompt)
        run.is_begun = True
        run.is_exposed = session.link.waits_for(Interrupting)
        run.is_unwanted = uuid in self._recalled
        self._recalled.pop(uuid, None)
        run.move(SENT)
        if instead_of is not None:  # that one is in the agent's hands as this one was
            other = instead_of.prompt.uuid or instead_of.turn_id
            self._handed = {other: _as_waiting(instead_of), **self._handed}
            if instead_of.is_stopping:  # the interrupt on its way stops what it finds
                self._recalled[other] = None
                run.is_stopping, run.timeout, run.stopped_for = True, instead_of.timeout, instead_of.stopped_for
                run.is_unwanted |= instead_of.is_unwanted
                run.stop_tickets = instead_of.stop_tickets
                return
        session.begin_watch()

    def _give_back(self, turns: list[Waiting]) -> None:
        session = self._session
        kept = []
        for turn in turns:
            if turn.prompt.uuid in self._recalled:
                self._recalled.pop(turn.prompt.uuid or "", None)
                session.settle_turn(turn.turn_id, cancelled("withdrawn"))
            elif session.is_leaving or session.refuses is not None:
                error = session.leaves_for if session.is_leaving else session.refuses
                session.settle_turn(turn.turn_id, never_ran(error))
            else:
                kept.append(replace(turn, prompt=replace(renewed(turn.prompt), priority=None), overlap="queue"))
        self._mailbox.put_back(kept)


def renewed(prompt: UserMessage) -> UserMessage:
    """The same prompt under another uuid, for an agent that would not do the same one twice."""
    return replace(prompt, uuid=str(uuid5(NAMESPACE_OID, f"again {prompt.uuid}")))


def _as_waiting(run: Run) -> Waiting:
    return Waiting(run.turn_id, run.prompt, "steer", is_begun=True)
