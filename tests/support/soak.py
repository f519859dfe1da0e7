"""Many conversations at once with agents that are killed, interrupted and put to sleep at random; what must hold of them.

Which things are done, to which session and after how long is drawn from a seed. What they meet is up to the machine.
"""

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import final

import trio

import triologue as tri
from tests.support.leftovers import descendants

STEP = 0.05  # s between two looks at the processes
WARDEN = "warden_process.py"
WEIGHED = 0.5  # s between two looks at their memory: reading it takes the kernel milliseconds


@final
class Soak:
    """A manager's conversations under random trouble.

    Args:
        manager: whose.
        sessions: how many.
        seed: of all that is drawn.
    """

    def __init__(self, manager: tri.SessionManager, sessions: int, seed: int) -> None:
        self.manager = manager
        self.keys = [f"s{number}" for number in range(sessions)]
        self.done: Counter[str] = Counter()
        """What was done to the sessions, by name."""
        self.kinds: Counter[str] = Counter()
        """How turns ended."""
        self.answered: dict[str, list[str]] = {key: [] for key in self.keys}
        """The prompts that were answered, by session, in order."""
        self.sent: dict[str, set[str]] = {key: set() for key in self.keys}
        """The ids of the turns that were accepted."""
        self.ended: dict[str, Counter[str]] = {key: Counter() for key in self.keys}
        """How many outcomes each turn had in its session's log."""
        self.odd: list[str] = []
        """Outcomes that nothing explains."""
        self._seed = seed
        self._is_over = False

    async def run(self, seconds: float) -> None:
        """Trouble them for so long; what was begun then is seen to its end."""
        async with trio.open_nursery() as watching:
            for key in self.keys:
                await watching.start(self._count_outcomes, key)
            async with trio.open_nursery() as talking:
                talking.start_soon(self._kill_now_and_then)
                for key in self.keys:
                    talking.start_soon(self._converse, key)
                await trio.sleep(seconds)
                self._is_over = True
            await trio.testing.wait_all_tasks_blocked()  # the last outcomes are counted
            watching.cancel_scope.cancel()

    async def _count_outcomes(self, key: str, task_status: trio.TaskStatus[None]) -> None:
        async with self.manager.session(key).subscribe() as events:
            task_status.started()
            async for event in events:
                if isinstance(event.message, tri.TurnEnded) and event.turn_id is not None:
                    self.ended[key][event.turn_id] += 1

    async def _kill_now_and_then(self) -> None:
        draw = random.Random(f"{self._seed} kill")
        while not self._is_over:
            await trio.sleep(draw.uniform(1, 4))
            pids = sorted(session.pid for session in self.manager.sessions() if session.pid is not None)
            if pids:
                self.done["killed"] += 1
                _kill(draw.choice(pids))

    async def _converse(self, key: str) -> None:
        draw = random.Random(f"{self._seed} {key}")
        session = self.manager.session(key)
        steps = [self._ask, self._ask_and_interrupt, self._ask_and_give_up, self._hibernate]
        number = 0
        while not self._is_over:
            number += 1
            (step,) = draw.choices(steps, (5, 2, 2, 1))
            await step(session, f"<{key}:{number}>", draw)

    async def _ask(self, session: tri.Session, prompt: str, draw: random.Random) -> None:
        self.done["asked"] += 1
        await self._see_through(session, prompt)

    async def _ask_and_interrupt(self, session: tri.Session, prompt: str, draw: random.Random) -> None:
        self.done["interrupted"] += 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._see_through, session, _slow(prompt))
            await trio.sleep(draw.uniform(0, 2))
            await session.interrupt()

    async def _ask_and_give_up(self, session: tri.Session, prompt: str, draw: random.Random) -> None:
        """The caller is cancelled; its retry under the same id finds the same turn, or is the first to be accepted."""
        self.done["gave up"] += 1
        # If it was killed before the caller gave up, that is an outcome, which is looked at below.
        with trio.move_on_after(draw.uniform(0, 2)), suppress(tri.TurnFailed):
            await session.ask(_slow(prompt), id=prompt)
        await self._see_through(session, _slow(prompt), prompt)

    async def _hibernate(self, session: tri.Session, prompt: str, draw: random.Random) -> None:
        self.done["hibernated"] += 1
        await session.hibernate()

    async def _see_through(self, session: tri.Session, prompt: str, turn_id: str | None = None) -> None:
        turn = await session.send(prompt, id=turn_id or prompt)
        self.sent[session.key].add(turn.id)
        outcome = await turn.wait()
        self.kinds[outcome.kind] += 1
        if outcome.kind == "answered":
            self.answered[session.key].append(prompt)
        # Who was killed has failed, and nobody fails for another reason.
        elif outcome.kind == "failed" and outcome.reason != "AgentCrashed":
            self.odd.append(f"{turn.id}: {outcome!r}")


def _slow(prompt: str) -> str:
    return f"[[words 20 delay 0.05]] {prompt}"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


@final
class Census:
    """Looks again and again at the agents below this process, which are those below its warden.

    What an agent starts itself is weighed, and not counted: until it runs its own program it looks like the agent.

    Args:
        program: the agent's.
    """

    def __init__(self, program: Path) -> None:
        self._program = str(program)
        self.most = 0
        """Agents that were alive at one time."""
        self.heaviest_kib = 0
        """What they and all below them weighed at one time, shared pages by share."""

    async def watch(self) -> None:
        """Look until cancelled."""
        next_weighing = trio.current_time()
        while True:
            found = descendants()
            wardens = [pid for pid, command in found.items() if WARDEN in command]
            agents = [pid for pid, command in found.items() if command.startswith(self._program)]
            self.most = max(self.most, sum(1 for pid in agents if _parent(pid) in wardens))
            if trio.current_time() >= next_weighing:
                self.heaviest_kib = max(self.heaviest_kib, weigh_kib(found))
                next_weighing = trio.current_time() + WEIGHED
            await trio.sleep(STEP)


def weigh_kib(processes: dict[int, str]) -> int:
    """What these processes weigh together without the warden, shared pages by share (PSS)."""
    return sum(_pss_kib(pid) for pid, command in processes.items() if WARDEN not in command)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0  # gone meanwhile


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # gone meanwhile
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
