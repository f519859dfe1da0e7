"""How much a gateway takes from its clients, and how long it waits for them (`GatewayLimits`)."""

from msgspec import Struct

from triologue.errors import InvalidOption, brief


class GatewayLimits(Struct, frozen=True, kw_only=True):
    """How much there may be, and what happens beyond it. Times are in seconds."""

    connections: int = 4_096
    """WebSockets at the same time; one more is refused with HTTP 503."""
    connections_per_token: int = 64
    """Of those the ones with one token, where there are tokens; one more is closed with 4429."""
    handshakes: int = 512
    """Clients that have not said `hello` yet; of more, the one that has been at it for longest is cut off."""
    hello: float = 10.0
    """From the connection to its `hello`, or to the head of a plain HTTP request; then it is closed, a WebSocket with 4408."""
    frame_bytes: int = 4 * 1024 * 1024
    """A longer frame ends the connection with 1009."""
    depth: int = 64
    """Of the JSON in a frame; what is deeper is refused as `invalid`."""
    containers: int = 50_000
    """Arrays and objects in a frame, which hold everybody up while they are read; braces and brackets in its texts count
    too. A frame with more is refused as `invalid`."""
    refusals: int = 100
    """Frames of one connection that were no requests; one more ends it with 4429."""
    attached: int = 1_000
    """Sessions that one connection is attached to; one more is refused as `too_many`."""
    requests: int = 64
    """Requests of one connection that are worked on; one more is refused as `too_many`. Interrupts have a count of
    their own."""
    prompts_per_second: float = 50.0
    """Of one token, and as many at once; one more is refused as `too_many`. What may begin a session is counted as a
    prompt: `command`, `change`, `fork` and `reset`. One that was accepted may be said again at any time, under its id."""
    viewer_bytes: int = 4 * 1024 * 1024
    """Events that wait for one connection. Beyond that, partial text is joined; then what waits of a session is dropped, and
    is read from its log again once there is room, with a `#gap` for what is not kept."""
    stall: float = 30.0
    """How long a connection may take nothing of what it is sent, or answer no ping; then it is closed with 4430."""
    keep_alive: float = 20.0
    """Between two pings."""


def check_gateway_limits(limits: GatewayLimits) -> None:
    """Refuse limits that cannot work.

    Raises:
        InvalidOption: that is so.
    """
    if not isinstance(limits, GatewayLimits):
        raise InvalidOption(f"limits are GatewayLimits(...), not {brief(limits)}")
    for name in limits.__struct_fields__:
        value, default = getattr(limits, name), GatewayLimits.__struct_defaults__[limits.__struct_fields__.index(name)]
        kinds = (int,) if isinstance(default, int) else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool) or not value > 0:
            what = "whole number of 1 or more" if isinstance(default, int) else "number above 0"
            raise InvalidOption(f"GatewayLimits({name}={brief(value)}) is no {what}")
