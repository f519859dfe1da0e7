"""The connection of a client to its gateway, again and again: the thin shell around the machine."""

import logging
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, NoReturn, Protocol, TypeAlias, TypeVar, final

import trio

from triologue.errors import GatewayError, GatewayLost, GatewayRefused
from triologue.protocol import asked, codes, told
from triologue.protocol.carrier import Closed, NotText, Refused
from triologue.remote.backoff import Backoff
from triologue.remote.machine import Machine

logger = logging.getLogger("triologue.remote")

R = TypeVar("R", bound=told.Reply)

_WELCOME_SECONDS: Final = 10.0
"""From the attempt to connect to the gateway's welcome."""
_PING_SECONDS: Final = 20.0
"""From a pong to the next ping, and at most from a ping to its pong."""
_LAST_WORDS_SECONDS: Final = 2.0
"""For telling the gateway, when the block is left, which turns are withdrawn, and for the close behind it."""
_CLOSE_SECONDS: Final = 0.5
"""For that close at least: what was said last may be on its way."""
_TOO_MANY_TRIES: Final = 10
"""Times in a row that the gateway may say that it has too many clients, which with their pauses take a minute at least:
connections that the network has lost count there until their pongs are missed, for 50 seconds as its limits come."""
_FINAL: Final = {
    codes.CLOSE_UNAUTHORIZED: "does not accept the token (any more)",  # in answer to `hello`
    codes.CLOSE_BAD_FRAME: "does not understand this client",
}
_MAY_PASS: Final = (408, 425, 429)
"""What HTTP says where another attempt may succeed, beside 5xx."""


class Carrier(Protocol):
    """One connection: see `protocol.carrier.Carrier`."""

    async def receive(self) -> str:
        """The next frame."""
        ...

    async def send(self, *frames: bytes) -> None:
        """Write frames."""
        ...

    async def ping(self) -> None:
        """Wait until the other side has shown that it is there."""
        ...

    async def aclose(self, *, within: float) -> None:
        """Close it, in so many seconds at most."""
        ...


Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[Carrier]]


