"""What a gateway counts."""

from msgspec import Struct


class GatewayStatistics(Struct, kw_only=True):
    """A gateway, as it stands."""

    connections: int = 0
    """Clients that have said `hello`."""
    handshakes: int = 0
    """Clients that have not yet."""
    viewers: int = 0
    """Attached sessions, of all connections together."""
    waiting_bytes: int = 0
    """Events that wait to be sent, of all connections together."""
    accepted: int = 0
    """Connections so far, those that asked over plain HTTP too."""
    requests: int = 0
    """Frames that asked for something."""
    failures: int = 0
    """Of them, those that got `failed`."""
    events: int = 0
    """Events sent, counted for each viewer."""
    bytes_sent: int = 0
    """In frames."""
    bytes_received: int = 0
    """In frames."""
    gaps: int = 0
    """Events that a viewer did not get live because it was slow, counted once for each time it fell behind."""
    slow_closes: int = 0
    """Connections that were closed because nothing was read for too long."""
    refused: int = 0
    """Connections that were let go at once: over a limit, no token, a foreign origin."""
