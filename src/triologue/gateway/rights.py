"""Who may do what, when it is asked for and when it is done."""

import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, final

import trio

from triologue.gateway.pace import Pace
from triologue.gateway.refusing import Refusal
from triologue.gateway.tokens import LOCAL, Grant, Tokens
from triologue.manager import SessionManager
from triologue.protocol.asked import (
    Answer,
    Attach,
    Cancel,
    Change,
    Close,
    Command,
    Delete,
    Detach,
    Explain,
    Fork,
    Hibernate,
    Interrupt,
    ListSessions,
    Permissions,
    Ping,
    Prompt,
    Request,
    Reset,
    TurnOf,
)
from triologue.protocol.codes import FORBIDDEN, TOO_MANY
from triologue.protocol.told import Right

logger = logging.getLogger("triologue.gateway")

TOKEN_META: Final = "triologue.token"
"""In a turn's `meta`: the id of the token that it was sent with."""

LOOK_SECONDS: Final = 1.0
"""Between two looks at the time, while tokens are known that expire: it may be set, and a machine may sleep."""

GONE: Final = "the token was revoked, was changed or has expired"

_NEEDS: Final[dict[type[Request], tuple[Right, ...]]] = {
    Attach: ("watch",),
    Detach: ("watch",),
    ListSessions: ("watch",),
    Explain: ("watch",),
    TurnOf: ("watch", "prompt"),
    Prompt: ("prompt",),
    Command: ("prompt",),
    Interrupt: ("prompt",),
    Cancel: ("prompt",),
    Fork: ("prompt",),
    Answer: ("approve",),
    Permissions: ("watch", "approve"),
    Change: ("admin",),
    Reset: ("admin",),
    Hibernate: ("admin",),
    Close: ("admin",),
    Delete: ("admin",),
    Ping: (),
}
"""Any one of these is enough."""


def check_right(grant: Grant, request: Request) -> None:
    """Refuse what the grant does not allow.

    Raises:
        Refusal: that is so.
    """
    needed = _NEEDS[type(request)]
    if needed and grant.rights.isdisjoint(needed):
        raise Refusal(FORBIDDEN, f"this token may not do that: it lacks the right {needed[-1]!r}", right=needed[-1])


@final
class Rights:
    """Knows tokens, and sees to it that nothing runs for one that is gone.

    Args:
        tokens: None: whoever connects may do everything.
        manager: whose turns are withdrawn.
        prompts_per_second: of one token.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        tokens: Tokens | None,
        manager: SessionManager,
        *,
        prompts_per_second: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tokens
        self._manager = manager
        self._pace = Pace(prompts_per_second)
        self._now = now
        self._expiring: dict[str, Grant] = {}
        self._news = trio.Event()
        self._work: dict[trio.CancelScope, Grant] = {}
        self.changed: list[Callable[[], None]] = []
        """Called when a token may be gone."""

    def check(self, token: str | None) -> Grant | None:
        """What who connects with this may do; None: nothing."""
        if self._tokens is None:
            return LOCAL
        grant = self._tokens.check(token, self._now()) if token is not None else None
        if grant is not None:
            self._expect(grant)
        return grant

    def is_valid(self, grant: Grant) -> bool:
        """Is it still what its token allows?"""
        return self._tokens is None or self._tokens.get(grant.id, self._now()) == grant

    @contextmanager
    def working(self, grant: Grant) -> Generator[None]:
        """What is done for a client in this block ends with its token, whether the client is still there or not.

        Raises:
            Refusal: the token is not what it was, now or on leaving.
        """
        with trio.CancelScope() as scope:
            if not self.is_valid(grant):
                raise Refusal(FORBIDDEN, GONE)
            self._work[scope] = grant
            try:
                yield
            finally:
                del self._work[scope]
        if scope.cancelled_caught:
            raise Refusal(FORBIDDEN, GONE)

    def meta(self, grant: Grant) -> dict[str, str]:
        """What a turn remembers of who sent it."""
        return {TOKEN_META: grant.id} if self._tokens is not None else {}

    def may_see(self, grant: Grant, meta: dict[str, str]) -> bool:
        """May it know of the turn that has this meta? Without `watch`, of its own only."""
        return "watch" in grant.rights or meta.get(TOKEN_META) == grant.id

    def may_run(self, key: str, meta: dict[str, str]) -> bool:
        """May the turn of this session that has this meta begin?"""
        id = meta.get(TOKEN_META)
        if id is None or self._tokens is None:
            return True
        try:
            grant = self._tokens.get(id, self._now())
        except Exception:  # a program's own, which harms no session by this
            logger.exception("whether the token %r is still valid could not be found out; its turn does not begin", id)
            return False
        if grant is None or "prompt" not in grant.rights or not key.startswith(grant.prefix):
            return False
        self._expect(grant)
        return True

    def spend_prompt(self, grant: Grant) -> None:
        """Count a prompt.

        Raises:
            Refusal: there were too many in the last second.
        """
        if not self._pace.spend(grant.id, trio.current_time()):
            rate = self._pace.rate
            text = f"this token sends more than {rate:g} prompts a second"
            raise Refusal(TOO_MANY, text, limit="prompts_per_second", retry_in=1 / rate)

    async def watch(self) -> None:
        """Withdraw what may not run any more, as soon as a token is revoked or expires; until cancelled."""
        if self._tokens is None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tokens.watch, self.enforce)
            nursery.start_soon(self._watch_expiry)

    def enforce(self) -> None:
        """A token may be gone: see to it that nothing runs for it."""
        self._expiring = {id: grant for id, grant in self._expiring.items() if self.is_valid(grant)}
        for turn in self._manager.turns():
            if turn.state == "waiting" and not self.may_run(turn.home.key, turn.meta):
                turn.withdraw()
        for scope, grant in self._work.items():
            if not self.is_valid(grant):
                scope.cancel()
        for tell in list(self.changed):
            tell()

    def _expect(self, grant: Grant) -> None:
        if grant.expires is not None and self._expiring.get(grant.id) != grant:
            self._expiring[grant.id] = grant
            self._news.set()

    async def _watch_expiry(self) -> None:
        while True:
            self._news = trio.Event()
            left = [grant.expires - self._now() for grant in self._expiring.values() if grant.expires is not None]
            wait = min(*left, LOOK_SECONDS) if left else float("inf")
            with trio.move_on_after(max(0.0, wait)):
                await self._news.wait()
                continue
            now = self._now()
            gone = [id for id, grant in self._expiring.items() if not grant.is_valid(now)]
            for id in gone:
                del self._expiring[id]
            if gone:
                self.enforce()
