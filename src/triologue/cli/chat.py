"""`triologue chat`: one conversation after the other, in a terminal or from a pipe."""

import signal
import sys
from typing import final

import trio
from rich.console import Console
from rich.markup import escape

from triologue.actors import Turn
from triologue.cli.chat_view import TurnView, model_of
from triologue.cli.choosing import Choice, Wish, begin, choose, store_for
from triologue.cli.database import new_key
from triologue.cli.endings import ExitCode, exit_code_of, one_line, sole_error
from triologue.cli.interrupting import draining_on, on_every_interrupt
from triologue.cli.lines import LineReader
from triologue.errors import TriologueError
from triologue.manager import Session, SessionManager, folder_of, latest_of, open_manager
from triologue.messages import Outcome
from triologue.options import Options, without_identity

HELP = """\
/resume KEY_OR_ID  go on with another conversation
/resume            list those of this chat; at its beginning:
                   go on with the latest one of the folder
/fork              go on in a copy; the original stays as it is
/model [NAME]      use another model, or tell which one it is
/quit              leave (also Ctrl-D; Ctrl-C stops the answer)
All other commands go to the agent."""


async def hold_chat(wish: Wish, console: Console) -> ExitCode:
    """Chat until the user leaves or the input ends.

    Raises:
        TriologueError: the agent cannot be started, or the conversation not be gone on with.
    """
    has_left = False
    async with draining_on(signal.SIGTERM) as drain, store_for(wish) as store:
        choice = await choose(store, wish)
        async with open_manager(choice.agent, options=without_identity(choice.options), store=store) as drain.manager:
            session = await begin(drain.manager, choice, wish)
            chat = Chat(drain.manager, session, choice, console, is_terminal=sys.stdin.isatty())
            chat.greet()
            async with on_every_interrupt(chat.interrupt):
                with chat.scope:
                    await chat.hold(LineReader(sys.stdin.fileno()))
            await chat.rest()
            has_left = True
    if not has_left:
        return drain.code or ExitCode.FAILED
    if chat.is_terminal:
        chat.take_leave()
        return ExitCode.OK
    if chat.scope.cancelled_caught:
        return ExitCode.INTERRUPTED
    return ExitCode.FAILED if chat.has_failed else ExitCode.OK


