"""The client's end of `triologue.v1`, without I/O: what was asked, what is attached, and what is said again."""

import heapq
from collections import defaultdict, deque
from math import inf
from typing import Final, final

import msgspec
from msgspec.structs import replace

from triologue.errors import GatewayError, GatewayLost, InvalidOption, LimitError
from triologue.messages import Event
from triologue.messages.loose import as_text
from triologue.protocol import asked, told
from triologue.protocol.codes import NOT_FOUND, TOO_MANY, error_of
from triologue.protocol.events import event_of
from triologue.remote.attaching import Attachments
from triologue.remote.repeating import is_own_answer, may_repeat
from triologue.remote.turn import outcome_of
from triologue.remote.waiting import Waiting

_encode = msgspec.json.Encoder(enc_hook=as_text).encode
_decode = msgspec.json.Decoder(told.Told).decode

_UNCOUNTED: Final = (asked.Interrupt, asked.Ping)
"""They go out at once, whatever else waits for replies."""


@final
class Machine:
    """One client of one gateway, over all of its connections.

    Drive it so: write `hello` on each new connection, hand each frame to `receive`, and say `lost` when it broke; after
    each of these, and of the calls that ask, write what `take` gives.

    Args:
        token: who this is.
        client: the program's name.
        held_bytes: see `Attachment`.
        max_waiting: requests that may wait for replies; one more is refused.
    """

    def __init__(self, token: str | None, client: str, *, held_bytes: int, max_waiting: int) -> None:
        self._hello = asked.Hello(token=token, client=client)
        self._max_waiting = max_waiting
        self._count = 0
        self._pending: dict[int, Waiting] = {}
        """By number."""
        self._outbox: deque[Waiting] = deque()
        self._put_off: list[tuple[int, Waiting]] = []
        """Prompts that had waited for the connection, and were too many at once then, and those asked since; a heap by place."""
        self.pause: float | None = None
        """Seconds until `go_on` is to be called; None where nothing was put off."""
        self._unanswered: set[int] = set()
        """The numbers that went out on this connection, also of requests whose callers have left."""
        self.attachments = Attachments(self._post, held_bytes)
        self.welcome: told.Welcome | None = None
        """What the gateway said on the newest connection; None before the first."""
        self.is_open = False
        """There is a connection, and the gateway has welcomed this client."""
        self._connections = 0
        self.failure: Exception | None = None
        """Why it is over; None until then."""

    def __repr__(self) -> str:
        shown = "over" if self.failure is not None else "open" if self.is_open else "connecting"
        return f"<Machine: {shown}, {len(self._pending)} requests wait, {len(self.attachments)} attached>"

    # Asking.

    @property
    def connection(self) -> int | None:
        """The number of the connection; None while there is none."""
        return self._connections if self.is_open else None

    def ask(self, request: asked.Request, *, began: int | None = None) -> Waiting:
        """Ask something; its `id` is chosen here. It waits for a connection if there is none.

        Args:
            request: what is asked.
            began: the `connection` when its caller came, who may have had to wait for one before this.

        Raises:
            LimitError: too many requests wait.
            GatewayLost: an interrupt, and there is no connection: once there is one, another turn may run.
            GatewayError, ManagerClosed: it is over.
        """
        if self.failure is not None:
            raise self.failure.with_traceback(None)  # which would grow with each that asks
        if len(self._pending) >= self._max_waiting:
            raise LimitError(f"{len(self._pending)} requests wait for the gateway; max_waiting allows no more")
        if isinstance(request, asked.Interrupt) and not self.is_open:
            raise GatewayLost("there is no connection to the gateway, and an interrupt does not wait for one")
        waiting = self._post(request)
        waiting.was_held |= began != self.connection
        return waiting

    def tell(self, request: asked.Request) -> None:
        """Ask something that nobody waits for, such as the cancel of a turn; there are no more of these than turns."""
        if self.failure is None:
            self._post(request)

    def withdraw(self, waiting: Waiting) -> None:
        """Nobody waits for the reply any more. What was never sent is not; a prompt that was is taken back.

        Not so one under whose id another call here waits, or has the turn.
        """
        request = waiting.request
        is_prompt = isinstance(request, asked.Prompt) or waiting.refusal is not None
        if is_prompt and self._is_shared(request):
            self._pending.pop(request.id, None)
        elif waiting.accepted is not None:
            self.tell(asked.Cancel(id=0, key=waiting.accepted.key, turn=waiting.accepted.turn))
        elif is_prompt and (waiting.is_sent or waiting.was_lost):
            waiting.is_unwanted = True
        else:
            self._pending.pop(request.id, None)

    def _is_shared(self, request: asked.Request) -> bool:
        if not isinstance(request, asked.Prompt | asked.TurnOf) or request.turn is None:
            return False
        attachment = self.attachments.get(request.key)
        return attachment is not None and attachment.is_shared(request.turn)

    @property
    def has_last_words(self) -> bool:
        """Is a turn withdrawn of which the gateway has not been told that?"""
        return any(
            waiting.is_unwanted or (isinstance(waiting.request, asked.Cancel) and not waiting.is_sent)
            for waiting in self._pending.values()
        )

    # The connection.

    def hello(self) -> bytes:
        """The first frame of a new connection."""
        return _encode(self._hello)

    def take(self) -> list[bytes]:
        """The frames that are to be written now."""
        frames: list[bytes] = []
        held_back: deque[Waiting] = deque()
        while self._outbox:
            waiting = self._outbox.popleft()
            if isinstance(waiting.request, _UNCOUNTED) or self._may_send():
                frames += self._frame(waiting)
            else:
                held_back.append(waiting)
        self._outbox = held_back
        return frames

    def go_on(self) -> None:
        """Say the next prompt of those that were put off."""
        while self._put_off:
            _, waiting = heapq.heappop(self._put_off)
            if waiting.request.id in self._pending:  # or nobody waits for it any more
                self._outbox.append(waiting)
                break
        if not self._put_off:
            self.pause = None

    def _may_send(self) -> bool:
        return self.welcome is None or len(self._unanswered) < self.welcome.max_requests

    def receive(self, frame: str | bytes) -> None:
        """Take in a frame.

        Raises:
            GatewayError: it is none of the protocol.
        """
        try:
            said = _decode(frame)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise GatewayError(f"the gateway sent what is no frame of triologue.v1: {error}") from None
        if isinstance(said, told.Events):
            self._take_events(said.events)
        elif isinstance(said, told.Welcome):
            if not self.is_open:
                self._say_again(said)
        elif isinstance(said, told.Detached):
            failed = told.Failed(re=0, code=said.code, message=said.message)
            self.attachments.fail(said.key, error_of(failed))
        else:
            self._unanswered.discard(said.re)
            waiting = self._pending.pop(said.re, None)
            if waiting is not None:
                self._take_reply(waiting, said)

    def lost(self) -> None:
        """The connection broke. What may be said twice waits for the next one, the rest fails."""
        self.is_open = False
        self._outbox.clear()
        self._put_off.clear()
        self.pause = None
        self._unanswered.clear()
        self.attachments.lost()
        for number, waiting in list(self._pending.items()):
            request = waiting.request
            if isinstance(request, asked.Attach | asked.Detach):  # the next one begins without attachments
                del self._pending[number]
            elif waiting.is_sent and not may_repeat(request):
                del self._pending[number]
                name = request.__struct_config__.tag
                error = GatewayLost(
                    f"the connection broke before the reply to {name!r}; nobody can tell whether it was done"
                )
                waiting.reply.settle(error=error)
            waiting.was_lost, waiting.is_sent = waiting.was_lost or waiting.is_sent, False
            waiting.was_held = True

    def fail(self, error: Exception) -> None:
        """It is over: whoever waits is told so."""
        self.failure, self.is_open = error, False
        pending, self._pending = self._pending, {}
        for waiting in pending.values():
            waiting.reply.settle(error=error)
        self.attachments.fail_all(error)

    # Inside.

    def _post(self, request: asked.Request) -> Waiting:
        waiting = Waiting(request, self._count + 1)
        self._enter(waiting)
        return waiting

    def _enter(self, waiting: Waiting) -> None:
        self._number(waiting)
        if not self.is_open:
            waiting.was_held = True
        elif self._put_off and isinstance(waiting.request, asked.Prompt):  # behind those that were asked before
            self._put_aside(waiting)
        else:
            self._outbox.append(waiting)

    def _number(self, waiting: Waiting) -> None:
        self._count += 1
        waiting.request = replace(waiting.request, id=self._count)
        self._pending[self._count] = waiting

    def _put_aside(self, waiting: Waiting) -> None:
        waiting.was_held = True
        heapq.heappush(self._put_off, (waiting.place, waiting))

    def _frame(self, waiting: Waiting) -> list[bytes]:
        """The request's frame, which counts as sent; none where nobody waits for it, or it can never be sent."""
        request = waiting.request
        if request.id not in self._pending:
            return []
        try:
            frame = _encode(request)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            return self._cannot_send(waiting, f"{request.__struct_config__.tag!r} cannot be put into JSON: {error}")
        limit = self.welcome.max_frame_bytes if self.welcome is not None else len(frame)
        if len(frame) > limit:
            text = f"this takes {len(frame)} bytes, and the gateway takes frames of at most {limit}"
            return self._cannot_send(waiting, text)
        waiting.is_sent = True
        if not isinstance(request, _UNCOUNTED):
            self._unanswered.add(request.id)
        return [frame]

    def _cannot_send(self, waiting: Waiting, why: str) -> list[bytes]:
        """It fails alone, here: what else is asked goes out."""
        request, error = waiting.request, InvalidOption(why)
        del self._pending[request.id]
        if isinstance(request, asked.Attach):  # for which nobody waits here
            self.attachments.fail(request.key, error)
        waiting.reply.settle(error=error)
        return []

    def _say_again(self, welcome: told.Welcome) -> None:
        """A connection begins: attach where each stopped, then ask what waits for its reply."""
        before = sorted(self._pending.values(), key=lambda waiting: waiting.place)
        self.welcome, self.is_open = welcome, True
        self._connections += 1
        self.attachments.resume()
        self._outbox += before

    def _take_events(self, events: list[told.EventTold]) -> None:
        by_key: defaultdict[str, list[Event]] = defaultdict(list)
        for each in events:
            by_key[each.key].append(event_of(each))
        for key, those in by_key.items():
            attachment = self.attachments.get(key)
            if attachment is None or attachment.position is None:  # it was left, and this was on its way
                continue
            if attachment.take(those):
                self._ask_about(key, attachment.accepted_turns)
            self.attachments.look_at(attachment)

    def _ask_about(self, key: str, turns: list[str]) -> None:
        """Their ends may be among what is missing."""
        for turn in turns:
            self._post(asked.TurnOf(id=0, key=key, turn=turn))

    def _take_reply(self, waiting: Waiting, said: told.Reply) -> None:
        match waiting.request, said:
            case request, told.Failed():
                self._take_failure(waiting, said)
                return
            case asked.Attach() as request, told.Attached():
                self._ask_about(request.key, self.attachments.attached(request, said))
            case asked.Attach(), _:  # for which nobody waits here; all that is asked of this session would wait for it
                raise GatewayError(
                    f"the gateway answered 'attach' with {type(said).__name__}, which is no answer to it"
                )
            case asked.Detach() as request, _:
                self.attachments.detached(request)
            case _, told.Accepted():
                self._accepted(waiting, said)
            case request, told.TurnTold():
                self._take_turn(said)
                if waiting.refusal is not None:
                    said = _accepted_as(said)
                    self._accepted(waiting, said)
            case _:
                pass
        waiting.reply.settle(said)

    def _take_failure(self, waiting: Waiting, failed: told.Failed) -> None:
        request, error = waiting.request, error_of(failed)
        if waiting.was_lost and is_own_answer(request, error):
            waiting.reply.settle(told.Done(re=request.id))
            return
        if self._puts_off(waiting, failed) or self._keeps_for_the_next(waiting, failed):
            return
        if isinstance(request, asked.Prompt) and waiting.was_lost and failed.code == TOO_MANY:
            # It may have been accepted when it was said first, which is looked up before it counts as refused.
            waiting.request, waiting.refusal = asked.TurnOf(id=0, key=request.key, turn=request.turn or ""), error
            self._enter(waiting)
            return
        if isinstance(request, asked.Attach):
            self.attachments.fail(request.key, error)
        elif isinstance(request, asked.Detach):
            self.attachments.detached(request)
        elif isinstance(request, asked.TurnOf) and failed.code == NOT_FOUND:
            attachment = self.attachments.get(request.key)
            if attachment is not None:
                attachment.lose(request.turn, failed.message)
                self.attachments.look_at(attachment)
        waiting.reply.settle(error=waiting.refusal or error)

    def _puts_off(self, waiting: Waiting, failed: told.Failed) -> bool:
        """Is it a prompt that came too early? Those that have waited for a connection come all at once."""
        retry_in = failed.data.get("retry_in")
        is_early = failed.code == TOO_MANY and isinstance(retry_in, int | float) and 0 <= retry_in < inf
        if not is_early or not isinstance(waiting.request, asked.Prompt) or waiting.is_unwanted:
            return False
        if not waiting.was_held and not self._put_off:
            return False
        waiting.is_sent = False
        self._number(waiting)
        self._put_aside(waiting)
        self.pause = retry_in
        return True

    def _keeps_for_the_next(self, waiting: Waiting, failed: told.Failed) -> bool:
        """Does a gateway that is about to end take it no more? Then it waits, as it would without a connection."""
        request = waiting.request
        if failed.data.get("is_draining") is not True or waiting.is_unwanted:
            return False
        if isinstance(request, asked.Prompt | asked.Cancel):
            waiting.is_sent = False
            self._pending[request.id] = waiting
            return True
        return isinstance(request, asked.Attach)  # with which each connection begins anyway

    def _accepted(self, waiting: Waiting, said: told.Accepted) -> None:
        waiting.accepted = said
        attachment = self.attachments.get(said.key)
        if waiting.is_unwanted:
            self._post(asked.Cancel(id=0, key=said.key, turn=said.turn))
        elif attachment is not None and attachment.accepted(said):
            self._ask_about(said.key, [said.turn])

    def _take_turn(self, said: told.TurnTold) -> None:
        attachment = self.attachments.get(said.key)
        if attachment is not None:
            attachment.told(said, outcome_of(said))
            self.attachments.look_at(attachment)


def _accepted_as(turn: told.TurnTold) -> told.Accepted:
    return told.Accepted(
        re=turn.re, key=turn.key, turn=turn.turn, state=turn.state, position=turn.position, seq=turn.seq
    )