@final
class Link:
    """Keeps a machine connected.

    Args:
        machine: what is said.
        connect: opens a connection.
        where: the gateway's address, for errors.
        give_up: seconds without a connection after which it is over.
    """

    def __init__(self, machine: Machine, connect: Connect, where: str, give_up: float) -> None:
        self.machine = machine
        self._connect = connect
        self._where = where
        self._give_up = give_up
        self._news = trio.Event()
        """Something is to be written."""
        self._is_written = trio.Event()
        """Nothing is."""
        self._is_put_off = trio.Event()
        """Something is to be written later."""
        self._opened_at = -math.inf
        """When the gateway welcomed this client, if it did on the newest connection."""
        self._too_many = 0
        self._leave_by: float | None = None
        """When the block is to be left, if it is being left."""

    def __repr__(self) -> str:
        return f"<Link to {self._where}: {self.machine!r}>"

    # For the handles.

    @property
    def welcome(self) -> told.Welcome:
        """What the gateway told when it was connected last."""
        if self.machine.welcome is None:
            raise AssertionError("a link is handed on when it was welcomed")
        return self.machine.welcome

    def may(self, right: told.Right) -> bool:
        """Has the token this right?"""
        return right in self.welcome.rights

    async def ask(self, request: asked.Request, kind: type[R], *, began: int | None = None) -> R:
        """Ask, and wait for the reply. Cancelling it withdraws what can be withdrawn. For `began` see `Machine.ask`.

        Raises:
            TriologueError: what the gateway answered, or why it did not.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        waiting = self.machine.ask(request, began=began)
        self.wake()
        try:
            reply = await waiting.reply.wait()
        except trio.Cancelled:
            self.machine.withdraw(waiting)
            self.wake()
            raise
        if not isinstance(reply, kind):
            name = request.__struct_config__.tag
            raise GatewayError(f"{self._where} answered {name!r} with {type(reply).__name__}, which is no answer to it")
        return reply

    def tell(self, request: asked.Request) -> None:
        """Ask, and wait for nothing."""
        self.machine.tell(request)
        self.wake()

    def wake(self) -> None:
        """The machine may have something to write."""
        if self._is_written.is_set():
            self._is_written = trio.Event()
        self._news.set()

    async def flush(self) -> None:
        """Wait, not for long, until what was asked is written, and each turn withdrawn. It cannot be cancelled."""
        self._leave_by = trio.current_time() + _LAST_WORDS_SECONDS
        with trio.move_on_after(_LAST_WORDS_SECONDS, shield=True):
            while self.machine.has_last_words or (self.machine.is_open and not self._is_written.is_set()):
                self._is_written = trio.Event()
                await self._is_written.wait()

    # The connection.

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Stay connected. Returns when it is over, which the machine tells to whoever waits.

        Raises:
            GatewayError: the first attempt has failed.
        """
        backoff = Backoff(random.random)
        lost_at = trio.current_time()
        while True:
            self._opened_at = -math.inf
            error = await self._hold(task_status)
            self.machine.lost()
            self._is_written.set()  # `flush` looks again
            if self.machine.welcome is None:
                raise error
            task_status = trio.TASK_STATUS_IGNORED  # it is said once
            now, held = trio.current_time(), 0.0
            if self._opened_at > -math.inf:
                lost_at, held = now, now - self._opened_at
            delay = backoff.next(held)
            if not isinstance(error, GatewayLost) or now + delay - lost_at > self._give_up:
                self.machine.fail(error)
                return
            logger.info("%s; the next attempt is in %.1f s", error, delay)
            await trio.sleep(delay)

    async def _hold(self, task_status: trio.TaskStatus[None]) -> GatewayError:
        """Connect, and talk until the connection ends; why it did."""
        try:
            with trio.fail_after(_WELCOME_SECONDS) as opening:
                async with self._connect() as carrier, self._closing(carrier):
                    await carrier.send(self.machine.hello())
                    self.machine.receive(await carrier.receive())
                    if not self.machine.is_open:
                        return GatewayError(f"{self._where} did not answer hello with welcome")
                    opening.deadline = math.inf
                    self._opened_at = trio.current_time()
                    task_status.started()
                    return self._meaning(await self._talk(carrier))
        except trio.TooSlowError:
            return GatewayLost(f"{self._where} did not welcome this client within {_WELCOME_SECONDS:g} s")
        except (OSError, Closed, NotText, Refused, GatewayError) as error:
            return self._meaning(error)

    @asynccontextmanager
    async def _closing(self, carrier: Carrier) -> AsyncGenerator[None]:
        """Whoever leaves does not wait for the close as long as others do."""
        try:
            yield
        finally:
            if self._leave_by is not None:
                await carrier.aclose(within=max(self._leave_by - trio.current_time(), _CLOSE_SECONDS))

    async def _talk(self, carrier: Carrier) -> Exception:
        """Read, write and keep it alive, until one of the three fails; that failure."""
        failures: list[Exception] = []
        async with trio.open_nursery() as nursery:

            async def run(part: Callable[[Carrier], Awaitable[NoReturn]]) -> None:
                try:
                    await part(carrier)
                except (Closed, NotText, GatewayError) as error:
                    failures.append(error)
                    nursery.cancel_scope.cancel()

            for part in (self._read, self._write, self._pace, self._keep_alive):
                nursery.start_soon(run, part)
        return failures[0]

    async def _read(self, carrier: Carrier) -> NoReturn:
        while True:
            self.machine.receive(await carrier.receive())
            self.wake()
            if self.machine.pause is not None:
                self._is_put_off.set()

    async def _write(self, carrier: Carrier) -> NoReturn:
        while True:
            self._news = trio.Event()
            frames = self.machine.take()
            if frames:
                await carrier.send(*frames)
            else:
                self._is_written.set()
                await self._news.wait()

    async def _pace(self, _: Carrier) -> NoReturn:
        """Say what was put off, one after the other."""
        while True:
            while (pause := self.machine.pause) is None:
                self._is_put_off = trio.Event()
                await self._is_put_off.wait()
            await trio.sleep(pause)
            self.machine.go_on()
            self.wake()

    async def _keep_alive(self, carrier: Carrier) -> NoReturn:
        while True:
            await trio.sleep(_PING_SECONDS)
            with trio.move_on_after(_PING_SECONDS) as waiting:
                await carrier.ping()
            if waiting.cancelled_caught:
                raise GatewayLost(f"{self._where} answered no ping within {_PING_SECONDS:g} s")

    def _meaning(self, error: Exception) -> GatewayError:
        """What the end of a connection means for this client."""
        is_too_many = isinstance(error, Closed) and error.code == codes.CLOSE_TOO_MANY
        self._too_many = self._too_many + 1 if is_too_many else 0
        match error:
            case Closed(code=codes.CLOSE_UNAUTHORIZED) if self._opened_at > -math.inf:
                # What the token allows was changed, or it is gone: the next `hello` tells.
                return GatewayLost(f"no connection to {self._where}: {error}")
            case Closed(code=code, reason=reason) if code in _FINAL:
                return GatewayRefused(f"{self._where} {_FINAL[code]}: {reason or code}", code=code)
            case Closed(code=code, reason=reason) if self._too_many >= _TOO_MANY_TRIES:
                return GatewayRefused(f"{self._where} has too many clients or requests: {reason or code}", code=code)
            case Refused(status=status) if status is None or (status < 500 and status not in _MAY_PASS):
                return GatewayRefused(f"{self._where} is no gateway for this client: {error}", code=status)
            case NotText():
                return GatewayError(f"{self._where} sent {error}")
            case GatewayError():
                return error
            case _:
                return GatewayLost(f"no connection to {self._where}: {error}")
