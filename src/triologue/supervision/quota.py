"""When an account's allowance is used up: its turns wait for the reset, and come back one by one, not as a storm."""

from collections.abc import Hashable
from datetime import datetime
from typing import TypeAlias, final

from msgspec import Struct

from triologue.session.usage_limits import LimitReached
from triologue.supervision.gate import Gate

FORGOTTEN_AFTER = 86_400.0
"""Seconds after which a gate that could be tried again is forgotten, if nobody wanted to: an account whose token is renewed
is another one each time."""


class Admit(Struct, frozen=True):
    """This key's turn may begin."""

    credential: Hashable
    key: str


Effect: TypeAlias = Admit


class Held(Struct, frozen=True):
    """Why a key's turn does not begin."""

    reason: str
    """The limit, as the agent told of it."""
    opens_at: float | None
    """When the gate is tried again; None when it is being tried, or opens by and by."""
    before: int
    """How many wait before it."""

    def __str__(self) -> str:
        """As a person is told, with the time in their own zone."""
        if self.opens_at is not None:
            until = datetime.fromtimestamp(self.opens_at).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
            state = f"waits until {until}"
        else:
            state = "it is being tried again, a few turns at a time"
        others = f"; {self.before} {'waits' if self.before == 1 else 'wait'} before it" if self.before else ""
        return f"{self.reason}; {state}{others}"


@final
class QuotaGate:
    """One gate for each credential; open unless a limit closed it, and then forgotten again.

    All times are seconds since 1970, for that is how agents name them. They must come from one clock that does not
    jump: the time of day when the program began, and what has passed since.

    The rule: a gate is closed until the time that was named, without one for 60 s, and twice as long after each further
    limit without a good turn in between, up to 15 min. Then one turn is let through as a probe, and another one
    whenever a minute has brought no answer. Once one of them goes well 4 more are let through, 5 s later 8, then 16,
    and 32 every 5 s from then on, until nobody waits any more. A limit at any time closes the gate again.
    """

    def __init__(self) -> None:
        self._gates: dict[Hashable, Gate] = {}

    def ask(self, credential: Hashable, key: str, *, now: float) -> list[Effect]:
        """A turn of this key wants to begin: it is admitted now or later, after those who asked before it."""
        gate = self._gates.get(credential)
        if gate is None:
            return [Admit(credential, key)]
        gate.ask(key)
        return self._advance(credential, gate, now)

    def withdraw(self, credential: Hashable, key: str, *, now: float) -> list[Effect]:
        """This key's turn waits no more, or has ended without telling anything of the limit: interrupted, crashed."""
        gate = self._gates.get(credential)
        if gate is None:
            return []
        gate.withdraw(key)
        return self._advance(credential, gate, now)

    def limited(self, credential: Hashable, key: str, limit: LimitReached, *, now: float) -> list[Effect]:
        """This key's turn hit the limit."""
        gate = self._gates.get(credential)
        if gate is None:
            self._gates = {each: gate for each, gate in self._gates.items() if not _is_forgotten(gate, now)}
            gate = self._gates[credential] = Gate()
        gate.close(limit, now)
        return []

    def passed(self, credential: Hashable, key: str, *, now: float) -> list[Effect]:
        """This key's turn went well, or the model has begun to answer it.

        Only that of a probe opens a gate: another turn may have begun before the limit was reached.
        """
        gate = self._gates.get(credential)
        if gate is None or key not in gate.probes:
            return []
        gate.open(now)
        return self._advance(credential, gate, now)

    def tick(self, *, now: float) -> list[Effect]:
        """The time has come that `next_time` named."""
        # Only where somebody waits: to try one that nobody wants would put off that it is forgotten, for ever.
        wanted = [each for each in self._gates.items() if each[1].waiting]
        return [effect for credential, gate in wanted for effect in self._advance(credential, gate, now)]

    def is_closed(self, credential: Hashable) -> bool:
        """Is there a gate, so that a turn has to ask?"""
        return credential in self._gates

    def next_time(self) -> float | None:
        """When `tick` has something to do; None: not before something else happens."""
        return min((gate.due for gate in self._gates.values() if gate.waiting), default=None)

    def why(self, credential: Hashable, key: str) -> Held | None:
        """Why this key's turn does not begin; None where it is not the gate that holds it."""
        gate = self._gates.get(credential)
        if gate is None or key not in gate.waiting:
            return None
        return Held(gate.reason, gate.closed_until, gate.standings.before(key))

    def _advance(self, credential: Hashable, gate: Gate, now: float) -> list[Effect]:
        admitted = gate.advance(now)
        if gate.is_open:
            del self._gates[credential]
        return [Admit(credential, key) for key in admitted]


def _is_forgotten(gate: Gate, now: float) -> bool:
    return not gate.waiting and now > gate.due + FORGOTTEN_AFTER
