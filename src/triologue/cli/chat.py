"""`triologue chat`: one conversation after the other, in a terminal or from a pipe."""

import os
import signal
import sys
from typing import final

import trio
from rich.console import Console

from triologue.actors import Turn
from triologue.cli.chat_view import TurnView, model_of
from triologue.cli.endings import ExitCode, exit_code_of, one_line, sole_error
from triologue.cli.interrupting import draining_on, on_every_interrupt
from triologue.cli.lines import LineReader
from triologue.errors import TriologueError
from triologue.manager import Session, SessionManager, open_manager
from triologue.messages import Outcome
from triologue.options import Options, without_identity
from triologue.ports import Agent

HELP = """\
/resume ID     go on with another conversation
/resume        list those of this chat; at its beginning: go
               on with the latest one of the folder
/fork          go on in a copy; the original stays as it is
/model [NAME]  use another model, or tell which one it is
/quit          leave (also Ctrl-D; Ctrl-C stops the answer)
All other commands go to the agent."""


async def hold_chat(agent: Agent, options: Options, console: Console) -> ExitCode:
    """Chat until the user leaves or the input ends.

    Raises:
        TriologueError: the agent cannot be started.
    """
    has_left = False
    async with (
        draining_on(signal.SIGTERM) as drain,
        open_manager(agent, options=without_identity(options)) as drain.manager,
    ):
        chat = Chat(drain.manager, options, console, is_terminal=sys.stdin.isatty())
        if chat.is_terminal:
            folder = os.fspath(options.cwd or os.getcwd())  # noqa: PTH109 - a name to show
            console.print(
                f"[bold]{agent.name}[/] in {folder}  [bright_black]/help lists the commands, Ctrl-D leaves[/]"
            )
        async with on_every_interrupt(chat.interrupt):
            with chat.scope:
                await chat.hold(LineReader(sys.stdin.fileno()))
        has_left = True
    if not has_left:
        return drain.code or ExitCode.FAILED
    if chat.is_terminal:
        console.print()
        return ExitCode.OK
    if chat.scope.cancelled_caught:
        return ExitCode.INTERRUPTED
    return ExitCode.FAILED if chat.has_failed else ExitCode.OK


@final
class Chat:
    """The state of a chat: which conversation is on, and which turn runs."""

    def __init__(self, manager: SessionManager, options: Options, console: Console, *, is_terminal: bool) -> None:
        self._manager = manager
        self._console = console
        self._count = 0
        self._sessions: list[Session] = []
        self._session = self._open(options)
        self._turn: Turn | None = None
        self._model: str | None = options.model
        self._is_leaving = False
        self.is_terminal = is_terminal
        self.has_failed = False
        """A turn had no answer."""
        self.scope = trio.CancelScope()
        """Cancelled when the user leaves by Ctrl-C."""

    async def hold(self, lines: LineReader) -> None:
        """Take lines in until there are no more."""
        while True:
            if self.is_terminal:
                self._console.print("\n[bold]>[/] ", end="")
            line = await lines.read()
            if line is None:
                break
            self._is_leaving = False
            if not line.strip():
                continue
            if not await self._take_in(line.strip()):
                break

    def interrupt(self) -> None:
        """Ctrl-C: stop the turn that runs; without one ask, and the second time leave."""
        if self._turn is not None:
            self._turn.withdraw()
        if not self.is_terminal or self._is_leaving:
            self.scope.cancel()
        elif self._turn is not None:
            self._console.print()  # behind the `^C` that the terminal shows
        else:
            self._is_leaving = True
            self._console.print("\n[bright_black](Ctrl-C again, or Ctrl-D, leaves)[/]\n[bold]>[/] ", end="")

    async def _take_in(self, line: str) -> bool:
        """One line; False when it was the last one."""
        word, _, rest = line.partition(" ")
        try:
            match word:
                case "/quit" | "/exit":
                    return False
                case "/help":
                    self._console.print(HELP, markup=False)
                case "/resume":
                    self._resume(rest.strip())
                case "/fork":
                    await self._fork()
                case "/model":
                    await self._change_model(rest.strip())
                case _:
                    await self._ask(line)
        except TriologueError as error:
            if exit_code_of(error) is ExitCode.NO_AGENT:
                raise
            self.has_failed = True
            self._console.print(one_line(error), style="red", markup=False, soft_wrap=True)
        return True

    async def _ask(self, prompt: str) -> None:
        view = TurnView(self._console)
        self._turn = await self._session.send(prompt)
        try:
            async for message in self._turn:
                self._model = model_of(message) or self._model
                view.show(message)
            outcome = await self._turn.wait()
        finally:
            self._turn = None
        self._refuse_without_agent(outcome)
        view.end(outcome)
        if outcome.kind not in ("answered", "interrupted"):
            self.has_failed = True
            self._forget_if_missing(outcome)

    def _refuse_without_agent(self, outcome: Outcome) -> None:
        if outcome.error is not None and exit_code_of(outcome.error) is ExitCode.NO_AGENT:
            raise sole_error(outcome.error)

    def _forget_if_missing(self, outcome: Outcome) -> None:
        """A conversation that does not exist cannot go on: back to the one before, or a fresh one."""
        if outcome.error is None or exit_code_of(outcome.error) is not ExitCode.NO_SESSION:
            return
        self._sessions.remove(self._session)
        if self._sessions:
            self._session = self._sessions[-1]
            self._say("back in the conversation before")
        else:
            self._session = self._open(None)
            self._say("the next message begins a fresh conversation")

    # Commands.

    def _resume(self, session_id: str) -> None:
        known = {session.session_id: session for session in self._sessions if session.session_id is not None}
        if session_id in known:
            self._session = known[session_id]
        elif session_id:
            self._session = self._open(Options(resume=session_id))
        elif not known:
            self._session = self._open(Options(continue_conversation=True))
            self._say("the next message goes on with the latest conversation of this folder")
            return
        else:
            for known_id, session in known.items():
                self._console.print(f"{'*' if session == self._session else ' '} {known_id}", markup=False)
            return
        self._say(f"the next message goes on with {session_id}")

    async def _fork(self) -> None:
        original = self._session
        if original.session_id is None:
            self._say("nothing was said yet, so there is nothing to copy")
            return
        self._count += 1
        self._session = await original.fork(f"chat-{self._count}")
        self._sessions.append(self._session)
        self._say(f"this is a copy now; /resume {original.session_id} goes back")

    async def _change_model(self, name: str) -> None:
        if name:
            await self._session.set_model(name)
            self._model = name
        self._say(f"the model is {self._model or 'the default of the agent'}")

    def _open(self, options: Options | None) -> Session:
        self._count += 1
        session = self._manager.session(f"chat-{self._count}", options=options)
        self._sessions.append(session)
        return session

    def _say(self, said: str) -> None:
        self._console.print(f"({said})", style="bright_black", markup=False, soft_wrap=True)
