"""A model for the built-in agent that costs next to nothing."""

from collections.abc import Callable

from triologue.messages import TextBlock
from triologue.ports import ModelReply, ModelRequest


class Terse:
    """A model that says little, so that what is measured is not its answers."""

    name = "terse"

    async def reply(self, request: ModelRequest, emit: Callable[[str], None]) -> ModelReply:
        """Answer at once."""
        return ModelReply(content=[TextBlock(text="Noted.")], stop_reason="end_turn", model=self.name)
