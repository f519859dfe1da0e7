"""What is done for a client that asks for it."""

import math
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, final

import msgspec
import trio
from msgspec import UNSET, Raw, UnsetType

from triologue.actors import Turn
from triologue.errors import InvalidOption, ManagerClosed
from triologue.gateway.attachments import Attachments
from triologue.gateway.refusing import Refusal, no_permission, no_session, no_turn
from triologue.gateway.rights import Rights, check_right
from triologue.gateway.tokens import Grant
from triologue.manager import PermissionRequest, Session, SessionManager
from triologue.messages import PermissionUpdate, TurnEnded
from triologue.protocol import asked, told
from triologue.protocol.events import as_json
from triologue.protocol.told import Reply
from triologue.wire import encode_record


@final
class Requests:
    """Does what one connection asks for, as far as it may.

    Args:
        manager: with whose sessions.
        grant: what the connection may do.
        rights: of the gateway.
        attachments: of the connection.
    """

    def __init__(self, manager: SessionManager, grant: Grant, rights: Rights, attachments: Attachments) -> None:
        self._manager = manager
        self._grant = grant
        self._rights = rights
        self._attachments = attachments

    async def perform(self, request: asked.Request) -> Reply:
        """Do it; gives the reply.

        Raises:
            Refusal: it may not be done, or what it is about does not exist for this client.
            TriologueError: it could not be done.
        """
        check_right(self._grant, request)
        key = getattr(request, "key", None)
        if key is not None:
            self._check_key(key)
        with self._rights.working(self._grant):
            return await self._WAYS[type(request)](self, request)

    def _check_key(self, key: str) -> None:
        if not key.startswith(self._grant.prefix):
            raise no_session(key)

    def _session(self, request: Any) -> Session:
        return self._manager.session(request.key)

    async def _find(self, request: asked.TurnOf | asked.Cancel) -> Turn:
        turn = await self._session(request).find(request.turn)
        if turn is None or not self._rights.may_see(self._grant, turn.meta):
            raise no_turn()
        return turn

    async def _attach(self, request: asked.Attach) -> Reply:
        return await self._attachments.attach(request)

    async def _detach(self, request: asked.Detach) -> Reply:
        await trio.lowlevel.checkpoint()
        self._attachments.detach(request.key)
        return told.Done(re=request.id)

    async def _prompt(self, request: asked.Prompt) -> Reply:
        await self._spend(request)
        turn = await self._session(request).send(
            _prompt_of(request),
            overlap=request.overlap,
            id=request.turn,
            meta={**request.meta, **self._rights.meta(self._grant)},
        )
        self._refuse_left(turn)
        return told.Accepted(
            re=request.id,
            key=request.key,
            turn=turn.id,
            state=turn.state,
            position=turn.position,
            seq=turn.begin,
        )

    def _refuse_left(self, turn: Turn) -> None:
        """A turn that a drain has left in the store goes on at the next start: it is cancelled for this process alone.

        Raises:
            ManagerClosed: this is such a turn.
        """
        error = turn.outcome.error if turn.outcome is not None and turn.outcome.kind == "cancelled" else None
        if isinstance(error, ManagerClosed) and self._manager.store is not None:
            raise ManagerClosed("the manager was drained before this turn began; it goes on at the next start")

    async def _spend(self, request: asked.Prompt) -> None:
        """Count a prompt. Who comes back may say many again at once, and is to hear what became of each."""
        try:
            self._rights.spend_prompt(self._grant)
        except Refusal:
            if request.turn is None or await self._session(request).find(request.turn) is None:
                raise

    async def _command(self, request: asked.Command) -> Reply:
        self._rights.spend_prompt(self._grant)
        result = await self._session(request).command(request.command, meta=self._rights.meta(self._grant))
        line = Raw(as_json(encode_record(result)))
        return told.CommandEnded(re=request.id, result=line, cost_usd=result.cost_usd)

    async def _turn(self, request: asked.TurnOf) -> Reply:
        return self._told_turn(request, await self._find(request))

    async def _interrupt(self, request: asked.Interrupt) -> Reply:
        return told.Interrupted(re=request.id, result=await self._session(request).interrupt())

    async def _cancel(self, request: asked.Cancel) -> Reply:
        turn = await self._find(request)
        await turn.cancel()
        return self._told_turn(request, turn)

    async def _answer(self, request: asked.Answer) -> Reply:
        permission = self._manager.permission(request.permission)
        if permission is None or not permission.session.key.startswith(self._grant.prefix):
            raise no_permission()
        if request.allow:
            updates: list[PermissionUpdate | dict[str, Any]] | None = None
            if request.updated_permissions is not None:
                updates = [*request.updated_permissions]
            await permission.allow(
                updated_input=request.updated_input, updated_permissions=updates, by=self._grant.name
            )
        else:
            await permission.deny(request.message, interrupt=request.interrupt, by=self._grant.name)
        return told.Done(re=request.id)

    async def _permissions(self, request: asked.Permissions) -> Reply:
        await trio.lowlevel.checkpoint()
        prefix = self._grant.prefix
        found = [each for each in self._manager.permissions() if each.session.key.startswith(prefix)]
        return told.OpenPermissions(re=request.id, permissions=[_told_permission(each) for each in found])

    async def _change(self, request: asked.Change) -> Reply:
        self._rights.spend_prompt(self._grant)
        session = self._session(request)
        if not isinstance(request.permission_mode, UnsetType):  # first, as it is what is refused more often
            await session.set_permission_mode(request.permission_mode)
        if not isinstance(request.model, UnsetType):
            await session.set_model(request.model)
        return told.Done(re=request.id)

    async def _fork(self, request: asked.Fork) -> Reply:
        self._check_key(request.to)
        self._rights.spend_prompt(self._grant)
        copy = await self._session(request).fork(request.to, at=request.at, session_id=request.session_id)
        return told.Forked(re=request.id, key=copy.key, session_id=copy.session_id)

    async def _reset(self, request: asked.Reset) -> Reply:
        self._rights.spend_prompt(self._grant)
        await self._session(request).reset()
        return told.Done(re=request.id)

    async def _hibernate(self, request: asked.Hibernate) -> Reply:
        await self._session(request).hibernate()
        return told.Done(re=request.id)

    async def _close(self, request: asked.Close) -> Reply:
        await self._session(request).close()
        return told.Done(re=request.id)

    async def _delete(self, request: asked.Delete) -> Reply:
        await self._manager.delete(request.key)
        return told.Done(re=request.id)

    async def _list(self, request: asked.ListSessions) -> Reply:
        prefix = max(request.prefix, self._grant.prefix, key=len)
        if not prefix.startswith(request.prefix) or not prefix.startswith(self._grant.prefix):
            return told.Sessions(re=request.id, sessions=[], is_last=True)
        page = await self._manager.overview_page(prefix, after=request.after, limit=request.limit)
        lines = [msgspec.convert(each, told.SessionTold, from_attributes=True) for each in page.lines]
        return told.Sessions(re=request.id, sessions=lines, is_last=page.is_last)

    async def _explain(self, request: asked.Explain) -> Reply:
        await trio.lowlevel.checkpoint()
        explanation = self._manager.explain(request.key, rss=False)  # which would hold everybody up
        return told.Explained(
            re=request.id,
            key=request.key,
            text=str(explanation),
            explanation=Raw(msgspec.json.encode(explanation)),
        )

    async def _ping(self, request: asked.Ping) -> Reply:
        await trio.lowlevel.checkpoint()
        return told.Pong(re=request.id)

    def _told_turn(self, request: asked.TurnOf | asked.Cancel, turn: Turn) -> told.TurnTold:
        self._refuse_left(turn)
        outcome = turn.outcome
        return told.TurnTold(
            re=request.id,
            key=request.key,
            turn=turn.id,
            state=turn.state,
            position=turn.position,
            seq=turn.begin,
            last=self._session(request).statistics().records,
            ended=Raw(as_json(encode_record(TurnEnded(outcome=outcome)))) if outcome is not None else UNSET,
        )

    _WAYS: ClassVar[dict[type[asked.Request], Callable[[Any, Any], Awaitable[Reply]]]] = {
        asked.Attach: _attach,
        asked.Detach: _detach,
        asked.Prompt: _prompt,
        asked.Command: _command,
        asked.TurnOf: _turn,
        asked.Interrupt: _interrupt,
        asked.Cancel: _cancel,
        asked.Answer: _answer,
        asked.Permissions: _permissions,
        asked.Change: _change,
        asked.Fork: _fork,
        asked.Reset: _reset,
        asked.Hibernate: _hibernate,
        asked.Close: _close,
        asked.Delete: _delete,
        asked.ListSessions: _list,
        asked.Explain: _explain,
        asked.Ping: _ping,
    }


def _prompt_of(request: asked.Prompt) -> str | dict[str, Any]:
    if not isinstance(request.prompt, list):
        return request.prompt
    if not request.prompt:
        raise InvalidOption("the list of content blocks is empty")
    return {"type": "user", "message": {"role": "user", "content": request.prompt}}


def _told_permission(permission: PermissionRequest) -> told.PermissionTold:
    left = permission.deadline - trio.current_time()
    return told.PermissionTold(
        id=permission.id,
        key=permission.session.key,
        turn=permission.turn.id if permission.turn is not None else None,
        tool=permission.tool,
        input=_told_input(permission),
        meta=permission.meta,
        expires_in=max(0.0, left) if math.isfinite(left) else None,
    )


def _told_input(permission: PermissionRequest) -> dict[str, Any]:
    try:
        return permission.input
    except RecursionError:  # and nobody would be told of the other requests either
        return {"cannot be shown": "it is nested too deeply"}
