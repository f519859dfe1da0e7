"""The query and the client of Claude's SDK."""

from typing import Any, final

from triologue.agents import ClaudeCode
from triologue.options import Options
from triologue.sdk.claude.options import ClaudeAgentOptions, settled
from triologue.sdk.feed import Prompts
from triologue.sdk.vendor.client import VendorClient
from triologue.sdk.vendor.errors import as_vendor
from triologue.sdk.vendor.missing import refuse_transport
from triologue.sdk.vendor.query import VendorQuery


def query(*, prompt: Prompts, options: ClaudeAgentOptions | None = None, transport: None = None) -> VendorQuery:
    """Ask something and read everything that is said, with `async for`.

    As in the vendor's SDK, `ResultError` is raised behind a last result that is an error.

    Raises, here: `ValueError` for options that cannot be, `UnsupportedOption`. Raises, from the loop: the vendor's
    errors, or what an iterable of prompts raised.
    """
    refuse_transport("claude-code", transport)
    plain, agent = settled(options if options is not None else ClaudeAgentOptions())
    return VendorQuery(prompt, plain, agent, raises_error_results=True)


@final
class ClaudeSDKClient(VendorClient):
    """A conversation with Claude Code, turn by turn."""

    def __init__(self, options: ClaudeAgentOptions | None = None, transport: None = None) -> None:
        super().__init__()
        refuse_transport("claude-code", transport)
        self.options = options if options is not None else ClaudeAgentOptions()

    def _settled(self) -> tuple[Options, ClaudeCode]:
        return settled(self.options)

    async def connect(self, prompt: Prompts | None = None) -> None:
        """Start Claude Code; send the prompt, or what the async iterable gives, while replies are read."""
        await self._connect(prompt)

    async def query(self, prompt: Prompts, session_id: str = "default") -> None:
        """Send a prompt, or each of an async iterable. `session_id` selects nothing: Claude Code ignores it too."""
        with as_vendor():
            await self._connected().query(prompt)

    async def rewind_files(self, user_message_id: str) -> None:
        """Put files back as they were at a prompt; needs `enable_file_checkpointing=True`."""
        with as_vendor():
            await self._connected().rewind_files(user_message_id)

    async def get_context_usage(self) -> dict[str, Any]:
        """How full the model's context window is, and of what."""
        with as_vendor():
            return (await self._connected().get_context_usage()).data
