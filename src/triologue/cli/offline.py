"""The built-in agent as the command has it: its offline model, at the pace of a reader, and a tool to try."""

from triologue.agents import Embedded
from triologue.engine import OfflineModel, Transcripts

PACE = 0.03
"""Seconds before each word in a chat, so that it can be read, and stopped."""


def offline_agent(*, pace: float = 0.0, transcripts: Transcripts | None = None) -> Embedded:
    """The built-in agent.

    Args:
        pace: seconds before each word.
        transcripts: where conversations are kept; None: with all others of this process.
    """
    return Embedded(model=OfflineModel(piece_delay=pace), tools=[add], transcripts=transcripts)


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
