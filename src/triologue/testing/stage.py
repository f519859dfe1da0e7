"""What the operations of a program work on."""

from typing import final

import trio

from triologue.actors import Turn
from triologue.errors import StoreError
from triologue.manager import PermissionRequest, Session, SessionManager
from triologue.testing.history import CALL, Call, History, Seen
from triologue.testing.script import Script
from triologue.testing.scripted_agent import ScriptedAgent


@final
class Stage:
    """What operations work on while a program runs."""

    def __init__(
        self,
        history: History,
        agent: ScriptedAgent,
        manager: SessionManager,
        permissions: list[PermissionRequest],
        readers: trio.Nursery,
    ) -> None:
        self.history = history
        self.agent = agent
        self.manager = manager
        self.turns: dict[int, list[Turn]] = {}
        """Turns that somebody holds, by the number of their session."""
        self.permissions = permissions
        """Every permission request that came, oldest first."""
        self.model: object = None
        """For your own operations: whatever they share."""
        self._calls: dict[trio.lowlevel.Task, Call] = {}
        self._readers = readers
        self._watched: set[int] = set()

    def begin(self, call: Call) -> None:
        """This task makes a call from now on."""
        self._calls[trio.lowlevel.current_task()] = call
        self.history.begin(call)

    @property
    def call(self) -> Call:
        """The call that this task makes."""
        return self._calls[trio.lowlevel.current_task()]

    @property
    def meta(self) -> dict[str, str]:
        """What a prompt of this call carries along, so that its turn is known for this call's."""
        return {CALL: str(self.call.number)}

    def key(self, number: int) -> str:
        """The key of the n-th session."""
        return f"s{number}"

    def session(self, number: int) -> Session:
        """The n-th session, from 0."""
        return self.manager.session(self.key(number))

    def prompt(self, script: Script) -> str:
        """A prompt of this call, at which the agent does this; it says the prompt, where the script is empty."""
        prompt = f"m{self.call.number}."
        if script:
            self.agent.on(prompt, *script)
        return prompt

    def add_turn(self, session: int, turn: Turn) -> None:
        """A turn that others may cancel."""
        self.turns.setdefault(session, []).append(turn)

    async def watch(self, number: int) -> None:
        """Write down everything that a session tells from now on, and what it kept."""
        if number not in self._watched:
            self._watched.add(number)
            with trio.CancelScope(shield=True):
                await self._readers.start(self._read, number, name=f"reader of {self.key(number)}")

    async def _read(self, number: int, task_status: trio.TaskStatus[None]) -> None:
        after, is_told = 0, False
        while True:
            try:
                async with self.session(number).subscribe(after=after) as events:
                    if not is_told:
                        task_status.started()
                        is_told = True
                    async for event in events:
                        after = event.seq or after
                        self.history.saw(Seen(time=trio.current_time(), key=self.key(number), event=event))
                return
            except StoreError:  # of a faulty store: it goes on where it was
                await trio.sleep(1)
