"""What a program does with a manager, as data: each operation is one call that some task makes."""

from typing import Any

import trio
from msgspec import Struct

from triologue.messages import Outcome, ResultMessage
from triologue.options import Overlap
from triologue.testing.faults import CancelAt
from triologue.testing.script import Step
from triologue.testing.stage import Stage


class Operation(Struct, frozen=True, repr_omit_defaults=True):
    """One call. Subclasses are your own operations: override `run`.

    A program starts each in a task of its own and goes on at once, so that calls overlap; `Pause` lets them settle.
    """

    async def run(self, stage: Stage) -> Any:
        """Do it; what this returns or raises stands in the history."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it does: override run()")

    @property
    def inner(self) -> "Operation":
        """The operation itself, without what is done to its caller."""
        return self


class Pause(Operation, frozen=True, repr_omit_defaults=True):
    """Go on when so many seconds have passed; after 0, when every task waits."""

    seconds: float = 0.0


class Send(Operation, frozen=True, repr_omit_defaults=True):
    """Send a prompt, at which the agent does `script`, and do not wait for its outcome.

    The prompt is `m` and the number of the call.
    """

    session: int = 0
    script: tuple[Step, ...] = ()
    overlap: Overlap | None = None

    async def run(self, stage: Stage) -> str:
        """Gives the turn's id."""
        prompt = stage.prompt(self.script)
        turn = await stage.session(self.session).send(prompt, overlap=self.overlap, meta=stage.meta)
        stage.add_turn(self.session, turn)
        return turn.id


class Ask(Operation, frozen=True, repr_omit_defaults=True):
    """Send a prompt and wait for its result."""

    session: int = 0
    script: tuple[Step, ...] = ()
    overlap: Overlap | None = None

    async def run(self, stage: Stage) -> ResultMessage:
        """Gives the result."""
        prompt = stage.prompt(self.script)
        return await stage.session(self.session).ask(prompt, overlap=self.overlap, meta=stage.meta)


class Stream(Operation, frozen=True, repr_omit_defaults=True):
    """Hold a turn in a block, read `messages` of it, and leave the block; None: read all."""

    session: int = 0
    script: tuple[Step, ...] = ()
    overlap: Overlap | None = None
    messages: int | None = None

    async def run(self, stage: Stage) -> int:
        """Gives how many messages came."""
        count = 0
        prompt = stage.prompt(self.script)
        async with stage.session(self.session).turn(prompt, overlap=self.overlap, meta=stage.meta) as turn:
            stage.add_turn(self.session, turn)
            async for _ in turn:
                count += 1
                if count == self.messages:
                    break
        return count


class CancelTurn(Operation, frozen=True, repr_omit_defaults=True):
    """Cancel a turn that `Send` or `Stream` made, counted from the newest."""

    session: int = 0
    which: int = 0

    async def run(self, stage: Stage) -> Outcome | None:
        """Gives its outcome; None where there is no turn."""
        turns = stage.turns.get(self.session)
        if not turns:
            await trio.lowlevel.checkpoint()
            return None
        turn = turns[-1 - self.which % len(turns)]
        stage.call.turn_id = turn.id
        return await turn.cancel()


class InterruptSession(Operation, frozen=True, repr_omit_defaults=True):
    """Interrupt what runs."""

    session: int = 0

    async def run(self, stage: Stage) -> str:
        """Gives what came of it."""
        return await stage.session(self.session).interrupt()


class CloseSession(Operation, frozen=True, repr_omit_defaults=True):
    """Close the session."""

    session: int = 0

    async def run(self, stage: Stage) -> None:
        """Gives nothing."""
        await stage.session(self.session).close()


class Hibernate(Operation, frozen=True, repr_omit_defaults=True):
    """Let the session's agent go when it is idle."""

    session: int = 0

    async def run(self, stage: Stage) -> None:
        """Gives nothing."""
        await stage.session(self.session).hibernate()


class Reset(Operation, frozen=True, repr_omit_defaults=True):
    """Begin a fresh conversation."""

    session: int = 0

    async def run(self, stage: Stage) -> None:
        """Gives nothing."""
        await stage.session(self.session).reset()


class Fork(Operation, frozen=True, repr_omit_defaults=True):
    """Fork the session to another one of the program."""

    session: int = 0
    to: int = 1

    async def run(self, stage: Stage) -> None:
        """Gives nothing."""
        await stage.session(self.session).fork(stage.key(self.to))
        await stage.watch(self.to)


class ChangeModel(Operation, frozen=True, repr_omit_defaults=True):
    """Set the session's model."""

    session: int = 0
    model: str | None = None

    async def run(self, stage: Stage) -> None:
        """Gives nothing."""
        await stage.session(self.session).set_model(self.model)


class ChangeMode(Operation, frozen=True, repr_omit_defaults=True):
    """Set the session's permission mode."""

    session: int = 0
    mode: str = "default"

    async def run(self, stage: Stage) -> None:
        """Gives nothing."""
        await stage.session(self.session).set_permission_mode(self.mode)


class CrashAgent(Operation, frozen=True, repr_omit_defaults=True):
    """Let the session's agent die, whatever it does."""

    session: int = 0
    code: int = -9

    async def run(self, stage: Stage) -> bool:
        """Gives whether there was one."""
        await trio.lowlevel.checkpoint()
        connection = stage.agent.connection_of(stage.session(self.session).session_id)
        if connection is not None:
            connection.die(self.code)
        return connection is not None


class BeginOwnTurn(Operation, frozen=True, repr_omit_defaults=True):
    """Let the session's agent begin a turn that nobody asked for."""

    session: int = 0
    script: tuple[Step, ...] = ()

    async def run(self, stage: Stage) -> bool:
        """Gives whether there was an agent."""
        await trio.lowlevel.checkpoint()
        connection = stage.agent.connection_of(stage.session(self.session).session_id)
        if connection is not None:
            connection.begin_turn(*self.script)
        return connection is not None


class AnswerPermission(Operation, frozen=True, repr_omit_defaults=True):
    """Answer a permission request, counted from the newest; one that is settled too."""

    which: int = 0
    allow: bool = True
    by: str | None = None

    async def run(self, stage: Stage) -> str | None:
        """Gives the request's id; None where there is none."""
        if not stage.permissions:
            await trio.lowlevel.checkpoint()
            return None
        request = stage.permissions[-1 - self.which % len(stage.permissions)]
        if self.allow:
            await request.allow(by=self.by)
        else:
            await request.deny("no", by=self.by)
        return request.id


class Cancelling(Operation, frozen=True, repr_omit_defaults=True):
    """Make a call, and cancel its caller after so many seconds, or at its n-th checkpoint."""

    operation: Operation
    after: float | None = None
    at: int | None = None

    @property
    def inner(self) -> Operation:
        """What is called."""
        return self.operation.inner

    async def run(self, stage: Stage) -> Any:
        """Gives what the call gave; None where it was cancelled."""
        with trio.CancelScope() as scope:
            if self.after is not None:
                scope.deadline = trio.current_time() + self.after
            if self.at is None:
                return await self.operation.run(stage)
            instrument = CancelAt(scope, self.at)
            trio.lowlevel.add_instrument(instrument)
            try:
                return await self.operation.run(stage)
            finally:
                trio.lowlevel.remove_instrument(instrument)
        stage.call.was_cancelled = True
        return None
