"""What is known of a conversation, awake or asleep. A sleeping one is nothing but this."""

import hashlib
import time
from collections.abc import Callable, Sequence
from copy import copy
from functools import lru_cache, partial
from typing import Any, Literal, TypeAlias, final

import msgspec
import trio

from triologue.actors.inside import Home
from triologue.actors.journal import Journal
from triologue.actors.log import Log
from triologue.actors.replies import Reply
from triologue.actors.turn import Turn
from triologue.errors import InvalidOption, SessionFailed, TriologueError, brief
from triologue.messages import Message, Outcome, UserMessage
from triologue.messages.loose import as_text
from triologue.options import IDENTITY, Limits, Options, without_identity
from triologue.ports import Agent
from triologue.session import NO_SETTINGS, Setting, Settings, settings_changed
from triologue.session.run import failed_by

OnMissing: TypeAlias = Literal["raise", "fresh"]

ResumeOutcome: TypeAlias = Literal["resumed", "fresh", "forked", "missing", "refused", "transient"]
"""`resumed`, `forked`: the agent has the history. `fresh`: it began without one. `missing`: it does not know the
conversation. `refused`: it will not go on with it like this. `transient`: it did not start, and may the next time.

With `continue_conversation` an agent that cannot tell before its start what it will go on with (no `FindsLatest`: Cortex
Code) may begin anew and not say so: that is `resumed` too."""

MAX_KEY_LENGTH = 512

# One for all that have none.
_NONE: dict[str, Any] = {}
_NO_NAMES: frozenset[str] = frozenset()

# Turns that can be found again by their caller's id; a bot's retry comes soon, or never.
REMEMBERED_TURNS = 1_000

_Remembered: TypeAlias = dict[str, tuple[bytes, Turn, Reply]]
# One for all that are empty, which nearly all are; never changed.
_NOTHING: _Remembered = {}
_NO_TURNS: dict[str, Turn] = {}


