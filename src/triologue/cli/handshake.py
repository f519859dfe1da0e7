"""Starting an agent the way conversations do, up to its answer to `initialize`, and no further."""

from typing import Any

import trio

from triologue.agents import open_carrier
from triologue.errors import AgentProtocolError, AgentStartError
from triologue.messages import ControlResponse, Message, ResultMessage
from triologue.options import Options
from triologue.ports import Agent, Connection
from triologue.wire import Answered, Dialogue, Refused


async def start_once(agent: Agent, options: Options, *, patience: float) -> dict[str, Any]:
    """Start the agent and let it go again; return what it told of itself.

    Args:
        agent: whom.
        options: how.
        patience: seconds until it has to have answered.

    Raises:
        TriologueError: why it does not start.
    """
    said, heard = trio.open_memory_channel[Message](float("inf"))

    def sink(batch: list[Message]) -> None:
        for message in batch:
            said.send_nowait(message)

    with trio.move_on_after(patience):
        async with open_carrier(grace=patience) as carrier, agent.connect(options, sink=sink, carrier=carrier) as link:
            dialogue = Dialogue()
            link.send(dialogue.ask(agent.initialize(options)))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_close_at_exit, link, said)
                answer, refusal = await _read_answer(dialogue, heard)
                nursery.cancel_scope.cancel()
            if answer is not None:
                return answer
            raise agent.diagnose(await link.wait_exit(), refusal, options)
    raise AgentStartError(f"it did not answer within {patience:g} s, and was stopped")


async def _close_at_exit(link: Connection, said: trio.MemorySendChannel[Message]) -> None:
    await link.wait_exit()
    said.close()


async def _read_answer(
    dialogue: Dialogue, heard: trio.MemoryReceiveChannel[Message]
) -> tuple[dict[str, Any] | None, ResultMessage | None]:
    """The answer to our request; or, where the agent went away, the result that it gave instead, if it did."""
    refusal = None
    async for message in heard:
        if isinstance(message, ResultMessage):
            refusal = message
        elif isinstance(message, ControlResponse):
            match dialogue.hear(message):
                case Answered(response=answer):
                    return answer, refusal
                case Refused(error=error):
                    raise AgentProtocolError(f"it refused the handshake: {error}")
                case _:
                    pass
    return None, refusal
