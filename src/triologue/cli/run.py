"""`triologue run`: one prompt, one answer, and an exit code that tells how it went."""

import signal
import sys
from typing import Any, Literal, Protocol, TypeAlias, final

import msgspec
import trio
from msgspec import Struct, structs

from triologue.actors import Turn
from triologue.cli.choosing import Wish, begin, choose, store_for
from triologue.cli.endings import ExitCode, exit_code_of, one_line
from triologue.cli.interrupting import draining_on, on_interrupt
from triologue.cli.text_flow import TextFlow, printable
from triologue.manager import Session, open_manager
from triologue.messages import Message, Outcome, ResultMessage
from triologue.wire import encode

Form: TypeAlias = Literal["text", "json", "stream-json"]


class RunRequest(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    prompt: str
    wish: Wish
    form: Form = "text"
    timeout: float | None = None
    """Seconds; then the turn is interrupted."""


@final
class _Asked:
    """How far it went."""

    def __init__(self) -> None:
        self.key = ""
        self.turn: Turn | None = None
        self.timed_out = False

    @property
    def outcome(self) -> Outcome | None:
        return self.turn.outcome if self.turn is not None else None


async def run_prompt(request: RunRequest) -> ExitCode:
    """Send the prompt, print the answer, return the exit code.

    Raises:
        TriologueError: the prompt was not accepted.
    """
    output = _OUTPUTS[request.form]()
    asked = _Asked()
    async with draining_on(signal.SIGTERM) as drain, store_for(request.wish) as store:
        choice = await choose(store, request.wish)
        async with open_manager(choice.agent, store=store) as drain.manager:
            session = await begin(drain.manager, choice, request.wish)
            asked.key = session.key
            await _ask(session, request, asked, output)
            if choice.key is None and _is_missing(asked.outcome):
                await drain.manager.delete(session.key)  # nothing was said, and it can never begin
    outcome = asked.outcome
    if outcome is not None:
        output.end(outcome, key=asked.key if request.wish.is_kept and not _is_missing(outcome) else None)
    if outcome is None or (drain.code is not None and outcome.kind == "interrupted"):
        sys.stderr.write("triologue: ended by SIGTERM; nothing of it is left running\n")
        return ExitCode.TERMINATED
    if asked.timed_out:
        sys.stderr.write(f"triologue: no answer within {request.timeout:g} s; the turn was interrupted\n")
        return ExitCode.TIMED_OUT
    if outcome.error is None:
        return ExitCode.OK
    sys.stderr.write(f"triologue: {one_line(outcome.error)}\n")
    return exit_code_of(outcome.error)


async def _ask(session: Session, request: RunRequest, asked: _Asked, output: "Output") -> None:
    turn = asked.turn = await session.send(request.prompt)
    async with on_interrupt(turn.withdraw):
        with trio.move_on_after(request.timeout if request.timeout is not None else float("inf")) as patience:
            async for message in turn:
                output.show(message)
        if patience.cancelled_caught:
            asked.timed_out = turn.outcome is None
            turn.withdraw()
        await turn.wait()


def _is_missing(outcome: Outcome | None) -> bool:
    """The agent does not know the conversation."""
    error = outcome.error if outcome is not None else None
    return error is not None and exit_code_of(error) is ExitCode.NO_SESSION


class Output(Protocol):
    """What a run prints."""

    def show(self, message: Message) -> None:
        """The next message of the turn."""
        ...

    def end(self, outcome: Outcome, *, key: str | None) -> None:
        """The turn is over; `key` is that of its session, where it is kept."""
        ...


@final
class TextOutput:
    """The answer's text, while it comes."""

    def __init__(self) -> None:
        self._flow = TextFlow()
        self._clean = printable if sys.stdout.isatty() else str

    def show(self, message: Message) -> None:
        """Print what it adds."""
        self._print(self._flow.feed(message))

    def end(self, outcome: Outcome, *, key: str | None) -> None:
        """End the line; and where the agent gave a result only, print that."""
        if not self._flow.has_spoken and outcome.kind == "answered" and outcome.result is not None:
            self._print((outcome.result.result or "") + "\n")
        self._print(self._flow.end_line())

    def _print(self, piece: str) -> None:
        if piece:
            sys.stdout.write(self._clean(piece))
            sys.stdout.flush()


@final
class JsonOutput:
    """One object, at the end."""

    def show(self, message: Message) -> None:
        """Nothing yet."""

    def end(self, outcome: Outcome, *, key: str | None) -> None:
        """Print it."""
        print_line(msgspec.json.encode({**summary(outcome), "key": key}))


@final
class StreamJsonOutput:
    """Every message in the line that it came in."""

    def show(self, message: Message) -> None:
        """Print it."""
        if not message.line and isinstance(message, ResultMessage):
            message = structs.replace(message, cost_usd=None)  # worked out here, and no field of the wire
        print_line(encode(message).rstrip(b"\n"))

    def end(self, outcome: Outcome, *, key: str | None) -> None:
        """The result was the last message."""


def summary(outcome: Outcome) -> dict[str, Any]:
    """What `--json` prints beside the key: the outcome, and what the result says."""
    result = outcome.result
    return {
        "outcome": outcome.kind,
        "result": result.result if result else None,
        "error": one_line(outcome.error) if outcome.error is not None else None,
        "reason": outcome.reason,
        "session_id": result.session_id if result else None,
        "cost_usd": outcome.cost_usd,
        "total_cost_usd": result.total_cost_usd if result else None,
        "num_turns": result.num_turns if result else None,
        "duration_ms": result.duration_ms if result else None,
        "usage": result.usage if result else None,
        "structured_output": result.structured_output if result else None,
    }


def print_line(line: bytes) -> None:
    """Print bytes as they are, at once."""
    sys.stdout.flush()
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


_OUTPUTS: dict[str, type[TextOutput | JsonOutput | StreamJsonOutput]] = {
    "text": TextOutput,
    "json": JsonOutput,
    "stream-json": StreamJsonOutput,
}