@final
class Conversation:
    """One key's conversation.

    Args:
        key: the caller's name for it.
        agent: who holds it.
        options: how; its options of identity say how the conversation begins.
        limits: what of its log is kept in memory.
        group: which sessions it shares `Limits.max_live_per_group` with.
    """

    __slots__ = (
        "__weakref__",
        "_remembered",
        "agent",
        "begun",
        "commands",
        "crashes",
        "doubtful",
        "ended",
        "failure",
        "generation",
        "given",
        "group",
        "home",
        "is_confirmed",
        "journal",
        "key",
        "last_error",
        "log",
        "named",
        "on_missing",
        "options",
        "own",
        "resumed",
        "session_id",
        "settings",
        "spent_usd",
        "start_after",
        "total_cost_usd",
        "turns",
        "was_refused",
    )

    def __init__(self, key: str, agent: Agent, options: Options, *, limits: Limits, group: str = "") -> None:
        self.key = key
        self.group = group
        self.agent = agent
        self.options = options
        self._remembered = _NOTHING
        self.home = Home(key)
        self.crashes: tuple[float, ...] = ()
        """When its agents died, as far as that still counts, on trio's clock."""
        self.start_after = 0.0
        """When its next agent may be started, on trio's clock."""
        self.generation = 0
        """Of its newest connection; counted on while it sleeps, so that a late word about one never means another."""
        self.last_error: TriologueError | None = None
        """Why its agent went away by itself the last time; None since one works."""
        self.failure: SessionFailed | None = None
        """Its agents died too often; until `retry_at` it takes nothing in."""
        self.log = Log(limits.log, limits.log_bytes, limits.held_bytes)
        self.begun: float | None = None
        """When its log was, in seconds since the epoch, as far as anybody has asked: a later one is another log."""
        self.session_id: str | None = None
        """As the agent told it; None before."""
        self.is_confirmed = False
        self.settings: Settings = _settings(options.model, options.permission_mode)
        self.doubtful: Settings = NO_SETTINGS
        """Those of them that an agent died of, perhaps, with what they were before."""
        self.total_cost_usd = _cost_so_far(options)
        self.spent_usd = 0.0
        """US dollars that the key has cost: this conversation, and those before its resets."""
        self.turns = _NO_TURNS
        """Turns that have no outcome yet, by id."""
        self.ended = 0
        """Turns that have had their outcome."""
        self.given = _NO_NAMES
        """The names of the options that callers gave for this session, ever; the others are the manager's.

        A reset holds on to the folder, as if it had been given.
        """
        self.named: dict[str, Any] = _NONE
        """Options that callers gave for this session, and that the store was not told yet."""
        self.own: dict[str, Any] = _NONE
        """Those that it was told, as far as it can keep them."""
        self.on_missing: OnMissing = "raise"
        self.resumed: ResumeOutcome | None = None
        """What became of the newest start; None before the first."""
        self.journal: Journal | None = None
        """What writes it to the store, while this host holds its lease; None also where there is no store."""
        self.was_refused = False
        """The store has another one under the key, so this is none; who wanted it wants it still."""
        self.commands: tuple[str, ...] = ()  # nearly always empty, and an empty one weighs nothing
        """The turns whose prompts are slash commands, and so not verbatim."""

    def begin_as(self, agent: Agent, options: Options) -> None:
        """It is to begin so, and not as it was thought to; nothing of it is there yet."""
        self.agent, self.options, self.total_cost_usd = agent, options, _cost_so_far(options)

    def name(self, named: dict[str, Any]) -> None:
        """Callers want these options for this session, over the manager's."""
        if named:
            self.named = {**self.named, **named}
            self.given |= named.keys()
            if self.journal is not None:
                self.journal.touch()

    def launch_options(self, session_id: str | None, *, fresh: bool) -> Options:
        """The options of the next start: as the conversation began, or, once it has an id, to go on with it.

        Its containers are not to be changed, for there is one of each for many sessions.
        """
        options = copy(self.options) if session_id is None else without_identity(self.options)
        options.model, options.permission_mode = self.settings["model"], self.settings["permission_mode"]
        if session_id is None:
            return options
        if fresh:
            options.session_id = session_id
        else:
            options.resume = session_id
        return options

    @property
    def has_begun(self) -> bool:
        """Was anything said in it, or asked of it, or is it settled how it begins? Else another may take its place."""
        is_said = self.session_id is not None or self.log.last > 0 or self.journal is not None or bool(self.turns)
        # One that goes on with another, a fork for instance, cannot tell its cost.
        return is_said or self.total_cost_usd is None or not self.named.keys().isdisjoint(IDENTITY)

    @property
    def is_blank(self) -> bool:
        """Has it not begun, and does nobody want anything for it? Another one would be the same."""
        is_set = bool(self.named) or self.settings != _settings(self.options.model, self.options.permission_mode)
        return not self.has_begun and not is_set and self.on_missing == "raise" and not self.log.is_read

    @property
    def is_at_rest(self) -> bool:
        """Has it no turn without an outcome, nobody who reads it, and no lease?"""
        return not self.turns and not self.log.is_read and self.journal is None

    def log_begun(self) -> float:
        """When its log was begun, in seconds since the epoch; that stays as it is once it was told."""
        if self.begun is None:
            self.begun = time.time()
        return self.begun

    def failure_at(self, now: float) -> SessionFailed | None:
        """Why it takes nothing in at this time; None when it does."""
        if self.failure is not None and (self.failure.retry_at is None or self.failure.retry_at <= now):
            self.failure = None
        return self.failure

    def new_turn(
        self,
        turn_id: str,
        meta: dict[str, str],
        *,
        withdraw: Callable[[str], None],
        position: Callable[[str], int | None],
        begin: int | None = None,
    ) -> Turn:
        """A turn that is about to be submitted; or one whose records come after `begin`, in a store."""
        held = self.log.new_records()
        turn = Turn(turn_id, meta, self.log, held, home=self.home, withdraw=withdraw, position=position, begin=begin)
        if not self.turns:
            self.turns = {}
        self.turns[turn_id] = turn
        return turn

    def framed(self, prompt: UserMessage, turn_id: str) -> UserMessage:
        """The prompt of a turn in the form that the agent wants."""
        options = self.options
        if turn_id in self.commands:
            options = options.copy()
            options.verbatim_prompts = False
        return self.agent.user_frame(prompt, options)

    def publish(self, turn_id: str | None, messages: Sequence[Message]) -> None:
        """Enter it in the log, and with its turn, for as long as that has no outcome."""
        turn = self.turns.get(turn_id) if turn_id is not None else None
        self.log.publish(turn_id, messages, turn.held if turn is not None else None)

    def want(self, setting: Setting, value: str | None) -> None:
        """It is to have another setting at its next start; for one that sleeps."""
        before = self.settings
        self.settings = {**before, setting: value}
        if self.settings != before:
            self.tell(settings_changed(self.settings))

    def tell(self, message: Message) -> None:
        """Enter something in the log that belongs to no turn, when that is kept."""
        if self.journal is None:
            self.publish(None, [message])
        else:
            self.journal.add(None, [message])
            self.journal.then(partial(self.publish, None, [message]), otherwise=lambda _: None)

    def settle_turn(self, turn_id: str, outcome: Outcome) -> None:
        """It has its outcome, and is remembered by its id without its messages."""
        turn = self._take_out(turn_id)
        if turn is None:
            return
        self.ended += 1
        if outcome.into is not None and outcome.into in self.turns:
            turn.follow(self.turns[outcome.into])
        turn.settle(outcome)
        if turn_id in self._remembered or turn.is_followed:
            self._keep_without_messages(turn)

    def _keep_without_messages(self, turn: Turn) -> None:
        twin = turn.without_messages()
        if turn.id in self._remembered:
            digest, _, accepted = self._remembered[turn.id]
            self._remembered[turn.id] = (digest, twin, accepted)
        for _, known, _ in self._remembered.values() if turn.is_followed else ():
            known.let_go(turn, twin)

    def drop_turn(self, turn_id: str, error: TriologueError) -> None:
        """It was not accepted, and is no turn; who found it before that was known hears so."""
        turn = self._take_out(turn_id)
        self._remembered.pop(turn_id, None)
        if turn is not None:
            turn.settle(failed_by(error))
            self.log.wake_readers_of(turn_id)  # others never heard of it

    def _take_out(self, turn_id: str) -> Turn | None:
        turn = self.turns.pop(turn_id, None)
        if turn_id in self.commands:
            self.commands = tuple(command for command in self.commands if command != turn_id)
        if not self.turns:
            self.turns = _NO_TURNS  # one that had something keeps its room
        return turn

    def remember(self, turn: Turn, digest: bytes, accepted: Reply) -> None:
        """Its caller chose its id, and may send it again."""
        if not self._remembered:
            self._remembered = {}
        self._remembered[turn.id] = (digest, turn, accepted)
        if len(self._remembered) > REMEMBERED_TURNS:
            over = (id for id, (_, known, _) in self._remembered.items() if known.outcome is not None)
            self._remembered.pop(next(over, ""), None)

    def remembers(self, turn_id: str) -> bool:
        """Is this the id of a turn that is known here?"""
        return turn_id in self._remembered or turn_id in self.turns

    def turn(self, turn_id: str) -> Turn | None:
        """The turn of this id, if it is known here."""
        _, known, _ = self._remembered.get(turn_id, (b"", None, None))
        return self.turns.get(turn_id) or known

    def refused(self, admits: Callable[[str, dict[str, str]], bool]) -> tuple[str, ...]:
        """The turns that wait, and that nobody may have run any more."""
        waiting = (turn for turn in self.turns.values() if turn.state == "waiting")
        return tuple(turn.id for turn in waiting if not admits(self.key, turn.meta))

    def follow(self, turn_id: str, into: str) -> None:
        """A turn that is remembered was merged into this one."""
        remembered = [
            known for known, _ in (self._remembered[id][1:] for id in (turn_id, into) if id in self._remembered)
        ]
        if len(remembered) == 2:
            remembered[0].follow(remembered[1])

    def known_turn(self, turn_id: str, digest: bytes) -> tuple[Turn, Reply] | None:
        """The turn that was sent under this id, and the word on its acceptance; `digest` is that of the prompt now.

        Raises:
            InvalidOption: another prompt has the id.
        """
        known = self._remembered.get(turn_id) or self._unchosen(turn_id)
        if known is None:
            return None
        before, turn, accepted = known
        if before != digest:
            raise InvalidOption(
                f"the turn id {brief(turn_id)} of the session {self.key!r} belongs to another prompt; "
                "an id names one prompt, so that a retry is not answered twice"
            )
        return turn, accepted

    def _unchosen(self, turn_id: str) -> tuple[bytes, Turn, Reply] | None:
        """A turn whose id was made for it: not remembered, but for as long as it has no outcome nothing else has that id."""
        turn = self.turns.get(turn_id)
        if turn is None:
            return None
        if turn.sent is None:  # left by an earlier host, and nobody can read what it was
            return b"", turn, Reply()
        prompt, accepted = turn.sent
        return digest_of(prompt), turn, accepted

    def changed(self) -> None:
        """What is kept of it, but its log, is another from now on."""
        if self.journal is not None:
            self.journal.touch()

    async def kept(self) -> None:
        """Wait until what changed is in the store, where there is one.

        Raises:
            StoreError: it cannot be kept.
        """
        if self.journal is not None:
            await self.journal.kept()
        else:
            await trio.lowlevel.checkpoint()

    def forget(self) -> None:
        """Begin anew at the next start; the log stays."""
        self.session_id, self.is_confirmed, self.total_cost_usd = None, False, 0.0
        self.options = without_identity(self.options)


def _cost_so_far(options: Options) -> float | None:
    """US dollars that a conversation has cost that is to begin so; None: one that it goes on with may have cost some."""
    return None if options.resume or options.continue_conversation else 0.0


@lru_cache(maxsize=64)  # alike for nearly all, and never changed
def _settings(model: str | None, permission_mode: str | None) -> Settings:
    return {"model": model, "permission_mode": permission_mode}


def digest_of(prompt: UserMessage) -> bytes:
    """What tells one prompt from another, without keeping it."""
    return hashlib.sha256(msgspec.json.encode(prompt.message, enc_hook=as_text)).digest()
