"""What is asked of a session besides prompts: settings, control requests, and its agent's leave."""

from collections.abc import Callable
from typing import Any, final

import trio

from triologue.actors import Conversation
from triologue.manager.directory import Directory
from triologue.manager.intake import Intake
from triologue.messages import Request, SessionState
from triologue.options import check_kinds
from triologue.session import inputs as on

_HAS_AGENT: tuple[SessionState, ...] = ("idle", "running", "interrupting")


@final
class Asking:
    """Asks on behalf of one session's callers.

    Args:
        directory: where the session is.
        key: the session's.
        conversation: gives its conversation, and begins it where there is none.
        intake: knows who waits for it.
    """

    def __init__(
        self, directory: Directory, key: str, conversation: Callable[[], Conversation], intake: Intake
    ) -> None:
        self._directory = directory
        self._registry = directory.registry
        self._key = key
        self._conversation = conversation
        self._intake = intake

    async def change(self, setting: on.Setting, value: str | None) -> None:
        """Want another value of a setting, from now on; see `Session.set_model`."""
        self._directory.refuse_if_closed()
        conversation = self._conversation()
        try:
            await self._change(conversation, setting, value)
        finally:
            self._directory.leave(conversation)

    async def _change(self, conversation: Conversation, setting: on.Setting, value: str | None) -> None:
        options = conversation.options.copy()
        setattr(options, setting, value)
        check_kinds(options)  # the rest an agent that is there refuses itself
        if self._directory.statistics_of(conversation).state not in _HAS_AGENT:
            conversation.agent.check(options)
        async with self._directory.taken(conversation):
            conversation.given |= {setting}
            if self._registry.awake(self._key) is None:
                conversation.want(setting, value)
                conversation.changed()
            else:
                changed = self._registry.request(conversation, lambda ticket: on.Change(ticket, setting, value))
                with self._intake.waiting("agent"):
                    await changed.wait()
            await conversation.kept()

    async def request(self, request: Request) -> dict[str, Any]:
        """Send a control request, and wait for the answer; see `Controls.control`. An agent that sleeps is started."""
        self._directory.refuse_if_closed()
        conversation = self._conversation()
        asked: list[on.Ask] = []

        def make(ticket: int) -> on.Ask:
            asked.append(on.Ask(ticket, request))
            return asked[0]

        async with self._directory.taken(conversation):
            answer = self._registry.request(conversation, make)
        actor = self._registry.awake(self._key)
        with self._intake.waiting("agent"):
            try:
                response: dict[str, Any] = await answer.wait()
            except trio.Cancelled:
                if actor is not None and not actor.is_over:  # tickets are an actor's own
                    actor.post(on.Unask(asked[0].ticket))
                raise
        return response

    async def leave(self, make: Any) -> None:
        """Ask for the agent to be let go, and wait until it is."""
        self._directory.refuse_elsewhere()
        conversation = self._registry.get(self._key)
        # Where there is nothing to do nothing is asked, or those who forget one session at once would keep it awake.
        if conversation is not None and self._registry.has_work(self._key):
            await self._registry.request(conversation, make).wait()
        else:
            await trio.lowlevel.checkpoint()
