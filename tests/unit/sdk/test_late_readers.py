"""`receive_messages()` by chance: whoever reads late, slowly and in pieces is given each message once and in order."""

from collections import Counter
from random import Random

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from triologue.stores import MemoryStore
from triologue.testing import Say, ScriptedAgent, Wait
from triologue.testing.script import Step

# Within what the log keeps; beyond that; beyond what a turn keeps.
SIZES = ([1, 50], [1, 3_000, 9_000], [1, 9_000, 1_500_000, 5_000_000])


def name_of(message: tri.Message) -> list[str]:
    """What it is called, if it is part of a reply."""
    if isinstance(message, tri.AssistantMessage):
        return [tri.text(message)[:24].split("|")[0]]
    return [f"end of {(message.result or '')[:24].split('|')[0]}"] if isinstance(message, tri.ResultMessage) else []


class Run:
    """One conversation: prompts, what the agent says of its own accord, and who reads."""

    def __init__(self, seed: int) -> None:
        self._chance = chance = Random(seed)
        self._seed = seed
        self._sizes = chance.choice(SIZES)
        self._prompts = [f"p{number}" for number in range(chance.randint(2, 8))]
        self._has_two_senders = chance.random() < 0.3
        # Who is behind a gap that comes while it reads cannot tell in which order two tasks were served.
        self._pause = 0 if self._has_two_senders else chance.choice([0, 0, 1, 20])
        self._leaves = chance.choice([0, 0.3, 1])
        self._agent = ScriptedAgent(self._reply, max_message_bytes=2**26)
        self.said: list[str] = []
        self.heard: list[str] = []
        self.gaps = 0

    def _reply(self, prompt: str) -> list[Step]:
        chance, steps = Random(f"{self._seed} {prompt}"), list[Step]()
        for number in range(chance.randint(1, 6)):
            steps.append(Say(f"{prompt} {number}|{'x' * chance.choice(self._sizes)}"))
            if chance.random() < 0.4:
                steps.append(Wait(chance.choice([0.5, 1, 3])))
        return steps

    async def run(self) -> None:
        """Until all is said and read."""
        chance = self._chance
        store = MemoryStore(now=trio.current_time) if chance.random() < 0.4 else None
        options = tri.Options(include_partial_messages=chance.random() < 0.3)
        async with tri.Client(options, self._agent, store) as client, trio.open_nursery() as nursery:
            await nursery.start(self._watch, client)
            middle = len(self._prompts) // 2 if self._has_two_senders else 0
            nursery.start_soon(self._send, client, self._prompts[:middle])
            nursery.start_soon(self._send, client, self._prompts[middle:])
            nursery.start_soon(self._say_of_its_own, chance.choice([0, 0, 1, 3]))
            await trio.sleep(chance.choice([0, 0.1, 1, 3, 50]))
            with trio.move_on_after(3000):
                while True:
                    await self._read(client)
            nursery.cancel_scope.cancel()

    async def _watch(self, client: tri.Client, task_status: trio.TaskStatus[None]) -> None:
        assert client._hold is not None
        async with client._hold.session.subscribe() as events:
            task_status.started()
            async for event in events:
                self.said += name_of(event.message)

    async def _send(self, client: tri.Client, prompts: list[str]) -> None:
        for prompt in prompts:
            await client.query(prompt)
            await trio.sleep(self._chance.choice([0, 0, 0, 1, 5]))

    async def _say_of_its_own(self, times: int) -> None:
        while not self._agent.connections:
            await trio.sleep(0.5)
        for number in range(times):
            await trio.sleep(self._chance.choice([0, 1, 4]))
            self._agent.connection.begin_turn(Say(f"own {number}|{'x' * self._chance.choice([1, 2000])}"))

    async def _read(self, client: tri.Client) -> None:
        chance = self._chance
        async for message in client.receive_messages():
            self.heard += name_of(message)
            self.gaps += isinstance(message, tri.Gap)
            if self._pause and chance.random() < 0.3:
                await trio.sleep(self._pause)
            if isinstance(message, tri.ResultMessage) and chance.random() < self._leaves:
                await trio.sleep(chance.choice([0, 0, 2]))
                return


@pytest.mark.parametrize("seed", range(40))
async def test_each_message_comes_once_and_in_order_or_a_gap_does(autojump_clock: MockClock, seed: int) -> None:
    run = Run(seed)
    await run.run()
    assert max(Counter(run.heard).values()) == 1
    assert run.heard == sorted(run.heard, key=run.said.index)
    missed = [name for name in run.said if name not in run.heard]
    assert not [name for name in missed if name.startswith("end of p")]  # who waits for one would wait for ever
    assert run.gaps or not missed
