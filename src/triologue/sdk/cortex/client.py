"""The query, the client and the fork of Cortex Code's SDK."""

from typing import Any, final

import msgspec
import trio

from triologue.agents import CortexCode
from triologue.messages import InitMessage
from triologue.options import Options
from triologue.sdk.cortex.options import CortexCodeAgentOptions, settled
from triologue.sdk.feed import Prompts
from triologue.sdk.vendor.client import VendorClient
from triologue.sdk.vendor.errors import as_vendor
from triologue.sdk.vendor.missing import refuse_transport
from triologue.sdk.vendor.query import VendorQuery

# Seconds from the answer to the handshake to the `init` message, which comes without a prompt.
GREETING = 60.0


def query(*, prompt: Prompts, options: CortexCodeAgentOptions | None = None, transport: None = None) -> VendorQuery:
    """Ask something and read everything that is said, with `async for`. Error results are messages like any other.

    Raises, here: `ValueError` for options that cannot be, `InvalidOptionValueError`, `UnsupportedOption`. Raises, from
    the loop: the vendor's errors, or what an iterable of prompts raised.
    """
    refuse_transport("cortex-code", transport)
    plain, agent = settled(options if options is not None else CortexCodeAgentOptions())
    return VendorQuery(prompt, plain, agent, raises_error_results=False)


@final
class CortexCodeSDKClient(VendorClient):
    """A conversation with the Cortex Code CLI, turn by turn."""

    def __init__(self, options: CortexCodeAgentOptions | None = None, transport: None = None) -> None:
        super().__init__()
        refuse_transport("cortex-code", transport)
        self.options = options if options is not None else CortexCodeAgentOptions()

    def _settled(self) -> tuple[Options, CortexCode]:
        return settled(self.options)

    async def connect(self) -> None:
        """Start the CLI."""
        await self._connect()

    async def query(self, prompt: Prompts, session_id: str = "default") -> None:
        """Send a prompt, or each of an async iterable. `session_id` selects nothing: there is one conversation."""
        with as_vendor():
            await self._connected().query(prompt)

    async def authenticate_mcp_server(self, server_name: str) -> None:
        """Begin to log in to an MCP server."""
        with as_vendor():
            await self._connected().mcp_authenticate(server_name)

    async def set_mcp_servers(self, servers: dict[str, Any]) -> dict[str, Any]:
        """Replace the MCP servers that were added this way: `{"added", "removed", "errors"}`."""
        with as_vendor():
            return (await self._connected().set_mcp_servers(servers)).data


async def fork_session(
    session_id: str, base_options: CortexCodeAgentOptions | None = None, *, up_to_message_id: str | None = None
) -> str:
    """Copy a conversation, and give the copy's id. Starts the CLI, and asks it nothing.

    Args:
        session_id: the conversation to copy; it stays as it is.
        base_options: where and how.
        up_to_message_id: the uuid of the last message to copy; None: all of it.

    Raises:
        RuntimeError: the CLI did not tell the copy's id.
        CLIConnectionError, ProcessError: it did not start, or does not know the conversation.
    """
    options = msgspec.structs.replace(
        base_options if base_options is not None else CortexCodeAgentOptions(),
        resume=session_id,
        fork_session=True,
        resume_session_at=up_to_message_id,
    )
    async with CortexCodeSDKClient(options) as client:
        with trio.move_on_after(GREETING):
            async for message in client.receive_messages():
                if isinstance(message, InitMessage) and message.session_id:
                    return message.session_id
    raise RuntimeError("fork_session: the CLI did not tell the id of the copy")
