"""One session that a gateway tells of: how far, to which readers, and what became of the turns that are followed."""

from typing import final

import trio

from triologue.actors import Log
from triologue.errors import StoreError, TurnLost
from triologue.messages import Event, Gap, InitMessage, Outcome, SessionState, StateChanged, TurnEnded, TurnStarted
from triologue.protocol.told import Accepted, Attached, TurnTold
from triologue.remote.runs import runs
from triologue.remote.subscription import RemoteSubscription
from triologue.remote.turn import RemoteTurn

_WHY_ANOTHER = "the session was deleted, or the gateway was started again and had kept it nowhere; subscribe again"


@final
class Attachment:
    """What is known of one session. Pure, but for the readers that it wakes.

    Events come from `position` on, in order. Who asks for older ones moves it back, and readers that are ahead leave out
    what they have had.

    Args:
        key: of the session.
        held_bytes: what a reader that is behind, or a turn that is followed, may keep, in bytes of lines.
    """

    def __init__(self, key: str, held_bytes: int) -> None:
        self.key = key
        self._held_bytes = held_bytes
        self.position: int | None = None
        """Everything up to this `seq` was handed on, or is a `Gap`; None before the gateway has told where it stands."""
        self.last = 0
        """The `seq` of the newest record that was heard of: where begins who reads from now on."""
        self.failure: Exception | None = None
        """Why nothing more is told; None as long as it is."""
        self.log: str | None = None
        """Which log that is, in the gateway's words; None before it has told."""
        self.state: SessionState = "new"
        self.session_id: str | None = None
        self.users = 0
        """Who needs it, beside the turns."""
        self.in_order = trio.Lock()
        """Held by who is to send a prompt, until this is attached: so those that wait together go out as they came."""
        self._readers: dict[RemoteSubscription, None] = {}
        self._turns: dict[str, RemoteTurn] = {}
        self._ends: dict[str, int] = {}
        """Turns that have ended, as was told beside the log, and the `seq` up to which their messages come."""

    def __repr__(self) -> str:
        return f"<Attachment {self.key!r} at {self.position}: {len(self._readers)} readers, {len(self._turns)} turns>"

    @property
    def is_used(self) -> bool:
        """Does anybody need it?"""
        return bool(self.users or self._turns)

    @property
    def accepted_turns(self) -> list[str]:
        """The ids of the turns that are followed, are accepted, and have no outcome yet."""
        return [turn.id for turn in self._turns.values() if turn.is_accepted]

    # Readers and turns.

    def new_log(self, after: int) -> Log:
        """An empty log that goes on after this `seq`, for one reader, who keeps what it needs."""
        log = Log(1, 0, self._held_bytes)
        log.skip_to(after)
        return log

    def open(self, after: int) -> RemoteSubscription:
        """A new reader of everything after `after`, from where on the gateway must tell. `close` it."""
        reader = RemoteSubscription(self.new_log(after))
        self._readers[reader] = None
        return reader

    def close(self, reader: RemoteSubscription) -> None:
        """Forget a reader; nothing follows for it."""
        if reader in self._readers:  # one that has failed has been told so
            del self._readers[reader]
            reader.finish()

    def follow(self, turn: RemoteTurn) -> RemoteTurn:
        """Tell of this turn, from now on to its end; where one with its id is followed already, that is given."""
        turn = self._turns.setdefault(turn.id, turn)
        turn.holders += 1
        return turn

    def is_shared(self, turn_id: str) -> bool:
        """Is it followed for more than one call?"""
        turn = self._turns.get(turn_id)
        return turn is not None and turn.holders > 1

    def tell_again(self, turn: RemoteTurn, after: int) -> None:
        """It is told from its beginning on, though it may have ended."""
        turn.begin_at(self.new_log(after))
        self._turns[turn.id] = turn

    def unfollow(self, turn: RemoteTurn) -> None:
        """For one call it is no turn, or not wanted."""
        turn.holders -= 1
        if not turn.holders and self._turns.get(turn.id) is turn:
            self._forget(turn.id)

    # What the gateway says.

    def attached(self, said: Attached, after: int | None) -> bool:
        """Events follow from `after` on. False: the log that was read is gone, and all of another one follows."""
        self.state, self.session_id, self.last = said.state, said.session_id, said.last
        known, self.log = self.log, said.log
        is_same = known in (None, said.log)
        if is_same and (after is None or after <= said.last):
            self.position = said.last if after is None else after
            return True
        if self.position:  # else nobody has read anything of it
            self._finish_readers(self._gone())
        self.position = 0 if after is not None else said.last
        return False

    def beyond(self, seq: int) -> StoreError:
        """The error for who has, or asks for, more than there is."""
        return StoreError(f"the log of {self.key!r} ends at {self.last}, and not at or after {seq}: {_WHY_ANOTHER}")

    def _gone(self) -> StoreError:
        return StoreError(f"the log of {self.key!r} that was read is gone: {_WHY_ANOTHER}")

    def accepted(self, said: Accepted) -> bool:
        """A prompt is a turn. True: it is over, and its end will not be among the events that come."""
        turn = self._turns.get(said.turn)
        if turn is None:
            return False
        turn.accept(said)
        return said.state == "ended" and said.seq >= turn.begin

    def take(self, events: list[Event]) -> bool:
        """Events of it, in order. True: some are missing, and the ends of turns may have been among them."""
        is_missing = False
        for run in runs(events):
            if isinstance(gap := run[0].message, Gap):
                is_missing = True
                self._miss(gap)
            else:
                self._pass_on(run)
            self._complete_turns()
        return is_missing

    def told(self, said: TurnTold, outcome: Outcome | None) -> None:
        """A turn as it stands. If it has ended, the log says so too, unless there is a `Gap` in that place."""
        turn = self._turns.get(said.turn)
        if turn is None:
            return
        turn.accept(said)
        if outcome is not None:
            turn.end(outcome)
            if said.seq >= turn.begin:  # else it is about to be told from its beginning on
                self._ends[turn.id] = said.last
                self._complete_turns()

    def lose(self, turn_id: str, why: str) -> None:
        """The gateway does not know this turn any more."""
        turn = self._forget(turn_id)
        if turn is not None:
            error = TurnLost(f"the gateway does not know the turn {turn_id!r} any more: {why}")
            turn.end(Outcome(kind="lost", error=error, reason=why))
            turn.complete()

    def fail(self, error: Exception) -> None:
        """Nothing more will be told."""
        self._finish_readers(error)
        self.failure = error
        for turn_id in list(self._turns):
            turn = self._forget(turn_id)
            if turn is not None:
                turn.fail(error)

    def _pass_on(self, run: list[Event]) -> None:
        turn_id, position = run[0].turn_id, self.position or 0
        for reader in self._readers:
            reader.take(run, position)
        turn = self._turns.get(turn_id) if turn_id is not None else None
        if turn is not None:
            turn.take(run, position)
        self.position = next((event.seq for event in reversed(run) if event.seq is not None), position)
        self.last = max(self.last, self.position)
        for event in run:
            self._note(event)

    def _note(self, event: Event) -> None:
        match event.message:
            case StateChanged(state=state):
                self.state = state
            case InitMessage(session_id=session_id):
                self.session_id = session_id or self.session_id
            case TurnStarted():
                for turn in self._turns.values():
                    turn.move_up()
            case TurnEnded():
                self._forget(event.turn_id)
            case _:
                pass

    def _miss(self, gap: Gap) -> None:
        for reader in self._readers:
            reader.miss(gap)
        for turn in self._turns.values():
            turn.miss(gap)
        self.position = max(self.position or 0, gap.last)
        self.last = max(self.last, self.position)

    def _complete_turns(self) -> None:
        for turn_id, last in list(self._ends.items()):
            if self.position is not None and self.position >= last:
                turn = self._forget(turn_id)
                if turn is not None:
                    turn.complete()

    def _forget(self, turn_id: str | None) -> RemoteTurn | None:
        if turn_id is None:
            return None
        self._ends.pop(turn_id, None)
        return self._turns.pop(turn_id, None)

    def _finish_readers(self, error: Exception) -> None:
        readers, self._readers = self._readers, {}
        for reader in readers:
            reader.finish(error)
