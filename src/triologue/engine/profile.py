"""How the built-in agent presents itself: as what it is, or as the program of a vendor."""

from typing import Any

from msgspec import Struct, field

from triologue.engine.permissions import PERMISSION_MODES

CAPABILITIES = ("interrupt_receipt_v1", "interrupt_cancel_queued_v1", "msg_lifecycle_v1")


class Profile(Struct, frozen=True, kw_only=True):
    """What differs between agents of the same protocol, where the engine has to know it.

    What is only a matter of how a frame looks is changed on the way out, by whoever carries the frames.
    """

    provider: str = "embedded"
    """Who is behind the account that `initialize` tells about."""
    claude_code_version: str | None = None
    qodercli_version: str | None = None
    protocol_version: str | None = None
    capabilities: tuple[str, ...] = CAPABILITIES
    permission_modes: tuple[str, ...] = PERMISSION_MODES
    """The ones that the agent takes."""
    initialize: dict[str, Any] = field(default_factory=dict[str, Any])
    """More keys of the answer to `initialize`."""
    greets: bool = False
    """`init` is said right behind the answer to `initialize`, and not again at the beginning of every turn."""
    mcp_status_key: str = "mcpServers"
    """Where the answer to `mcp_status` has the servers."""
