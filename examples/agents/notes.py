"""An agent of one's own that runs in this program: it keeps notes, and asks before it takes one."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from math import inf
from types import MappingProxyType
from typing import Any, Literal
from uuid import uuid4

import trio

import triologue as tri
from triologue.messages import (
    AnyRequest,
    CanUseTool,
    ControlError,
    ControlRequest,
    ControlResponse,
    ControlSuccess,
    Initialize,
    Interrupt,
    Request,
)

HAS = {
    *("abort_event", "can_use_tool", "permission_prompt_tool_name"),  # triologue does what these are about
    *("include_partial_messages", "resume", "session_id", "verbatim_prompts"),
}
UNKNOWN = "there are no notes of that conversation"


class Notes:
    """The agent: what is the same for all its conversations.

    Args:
        kept: the notes of each conversation, by its session id.
    """

    name = "notes"
    lives_inside: Literal[True] = True
    requests: Mapping[type[Request], str | None] = MappingProxyType({Interrupt: None})

    def __init__(self, kept: dict[str, list[str]] | None = None) -> None:
        self.kept = kept if kept is not None else {}

    def check(self, options: tri.Options) -> None:
        """Refuse what it does not have."""
        for option, value in options.named().items():
            if option not in HAS and value:
                raise tri.UnsupportedOption(self.name, option, value)

    def initialize(self, options: tri.Options) -> AnyRequest:
        """The handshake, which its connection answers."""
        return Initialize()

    def user_frame(self, prompt: tri.UserMessage, options: tri.Options) -> tri.UserMessage:
        """The prompt as it is."""
        return prompt

    def permission_reply(self, request: CanUseTool, result: tri.PermissionResult) -> dict[str, Any]:
        """The answer to a permission request, in words that `_permitted` reads."""
        if isinstance(result, tri.PermissionResultAllow):
            return {"input": request.input if result.updated_input is None else result.updated_input}
        return {"denied": result.message}

    @asynccontextmanager
    async def connect(
        self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
    ) -> AsyncGenerator[tri.Connection]:
        """Be there for one conversation."""
        connection = NotesConnection(self.kept, options, sink)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            try:
                yield connection
            finally:
                connection.stop(eof=False)

    def diagnose(self, exit: tri.Exit, refusal: tri.ResultMessage | None, options: tri.Options) -> tri.TriologueError:
        """Why it went away when nobody had asked it to."""
        if exit.stderr_tail == UNKNOWN:
            return tri.SessionNotFound(options.resume or "")
        return tri.AgentCrashed("notes stopped by itself", exit_code=exit.code, stderr_tail=exit.stderr_tail)


class NotesConnection:
    """One conversation while it is live: a task that hears the host, and one for the turn that runs."""

    pid = None

    def __init__(self, kept: dict[str, list[str]], options: tri.Options, sink: tri.Sink) -> None:
        self._kept = kept
        self._options = options
        self._sink = sink
        self._session_id = options.resume or options.session_id or str(uuid4())
        self._post, self._inbox = trio.open_memory_channel[tri.Message](inf)
        self._scope = trio.CancelScope()
        self._turn = trio.CancelScope()
        self._questions: dict[str, trio.MemorySendChannel[ControlSuccess | ControlError]] = {}
        self._exit = tri.Exit()
        self._gone = trio.Event()
        self._has_eof = False

    # The port.

    def send(self, message: tri.Message) -> None:
        """Take a frame, to be looked at by its own task."""
        if not self._has_eof:
            self._post.send_nowait(message)

    async def wait_exit(self) -> tri.Exit:
        """Wait until it is gone, and has said all."""
        await self._gone.wait()
        return self._exit

    def stop(self, *, eof: bool) -> None:
        """Leave: when the turn that runs is over, or at once."""
        self._has_eof = True
        self._post.close()
        if not eof:
            self._scope.cancel()

    # What it does by itself.

    async def run(self) -> None:
        """Hear the host, until its input has ended and the turn is over, or until cancelled."""
        try:
            with self._scope:
                if self._options.resume and self._session_id not in self._kept:
                    self._exit = tri.Exit(code=1, stderr_tail=UNKNOWN)
                    return
                async with trio.open_nursery() as nursery:
                    async for message in self._inbox:
                        self._hear(message, nursery)
        finally:
            self._has_eof = True
            self._gone.set()

    def _hear(self, message: tri.Message, nursery: trio.Nursery) -> None:
        match message:
            case tri.UserMessage():
                self._turn = trio.CancelScope()
                nursery.start_soon(self._play, message, self._turn)
            case ControlRequest(request_id=id, request=Initialize()):
                self._answer(ControlSuccess(request_id=id))
            case ControlRequest(request_id=id, request=Interrupt()):
                self._answer(ControlSuccess(request_id=id))
                self._turn.cancel()
            case ControlRequest(request_id=id):
                self._answer(ControlError(request_id=id, error="not known", error_code="unsupported_request"))
            case ControlResponse(response=answer) if answer.request_id in self._questions:
                self._questions[answer.request_id].send_nowait(answer)
            case _:  # frames that say nothing to it
                pass

    async def _play(self, prompt: tri.UserMessage, scope: trio.CancelScope) -> None:
        """A turn, which ends with its only result, whatever happens."""
        self._say(tri.InitMessage(subtype="init", session_id=self._session_id))
        said, error = "", "interrupted"
        with scope:
            try:
                said, error = await self._reply(tri.text(prompt)), ""
            except Exception as failure:  # noqa: BLE001 - it ends this turn, and not the conversation
                error = repr(failure)
        self._say(
            tri.ResultMessage(
                subtype="error_during_execution" if error else "success",
                is_error=bool(error),
                result=said,
                errors=[error] if error else None,
                session_id=self._session_id,
                num_turns=1,
                duration_ms=0,
                duration_api_ms=0,
            )
        )

    async def _reply(self, prompt: str) -> str:
        """Do what is wanted, and tell: the place for a model or a program of yours."""
        notes = self._kept.setdefault(self._session_id, [])
        if not prompt.startswith("Note: "):
            return await self._speak(" and ".join(notes) or "nothing")
        permitted = await self._permitted("take_note", {"note": prompt.removeprefix("Note: ")})
        notes.append(permitted["note"])
        return await self._speak(f"{len(notes)} to do")

    async def _speak(self, text: str) -> str:
        """Say something in pieces, as it comes, where they are wanted; and then all of it."""
        for word in text.split():
            await trio.sleep(0.05)
            if self._options.include_partial_messages:
                delta = {"type": "text_delta", "text": f"{word} "}
                self._say(tri.StreamEvent.of({"type": "content_block_delta", "index": 0, "delta": delta}))
        self._say(tri.AssistantMessage(message=tri.AssistantBody(content=[tri.TextBlock(text=text)], model="notes")))
        return text

    async def _permitted(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Ask whether a tool may run; gives what it is to run with, which may have been changed."""
        id = str(uuid4())
        self._questions[id], answered = trio.open_memory_channel[ControlSuccess | ControlError](1)
        self._say(ControlRequest(request_id=id, request=CanUseTool(tool_name=tool, input=arguments)))
        try:
            answer = await answered.receive()
        finally:
            del self._questions[id]
        if isinstance(answer, ControlError):
            raise PermissionError(answer.error)
        match answer.response:
            case {"input": dict() as permitted}:
                return permitted
            case reply:
                raise PermissionError((reply or {}).get("denied"))

    def _answer(self, answer: ControlSuccess | ControlError) -> None:
        self._say(ControlResponse(response=answer))

    def _say(self, message: tri.Message) -> None:
        self._sink([message])


async def ask_ada(request: tri.PermissionRequest) -> None:
    """Permit most."""
    if "secret" in str(request.input):
        await request.deny("That is no note.", by="Ada")
    else:
        await request.allow(by="Ada")


async def main() -> None:
    options = tri.Options(include_partial_messages=True)
    async with tri.open_manager(Notes(), options=options, on_permission=ask_ada) as manager:
        session = manager.session("slack:C1")
        await session.ask("Note: buy milk")
        await session.ask("Note: call Bob")
        async with session.turn("What is there to do?") as turn:
            print([tri.text(message) async for message in turn if isinstance(message, tri.StreamEvent)])

        denied = await session.send("Note: a secret")
        print((await denied.wait()).error)

        turn = await session.send("What is there to do?")
        await trio.sleep(0.12)
        print(await session.interrupt(), (await turn.wait()).kind)

        await session.hibernate()
        print((await session.ask("What is there to do?")).result, f"({session.resume_outcome})")


if __name__ == "__main__":
    trio.run(main)
