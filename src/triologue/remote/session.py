"""A session at a gateway, as its callers hold it: a handle that any task may use."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, final
from uuid import uuid4

import trio

from triologue.actors import Log
from triologue.errors import Forbidden, GatewayError, InvalidOption, NotFound, brief
from triologue.manager.checks import check_key, check_seq, check_str
from triologue.manager.prompts import check_labels, user_frame
from triologue.messages import Gap, Outcome, PermissionAnswered, Prompt, ResultMessage, SessionState
from triologue.messages.loose import encodable_text
from triologue.options import Overlap, check_overlap
from triologue.protocol import asked, told
from triologue.remote.attachment import Attachment
from triologue.remote.subscription import RemoteSubscription
from triologue.remote.turn import RemoteTurn, outcome_of
from triologue.wire import decode_line

if TYPE_CHECKING:  # it needs the extra `gateway`, and this can be imported without
    from triologue.remote.link import Link

_WITHDRAWAL_SECONDS = 10.0
"""For the outcome of a turn whose block was left; the default of `Deadlines.interrupt`."""

_UNSEEN = "the token may not `watch`, so nothing is told of its turns; `find` asks what became of one"


@final
class RemoteSession:
    """One conversation at a gateway. Made by `RemoteManager.session`; equal for the same key.

    Its methods do what those of `Session` do, over there, and wait for a connection where there is none. They raise what
    those raise, and:

    - `CallerError`: the token may not do it, or its keys begin with something else.
    - `GatewayLost`: the connection broke before the reply to what must not be said twice.
    - `GatewayError`, `ManagerClosed`: it is over: the gateway does not want this client, or the block was left.
    """

    def __init__(self, link: "Link", key: str) -> None:
        self._link = link
        self._attachments = link.machine.attachments
        self._key = key

    def __repr__(self) -> str:
        return f"<RemoteSession {self._key!r}: {self.state}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RemoteSession):
            return NotImplemented
        return self._key == other._key and self._link is other._link

    def __hash__(self) -> int:
        return hash((self._key, id(self._link)))

    @property
    def key(self) -> str:
        """The caller's name for it."""
        return self._key

    @property
    def session_id(self) -> str | None:
        """The agent's name for it, as far as the gateway has told: while a turn or a subscriber reads it here."""
        attachment = self._attachments.get(self._key)
        return attachment.session_id if attachment is not None else None

    @property
    def state(self) -> SessionState:
        """Where it is, as far as the gateway has told: while a turn or a subscriber reads it here; else `new`.

        `RemoteManager.overview` asks.
        """
        attachment = self._attachments.get(self._key)
        return attachment.state if attachment is not None else "new"

    # Turns.

    async def ask(
        self,
        prompt: Prompt,
        *,
        overlap: Overlap | None = None,
        id: str | None = None,
        meta: dict[str, str] | None = None,
    ) -> ResultMessage:
        """Send a prompt and wait for its result. See `Session.ask`.

        Raises:
            Forbidden: before anything is sent: the token may not `watch`, and would not hear the answer.
        """
        if not self._link.may("watch"):
            raise Forbidden(f"{_UNSEEN}; this prompt was not sent, use `send`")
        turn = await self.send(prompt, overlap=overlap, id=id, meta=meta)
        try:
            outcome = await self._answer_of(turn)
        except trio.Cancelled:
            turn.withdraw()
            raise
        return outcome.unwrap()

    @asynccontextmanager
    async def turn(
        self,
        prompt: Prompt,
        *,
        overlap: Overlap | None = None,
        id: str | None = None,
        meta: dict[str, str] | None = None,
    ) -> AsyncGenerator[RemoteTurn]:
        """Send a prompt, bound to a block. See `Session.turn`; where the outcome will not be told, leaving does not wait."""
        turn = await self.send(prompt, overlap=overlap, id=id, meta=meta)
        try:
            yield turn
        finally:
            turn.withdraw()
        if turn.outcome is None and turn.failure is None:
            with trio.move_on_after(_WITHDRAWAL_SECONDS):
                await turn.wait()

    async def send(
        self,
        prompt: Prompt,
        *,
        overlap: Overlap | None = None,
        id: str | None = None,
        meta: dict[str, str] | None = None,
    ) -> RemoteTurn:
        """Send a prompt; return when it is accepted over there. See `Session.send`.

        It is sent under an id, and again under the same id where the connection broke before the reply: it is one turn,
        which goes on when nobody here is connected. Without an `overlap` it has that of the manager over there.
        """
        if overlap is not None:
            check_overlap(overlap)
        check_labels(id, meta)
        frame = user_frame(prompt)
        turn_id = id if id is not None else frame.uuid if frame.uuid is not None else str(uuid4())
        said = encodable_text(prompt) if isinstance(prompt, str) else frame.data
        request = asked.Prompt(id=0, key=self._key, prompt=said, turn=turn_id, overlap=overlap, meta=meta or {})
        began = self._link.machine.connection
        if not self._link.may("watch"):
            return self._unseen(await self._link.ask(request, told.Accepted, began=began), request.meta)
        with self._used() as attachment:
            async with attachment.in_order:  # what follows does not wait until the prompt is asked
                await self._attach(attachment)
            with self._following(attachment, turn_id, meta or {}) as turn:
                accepted = await self._link.ask(request, told.Accepted, began=began)
                try:
                    await self._read_from(attachment, turn, accepted.seq)
                except trio.Cancelled:
                    turn.withdraw()
                    raise
                return turn

    async def find(self, id: str) -> RemoteTurn | None:
        """The turn of this id; None: there is none, or it is forgotten. See `Session.find`.

        One that was sent elsewhere has no `meta` here. Where the token may not `watch` it is told as it stands, without its
        messages.
        """
        check_str(id=id)
        question = asked.TurnOf(id=0, key=self._key, turn=id)
        try:
            if not self._link.may("watch"):
                return self._unseen(await self._link.ask(question, told.TurnTold), {})
            with self._used() as attachment:
                await self._attach(attachment)
                with self._following(attachment, id, {}) as turn:
                    said = await self._link.ask(question, told.TurnTold)
                    await self._read_from(attachment, turn, said.seq)
                    return turn
        except NotFound:
            return None

    async def command(self, command: str) -> ResultMessage:
        """See `Session.command`."""
        if not isinstance(command, str) or not command.startswith("/"):
            raise InvalidOption(f"a command starts with a slash, not {brief(command)}")
        said = await self._link.ask(asked.Command(id=0, key=self._key, command=command), told.CommandEnded)
        result = decode_line(bytes(said.result))
        if not isinstance(result, ResultMessage):
            raise GatewayError(f"the gateway gave {brief(result)} for the result of a command")
        result.cost_usd = said.cost_usd
        return result

    async def interrupt(self) -> str:
        """Stop the turn that runs now; those that wait are kept. See `Session.interrupt`.

        It is never said twice, and does not wait for a connection: by then another turn may run. `RemoteTurn.cancel`
        stops one turn, whenever it is said.
        """
        return (await self._link.ask(asked.Interrupt(id=0, key=self._key), told.Interrupted)).result

    # Reading.

    def subscribe(self, after: int | None = None) -> AbstractAsyncContextManager[RemoteSubscription]:
        """Read the session's log as it grows. See `Session.subscribe`.

        Raises:
            StoreError: on entering: the log has never come to `after`; it is another one.
        """
        if after is not None:
            check_seq(after)
        return self._subscribe(after)

    async def answer_to(self, permission: str) -> PermissionAnswered | None:
        """What became of a permission request that is settled; None where the log does not tell any more."""
        async with self._subscribe(0) as events:
            attachment = self._attachments.get(self._key)
            last = attachment.last if attachment is not None else 0
            while last > 0:
                event = await anext(events)
                message = event.message
                if isinstance(message, PermissionAnswered) and message.id == permission:
                    return message
                seq = message.last if isinstance(message, Gap) else event.seq
                if seq is not None and seq >= last:
                    break
        return None

    # The conversation.

    async def fork(self, key: str, *, at: str | None = None, session_id: str | None = None) -> "RemoteSession":
        """A copy of this conversation under a new key. See `Session.fork`."""
        check_key(key)
        check_str(at=at, session_id=session_id)
        await self._link.ask(asked.Fork(id=0, key=self._key, to=key, at=at, session_id=session_id), told.Forked)
        return RemoteSession(self._link, key)

    async def reset(self) -> None:
        """See `Session.reset`."""
        await self._do(asked.Reset(id=0, key=self._key))

    async def set_model(self, model: str | None) -> None:
        """See `Session.set_model`."""
        check_str(model=model)
        await self._do(asked.Change(id=0, key=self._key, model=model))

    async def set_permission_mode(self, mode: str | None) -> None:
        """See `Session.set_permission_mode`."""
        check_str(mode=mode)
        await self._do(asked.Change(id=0, key=self._key, permission_mode=mode))

    async def hibernate(self) -> None:
        """See `Session.hibernate`."""
        await self._do(asked.Hibernate(id=0, key=self._key))

    async def close(self) -> None:
        """See `Session.close`."""
        await self._do(asked.Close(id=0, key=self._key))

    # Inside.

    async def _do(self, request: asked.Request) -> None:
        await self._link.ask(request, told.Done)

    @contextmanager
    def _used(self) -> Generator[Attachment]:
        """The session is told of in this block, once it was attached, and behind it as long as a turn is followed."""
        if self._link.machine.failure is not None:
            raise self._link.machine.failure.with_traceback(None)
        attachment = self._attachments.use(self._key)
        try:
            yield attachment
        finally:
            self._attachments.leave(attachment)
            self._link.wake()

    async def _attach(
        self, attachment: Attachment, after: int | None = None, begin: Callable[[], object] = lambda: None
    ) -> None:
        reply = self._attachments.attach(attachment, after, begin)
        self._link.wake()
        try:
            await reply.wait()
        except trio.Cancelled:
            self._attachments.withdraw(attachment, reply)
            raise

    @asynccontextmanager
    async def _subscribe(self, after: int | None) -> AsyncGenerator[RemoteSubscription]:
        readers: list[RemoteSubscription] = []
        with self._used() as attachment:

            def begin() -> None:
                readers.append(attachment.open(attachment.last if after is None else after))

            try:
                await self._attach(attachment, after, begin)
                yield readers[0]
            finally:
                for reader in readers:
                    attachment.close(reader)

    @contextmanager
    def _following(self, attachment: Attachment, turn_id: str, meta: dict[str, str]) -> Generator[RemoteTurn]:
        """A turn that is followed from before it is asked for, so that nothing of it is missed; not if this block fails."""
        turn = attachment.follow(RemoteTurn(turn_id, meta, attachment.new_log(attachment.last), self._withdraw))
        try:
            yield turn
        except BaseException:
            attachment.unfollow(turn)
            raise

    def _unseen(self, said: told.Accepted | told.TurnTold, meta: dict[str, str]) -> RemoteTurn:
        """A turn as it stands, for a token that may not see what becomes of it."""
        turn = RemoteTurn(said.turn, meta, Log(1, 0, 0), self._withdraw)
        turn.accept(said)
        turn.fail(Forbidden(_UNSEEN))
        outcome = outcome_of(said) if isinstance(said, told.TurnTold) else None
        if outcome is not None:
            turn.end(outcome)
        return turn

    def _withdraw(self, turn_id: str) -> None:
        self._link.tell(asked.Cancel(id=0, key=self._key, turn=turn_id))

    async def _read_from(self, attachment: Attachment, turn: RemoteTurn, seq: int) -> None:
        """Have an older turn told from its beginning on."""
        if seq < turn.begin:
            await self._attach(attachment, seq, lambda: attachment.tell_again(turn, seq))

    async def _answer_of(self, turn: RemoteTurn) -> Outcome:
        """The outcome that answers the prompt: of the turn that it went into, where it was merged."""
        outcome = await turn.wait()
        while outcome.kind == "merged" and outcome.into is not None:
            into = await self.find(outcome.into)
            if into is None:
                break
            outcome = await into.wait()
        return outcome