@final
class Chat:
    """The state of a chat: which conversation is on, and which turn runs."""

    def __init__(
        self, manager: SessionManager, session: Session, choice: Choice, console: Console, *, is_terminal: bool
    ) -> None:
        self._manager = manager
        self._console = console
        self._choice = choice
        self._session = session
        self._sessions = [session]
        self._begun_here = {session.key} if choice.key is None else set[str]()
        self._turn: Turn | None = None
        self._models = {session.key: choice.options.model} if choice.options.model else dict[str, str]()
        """By key, what is used, as far as the agent or the user has told."""
        self._wanted: dict[str, str] = {}
        """By key, what is to be used where nothing was said yet; set at once, it would begin an empty conversation."""
        self._is_leaving = False
        self.is_terminal = is_terminal
        self.has_failed = False
        """A turn had no answer."""
        self.scope = trio.CancelScope()
        """Cancelled when the user leaves by Ctrl-C."""

    def greet(self) -> None:
        """Say who is there, where a person is."""
        if not self.is_terminal:
            return
        name, folder = self._choice.agent.name, self._choice.options.cwd
        self._console.print(
            f"[bold]{name}[/] in {escape(str(folder))}  [bright_black]/help lists the commands, Ctrl-D leaves[/]"
        )
        if self._choice.key is not None:
            self._say(f"going on with {self._session.key}; `triologue sessions show` has what was said")

    async def rest(self) -> None:
        """Let go of all conversations but the last one, which so is the latest, for `--continue`."""
        for session in self._sessions:
            if session != self._session:
                await session.hibernate()

    def take_leave(self) -> None:
        """Say how to go on, where there is something to go on with."""
        self._console.print()
        if self._manager.store is not None and self._session.session_id is not None:
            self._say(f"`triologue chat --resume {self._session.key}` goes on with this")

    async def hold(self, lines: LineReader) -> None:
        """Take lines in until there are no more."""
        while True:
            if self.is_terminal:
                self._console.print("\n[bold]>[/] ", end="")
            line = await lines.read()
            if line is None:
                break
            self._is_leaving = False
            line = line.strip()
            if not line:
                continue
            if self._manager.is_draining and not line.startswith("/"):
                self.has_failed = True
                self._say("asked to end, so nothing more is sent")
                break
            if not await self._take_in(line):
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
                    await self._resume(rest.strip())
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
        key = self._session.key
        if key in self._wanted:
            await self._session.set_model(self._wanted.pop(key))
        view = TurnView(self._console)
        self._turn = await self._session.send(prompt)
        try:
            async for message in self._turn:
                if (model := model_of(message)) is not None:
                    self._models[key] = model
                view.show(message)
            outcome = await self._turn.wait()
        finally:
            self._turn = None
        self._refuse_without_agent(outcome)
        view.end(outcome)
        if outcome.kind not in ("answered", "interrupted"):
            self.has_failed = True
            await self._forget_if_missing(outcome)

    def _refuse_without_agent(self, outcome: Outcome) -> None:
        if outcome.error is not None and exit_code_of(outcome.error) is ExitCode.NO_AGENT:
            raise sole_error(outcome.error)

    async def _forget_if_missing(self, outcome: Outcome) -> None:
        """A conversation that does not exist cannot go on: back to the one before, or a fresh one."""
        if outcome.error is None or exit_code_of(outcome.error) is not ExitCode.NO_SESSION:
            return
        self._sessions.remove(self._session)
        if self._session.key in self._begun_here:
            await self._manager.delete(self._session.key)  # nothing was said, and it can never begin
        if self._sessions:
            self._session = self._sessions[-1]
            self._say("back in the conversation before")
        else:
            self._session = self._open(None)
            self._say("the next message begins a fresh conversation")

    # Commands.

    async def _resume(self, wanted: str) -> None:
        if not wanted:
            await self._resume_latest()
            return
        known = next((each for each in self._sessions if wanted in (each.key, each.session_id)), None)
        self._session = known or await self._open_kept(wanted) or self._open(Options(resume=wanted))
        self._say(f"the next message goes on with {wanted}")

    async def _resume_latest(self) -> None:
        """Without a name: those of this chat; before anything was said, the latest of the folder."""
        begun = [each for each in self._sessions if each.session_id is not None]
        for each in begun:
            self._console.print(f"{'*' if each == self._session else ' '} {each.session_id}", markup=False)
        if begun:
            return
        store, agent = self._manager.store, self._choice.agent.name
        folder = folder_of(self._choice.options)
        latest = await latest_of(store.port, folder, agent=agent) if store is not None else None
        if latest is not None:
            self._session = await self._open_kept(latest.key) or self._session
        else:
            self._session = self._open(Options(continue_conversation=True))
        self._say("the next message goes on with the latest conversation of this folder")

    async def _open_kept(self, key_or_id: str) -> Session | None:
        store = self._manager.store
        head = await store.get_session(key_or_id) if store is not None else None
        if head is None:
            return None
        session = self._manager.session(head.key)
        if session not in self._sessions:
            self._sessions.append(session)
        return session

    async def _fork(self) -> None:
        original = self._session
        self._session = await original.fork(new_key("chat"))  # only it knows whether something was said in what is kept
        self._sessions.append(self._session)
        if original.key in self._models:
            self._models[self._session.key] = self._models[original.key]
        self._say(f"this is a copy now; /resume {original.session_id} goes back")

    async def _change_model(self, name: str) -> None:
        key, is_new = self._session.key, self._session.key in self._begun_here and self._session.session_id is None
        if name and is_new:
            self._wanted[key] = name
        elif name:
            await self._session.set_model(name)
        if name:
            self._models[key] = name
        default = self._choice.options.model or "the default of the agent" if is_new else "told with the next answer"
        self._say(f"the model is {self._models.get(key, default)}")

    def _open(self, options: Options | None) -> Session:
        session = self._manager.session(new_key("chat"), options=options)
        self._begun_here.add(session.key)
        self._sessions.append(session)
        return session

    def _say(self, said: str) -> None:
        self._console.print(f"({said})", style="bright_black", markup=False, soft_wrap=True)
