"""Where the permission requests of one session are handled: who is asked, who may answer, who is told."""

import math
from typing import final

import trio

from triologue.actors.callbacks import Callbacks
from triologue.actors.conversation import Conversation
from triologue.actors.owner import Owner
from triologue.actors.permissions import Permission
from triologue.actors.replies import Reply
from triologue.actors.world import World
from triologue.messages import PermissionAnswered, PermissionResult
from triologue.options import CanUseToolCallback, Options
from triologue.session import UNSUPPORTED, effects as do, inputs as on


@final
class Desk:
    """Knows the open requests of its session, and enters each in the list of the manager.

    Args:
        conversation: whose.
        world: has the manager's list, its callback, and how long a request may wait.
        owner: whom the answers go to.
    """

    __slots__ = ("_can_use_tool", "_conversation", "_is_asked", "_open", "_owner", "_world")

    def __init__(self, conversation: Conversation, world: World, owner: Owner) -> None:
        self._conversation = conversation
        self._world = world
        self._owner = owner
        self._open: dict[str, Permission] = {}
        self._can_use_tool: CanUseToolCallback | None = None
        self._is_asked = False

    def prepare(self, options: Options) -> None:
        """An agent is about to be started with these options: let it ask, if somebody is there to answer."""
        self._can_use_tool = options.can_use_tool
        let_ask(options, asks_people=self._world.on_permission is not None)
        self._is_asked = options.permission_prompt_tool_name == "stdio"

    def ask(self, effect: do.AskPermission, callbacks: Callbacks) -> None:
        """The agent asks: a callback answers, or whoever finds the request in the manager's list."""
        permission = self._enter(effect)
        if self._can_use_tool is not None:
            callbacks.can_use_tool(effect, self._can_use_tool)
        elif self._world.on_permission is not None:
            callbacks.on_permission(effect, permission, self._world.on_permission)
        elif not self._is_asked:
            nobody = "nobody here answers permission requests"
            self._owner.post(on.Failed(effect.generation, effect.request_id, nobody, UNSUPPORTED))

    def settle(self, answered: PermissionAnswered, callbacks: Callbacks | None) -> None:
        """One is settled."""
        permission = self._open.pop(answered.id, None)
        self._world.permissions.settle(answered)
        if permission is not None and callbacks is not None and self._can_use_tool is not None:
            callbacks.drop(permission.request_id)  # another was quicker than this callback

    def close(self, reason: str) -> list[PermissionAnswered]:
        """The session broke: all that are open are cancelled."""
        cancelled = [PermissionAnswered(id=id, answer="cancelled", reason=reason) for id in self._open]
        for answered in cancelled:
            self.settle(answered, None)
        return cancelled

    def _enter(self, effect: do.AskPermission) -> Permission:
        permission_id = effect.permission_id

        def decide(result: PermissionResult, by: str | None) -> Reply:
            return self._owner.request(lambda ticket: on.Decide(ticket, permission_id, result, by))

        seconds = self._world.deadlines.permission
        permission = self._open[permission_id] = Permission(
            permission_id,
            effect.request_id,
            effect.request,
            key=self._conversation.key,
            turn=self._conversation.turns.get(effect.turn_id) if effect.turn_id is not None else None,
            deadline=math.inf if seconds is None else trio.current_time() + seconds,
            decide=decide,
        )
        self._world.permissions.open(permission)
        return permission


def let_ask(options: Options, *, asks_people: bool) -> None:
    """Let an agent ask for permissions by these options, if somebody is there to answer."""
    if (options.can_use_tool is not None or asks_people) and options.permission_prompt_tool_name is None:
        options.permission_prompt_tool_name = "stdio"


def first_options(options: Options, *, asks_people: bool) -> Options:
    """What a new conversation with these options starts its agent with."""
    launched = options.copy()
    let_ask(launched, asks_people=asks_people)
    return launched
