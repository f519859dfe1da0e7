"""Hooks: callbacks of the host that are asked on the way, and what their answers come to."""

import re
from typing import Any, Protocol, final

import msgspec
import trio
from msgspec import UNSET, Struct, field

from triologue.engine.host import Host, HostRefused
from triologue.messages import HookCallback

DEFAULT_TIMEOUT = 600.0
"""Seconds that a callback may take when its registration says nothing."""

_PLAIN = re.compile(r"[\w|, -]+")
# The strictest decision wins.
_ORDER = {"deny": 0, "defer": 1, "ask": 1, "allow": 2}


class _Matcher(Struct):
    """What `initialize` registers under an event."""

    matcher: str | None = None
    callbacks: list[str] = field(name="hookCallbackIds", default_factory=list)
    timeout: float | None = None
    on_failure: str | None = field(name="onFailure", default=None)

    @property
    def seconds(self) -> float:
        """How long a callback may take; what is no time counts as none said."""
        return self.timeout if self.timeout is not None and self.timeout > 0 else DEFAULT_TIMEOUT

    def fits(self, subject: str) -> bool:
        """Whether it is about this tool (or whatever the event is about)."""
        wanted = self.matcher
        if wanted in (None, "", "*"):
            return True
        assert wanted is not None
        if _PLAIN.fullmatch(wanted):
            return subject in [each.strip() for each in re.split(r"[|,]", wanted)]
        try:
            return re.search(wanted, subject) is not None
        except re.error:
            return False


class HookOutcome(Struct):
    """What all callbacks of one event came to."""

    permission: str | None = None
    """`allow`, `deny` or `ask`."""
    reason: str = ""
    updated_input: dict[str, Any] | None = None
    updated_output: Any = UNSET
    contexts: list[str] = field(default_factory=list)
    """What the model is to know."""
    blocked: str | None = None
    """Why a callback objects."""
    stopped: str | None = None
    """Why a callback wants the turn to end here."""
    decision: dict[str, Any] | None = None
    """What a `PermissionRequest` callback answers in the host's place."""
    missed: bool = False
    """A callback did not answer in time, or the host is gone."""


NOTHING = HookOutcome()
"""Nobody was asked."""


class Asker(Protocol):
    """The conversation on whose way hooks are asked."""

    @property
    def host(self) -> Host:
        """Who has them."""
        ...

    def hook_base(self) -> dict[str, Any]:
        """The fields that every input has."""
        ...

    def notice(self, text: str) -> None:
        """Take what a callback wants the user to read."""
        ...


# One for all conversations without hooks; never changed.
_NONE: dict[str, list[_Matcher]] = {}


@final
class Hooks:
    """The callbacks that a host registered.

    Args:
        conversation: who asks them.
    """

    __slots__ = ("_conversation", "_matchers")

    def __init__(self, conversation: Asker) -> None:
        self._conversation = conversation
        self._matchers: dict[str, list[_Matcher]] = _NONE

    def register(self, hooks: dict[str, Any] | None) -> None:
        """Take the registrations of an `initialize`, in the place of those before.

        Raises:
            ValueError: they are malformed; nothing changes.
        """
        try:
            read = msgspec.convert(hooks or {}, dict[str, list[_Matcher] | None], strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(f"Invalid hooks: {error}") from error
        self._matchers = {event: matchers for event, matchers in read.items() if matchers} or _NONE

    def __contains__(self, event: str) -> bool:
        return event in self._matchers

    async def fire(
        self, event: str, fields: dict[str, Any], *, subject: str = "", tool_use_id: str | None = None
    ) -> HookOutcome:
        """Ask every callback of an event whose matcher fits, all at once.

        Args:
            event: the event's name.
            fields: what its input has beside the base.
            subject: what matchers are held against.
            tool_use_id: the call that it is about.
        """
        matchers = [each for each in self._matchers.get(event, ()) if each.fits(subject)]
        if not matchers:
            return NOTHING
        given = {**self._conversation.hook_base(), "hook_event_name": event, **fields}
        outcome = HookOutcome()
        answers: dict[tuple[int, int], dict[str, Any]] = {}

        async def ask(place: tuple[int, int], matcher: _Matcher, callback_id: str) -> None:
            try:
                with trio.fail_after(matcher.seconds):
                    request = HookCallback(callback_id=callback_id, input=given, tool_use_id=tool_use_id)
                    answers[place] = await self._conversation.host.ask(request)
            except trio.TooSlowError:
                outcome.missed = True
                answers[place] = _failure(event, matcher, f"{event} hook did not answer in time")
            except HostRefused as error:
                outcome.missed |= error.is_gone
                answers[place] = _failure(event, matcher, f"{event} hook failed: {error.error}")

        async with trio.open_nursery() as nursery:
            for row, matcher in enumerate(matchers):
                for column, callback_id in enumerate(matcher.callbacks):
                    nursery.start_soon(ask, (row, column), matcher, callback_id)
        for place in sorted(answers):  # as registered, whichever came first
            self._add(outcome, answers[place])
        return outcome

    def _add(self, outcome: HookOutcome, answer: dict[str, Any]) -> None:
        """Take one callback's answer in."""
        if answer.get("async"):
            return  # it goes on by itself and decides nothing
        if answer.get("continue") is False and outcome.stopped is None:
            outcome.stopped = str(answer.get("stopReason") or "")
        if note := answer.get("systemMessage"):
            self._conversation.notice(str(note))
        reason = str(answer.get("reason") or "")
        if answer.get("decision") == "block" and outcome.blocked is None:
            outcome.blocked = reason or "a hook objects"
        elif answer.get("decision") == "approve":
            _decide(outcome, "allow", reason)
        specific = answer.get("hookSpecificOutput")
        if isinstance(specific, dict):
            _add_specific(outcome, specific)


def _add_specific(outcome: HookOutcome, specific: dict[str, Any]) -> None:
    if decision := specific.get("permissionDecision"):
        _decide(outcome, str(decision), str(specific.get("permissionDecisionReason") or ""))
    if isinstance(given := specific.get("updatedInput"), dict):
        outcome.updated_input = given
    if context := specific.get("additionalContext"):
        outcome.contexts.append(str(context))
    for name in ("updatedToolOutput", "updatedMCPToolOutput"):
        if specific.get(name) is not None:
            outcome.updated_output = specific[name]
    if isinstance(decision := specific.get("decision"), dict) and outcome.decision is None:
        outcome.decision = decision


def _decide(outcome: HookOutcome, permission: str, reason: str) -> None:
    rank = _ORDER.get(permission)
    if rank is not None and (outcome.permission is None or rank < _ORDER[outcome.permission]):
        outcome.permission, outcome.reason = permission, reason


def _failure(event: str, matcher: _Matcher, text: str) -> dict[str, Any]:
    """What a callback that failed comes to: nothing, unless it was registered to block then."""
    if matcher.on_failure != "block":
        return {}
    if event == "PreToolUse":
        return {"hookSpecificOutput": {"permissionDecision": "deny", "permissionDecisionReason": text}}
    return {"decision": "block", "reason": text}
