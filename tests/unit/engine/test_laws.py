"""What holds for every conversation, whatever is said in it and whenever."""

import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock

from tests.unit.engine.stage import open_engine, tell
from triologue.engine import OfflineModel
from triologue.messages import CancelAsyncMessage, CommandLifecycle, ControlResponse, Interrupt, ResultMessage


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def nap(seconds: float) -> str:
    """Sleep."""
    await trio.sleep(seconds)
    return "slept"


PROMPTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "Count to 9",
            "call add(a=1, b=2) 3 times",
            "call nap(seconds=3) call nope()",
            "Fail: no",
            "/clear",
            "/compact",
        ]
    ),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.5, 2.0, 30.0]),
        st.one_of(PROMPTS, st.builds(Interrupt, cancel_queued=st.booleans()), st.integers(0, 5)),
    ),
    max_size=12,
)


@given(steps=STEPS, partial=st.booleans(), max_turns=st.sampled_from([None, 2]))
def test_every_prompt_has_one_end_and_every_request_one_answer(
    steps: list[tuple[float, str | Interrupt | int]], partial: bool, max_turns: int | None
) -> None:
    async def main() -> None:
        prompts = requests = 0
        model = OfflineModel(piece_delay=1)
        async with open_engine(
            model=model, tools=[add, nap], include_partial_messages=partial, max_turns=max_turns
        ) as host:
            for pause, step in steps:
                await trio.sleep(pause)
                if isinstance(step, str):
                    host.send(host.prompt(step, f"p{prompts}", verbatim=False))
                    prompts += 1
                else:
                    asked = step if isinstance(step, Interrupt) else CancelAsyncMessage(message_uuid=f"p{step}")
                    host.send(host.request(asked))
                    requests += 1

        story = "\n".join(map(tell, host.said))
        states: dict[str, list[str]] = {f"p{number}": [] for number in range(prompts)}
        for message in host.said:
            if isinstance(message, CommandLifecycle):
                states[message.command_uuid].append(message.state)
        started = [uuid for uuid, told in states.items() if "started" in told]
        answered = [message.user_message_uuid for message in host.said if isinstance(message, ResultMessage)]
        assert answered == started, story  # one result each, in the order in which they came
        for told in states.values():
            assert told in (
                ["queued", "started", "completed"],
                ["queued", "started", "cancelled"],
                ["queued", "cancelled"],
            ), story
        assert sum(isinstance(message, ControlResponse) for message in host.said) == requests
        assert host.exit is not None
        assert host.exit.stderr_tail == ""

    trio.run(main, clock=MockClock(autojump_threshold=0))
