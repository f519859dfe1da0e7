"""What a scripted agent was told to do, what it heard, and what it keeps between its connections."""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from msgspec import Struct, field

from triologue.messages import Request
from triologue.options import Options
from triologue.testing import speech
from triologue.testing.script import Script, Step, check_steps


class HeardPrompt(Struct, frozen=True, kw_only=True):
    """A prompt, as it reached the agent."""

    text: str
    uuid: str
    session_id: str
    connection: int
    """The number of the connection, from 1."""
    priority: str | None
    model: str | None
    """What was set when it came."""
    permission_mode: str | None
    time: float
    """On trio's clock."""


class AgentStart(Struct, frozen=True, kw_only=True):
    """A start of the agent."""

    number: int
    """Its connection's, from 1."""
    options: Options
    session_id: str
    time: float
    """On trio's clock, when it was asked for."""
    is_refused: bool = False
    """There is no such conversation, or the id for a new one is taken."""


class AgentStop(Struct, frozen=True, kw_only=True):
    """The host lets a connection go."""

    connection: int
    """Its number, from 1."""
    session_id: str
    eof: bool
    """By the end of input; else at once."""
    was_running: bool
    """It worked on a prompt, or waited for an answer of the host."""
    background: int
    """So much ran on in its background."""
    time: float
    """On trio's clock."""


class KeptConversation(Struct):
    """What the agent keeps of a conversation between its connections."""

    prompts: list[str] = field(default_factory=list[str])
    cost_usd: float = 0.0


class AgentState:
    """The part of a scripted agent that its connections share; see `ScriptedAgent`."""

    def __init__(
        self,
        reply: Callable[[str], Script],
        *,
        name: str,
        start_seconds: float,
        leave_seconds: float,
        folds: bool,
        tells_lifecycle: bool,
        cost_usd: float,
        max_message_bytes: int,
    ) -> None:
        self.reply = reply
        self.start_seconds, self.leave_seconds = start_seconds, leave_seconds
        self.folds = folds
        self.tells_lifecycle = tells_lifecycle
        self.cost_usd = cost_usd
        self.max_message_bytes = max_message_bytes
        self.greeting: dict[str, Any] = {"capabilities": [speech.LIFECYCLE]} if tells_lifecycle else {}
        """What it answers to the handshake."""
        self.ignores: set[type[Request]] = set()
        """Requests that it never answers."""
        self.refuses: set[str | None] = set()
        """Models and permission modes that it refuses."""
        self.answers: dict[type[Request], dict[str, Any]] = {}
        """What it answers to other requests; nothing but that they are granted where there is nothing here."""
        self.prompts: list[HeardPrompt] = []
        """What it was told, in order."""
        self.starts: list[AgentStart] = []
        """Each time that it was started."""
        self.stops: list[AgentStop] = []
        """Each time that its host let one go that was there."""
        self.conversations: dict[str, KeptConversation] = {}
        """By session id."""
        self.causes: dict[str, tuple[str, ...]] = {}
        """For the uuid of each frame that it said: the uuids of the prompts that are the reason."""
        self.complaints: list[str] = []
        """What its host did that no host may do."""
        self.max_live = 0
        """So many of its connections were alive at once."""
        self._name = name
        self._scripts: list[tuple[str, Script, list[None] | None]] = []
        self._numbers = itertools.count(1)
        self._alive: dict[int, str | None] = {}
        """By the numbers of the connections: the conversations that they write to."""
        self._written: Counter[str | None] = Counter()

    @property
    def name(self) -> str:
        """As it was given."""
        return self._name

    @property
    def live(self) -> int:
        """How many of its connections are alive."""
        return len(self._alive)

    def on(self, words: str, *steps: Step, times: int | None = None) -> None:
        """Do this with a prompt that has these words in it. What was told last counts.

        Args:
            words: a part of the prompt.
            steps: what to do; without an end of their own they end in a result, whose text is what was said last.
            times: for so many prompts; None: for all.

        Raises:
            TypeError: something among the steps is none.
        """
        check_steps(steps)
        self._scripts.append((words, steps, None if times is None else [None] * times))

    # Its connections' side.

    def take_script(self, prompt: str) -> Script:
        """What to do with a prompt that has come."""
        for words, steps, left in reversed(self._scripts):
            if words in prompt and (left is None or left):
                if left is not None:
                    left.pop()
                return steps
        return self.reply(prompt)

    def conversation(self, session_id: str) -> KeptConversation:
        """What is kept of a conversation, which begins with this."""
        return self.conversations.setdefault(session_id, KeptConversation())

    def came_alive(self, start: AgentStart) -> None:
        """A connection is being opened."""
        self.starts.append(start)
        written = self._alive[start.number] = None if start.is_refused else start.session_id
        self._written[written] += 1
        if written is not None and self._written[written] > 1:
            self.complaints.append(f"the conversation {written} has more than one agent at once")
        self.max_live = max(self.max_live, self.live)

    def ended(self, number: int) -> None:
        """A connection is gone."""
        if number in self._alive:
            written = self._alive.pop(number)
            self._written[written] -= 1
            if not self._written[written]:
                del self._written[written]

    def next_number(self) -> int:
        """A number that was not used yet."""
        return next(self._numbers)

    def new_id(self) -> str:
        """A UUID that was not used yet; the same ones in each run."""
        return str(uuid5(NAMESPACE_URL, f"triologue:{self._name}:{self.next_number()}"))
