"""How frames look in each dialect: what the engine says is changed on its way out."""

from collections.abc import Iterable, Iterator, Mapping
from typing import final
from uuid import uuid4

import msgspec

from triologue.messages import (
    CanUseTool,
    CommandLifecycle,
    ControlError,
    ControlRequest,
    ControlResponse,
    InitMessage,
    Message,
    ResultMessage,
    SessionStateMessage,
    UserMessage,
)

replace = msgspec.structs.replace


@final
class Presenter:
    """Everything that passes between the engine and the host, as this dialect has it.

    Args:
        dialect: `claude`, `qoder` or `cortex`.
        environment: with the variables by which hosts ask for frames about the session's state.
        replays_prompts: echo prompts when their turn begins.
    """

    def __init__(self, dialect: str, environment: Mapping[str, str], *, replays_prompts: bool = False) -> None:
        self._dialect = dialect
        self._echoes: list[UserMessage] | None = [] if replays_prompts else None
        self._state = StateTeller(environment) if dialect == "claude" else None

    def hear(self, messages: Iterable[Message]) -> list[Message]:
        """Take note of what the host says. Returns what it is told at once."""
        told: list[Message] = []
        for message in messages:
            if isinstance(message, UserMessage) and self._echoes is not None:
                self._echoes.append(message)
            elif isinstance(message, ControlResponse) and self._state is not None:
                told += self._state.answered(message.response.request_id)
        return told

    def present(self, messages: list[Message]) -> list[Message]:
        """One batch of the engine, as it goes out."""
        shown = [frame for message in messages for frame in self._present(message)]
        return shown if self._state is None else list(self._state.frame(shown))

    def _present(self, message: Message) -> Iterator[Message]:
        match message:
            case ControlResponse(response=ControlError() as error):
                yield replace(message, response=self._error(error))
            case ResultMessage():
                yield self._result(message)
            case InitMessage():
                yield message
                if self._echoes:
                    prompt = self._echoes.pop(0)
                    uuid = prompt.uuid or str(uuid4())
                    yield replace(prompt, line=b"", is_replay=True, uuid=uuid, session_id=message.session_id)
            case _:
                yield message

    def _error(self, error: ControlError) -> ControlError:
        """The code of a refusal: Qoder has it under another name, Cortex Code not at all."""
        if self._dialect == "claude":
            return error
        code = error.error_code if self._dialect == "qoder" else None
        return replace(error, error_code=None, code=code)

    def _result(self, result: ResultMessage) -> ResultMessage:
        # The vendors' programs count in whole milliseconds, and their SDKs' types say so.
        result = replace(
            result, duration_ms=round(result.duration_ms), duration_api_ms=round(result.duration_api_ms), line=b""
        )
        if self._dialect == "qoder":
            return replace(result, total_credits=0.0)
        if self._dialect == "cortex" and result.is_error and result.subtype == "success":
            # A failure of the API: Cortex Code has it as an error with its text among the errors.
            return replace(result, subtype="error_during_execution", errors=[result.result or ""], result=None)
        return result


@final
class StateTeller:
    """`session_state_changed`, for hosts that ask for it: Claude's SDK keeps the input open until `idle`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._is_for_host = environment.get("CLAUDE_CODE_SDK_READS_SESSION_STATE") == "1"
        self._is_on = self._is_for_host or environment.get("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS") == "1"
        self._state = "idle"
        self._session_id: str | None = None
        self._asked: set[str] = set()

    def frame(self, messages: list[Message]) -> Iterator[Message]:
        """A batch, with what is to be said about the state before, in and behind it."""
        if not self._is_on:
            yield from messages
            return
        is_over = False
        for message in messages:
            match message:
                case CommandLifecycle(state="queued" | "started") | InitMessage():
                    self._session_id = message.session_id
                    yield from self._become("running")
                case ControlRequest(request=CanUseTool()):
                    self._asked.add(message.request_id)
                    yield from self._become("requires_action")
                case ResultMessage():
                    self._session_id = message.session_id
                    self._asked.clear()
                    is_over = not message.queued_turn_count
                case _:
                    pass
            yield message
        if is_over:
            yield from self._become("idle")

    def answered(self, request_id: str) -> list[Message]:
        """The host answered a request."""
        if request_id not in self._asked:
            return []
        self._asked.remove(request_id)
        return [] if self._asked else list(self._become("running"))

    def _become(self, state: str) -> Iterator[Message]:
        if state == self._state or (state == "running" and self._asked):
            return
        self._state = state
        yield SessionStateMessage(
            subtype="session_state_changed",
            state=state,
            session_id=self._session_id,
            uuid=str(uuid4()),
            sdk_host_only=True if self._is_for_host else None,
        )
