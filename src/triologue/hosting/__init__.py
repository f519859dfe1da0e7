"""What this program does for its agents while they work: hooks, tools, and the questions of vendors."""

from triologue.hosting.callbacks import (
    CallbackError as CallbackError,
    Unsupported as Unsupported,
    run_callback as run_callback,
)
from triologue.hosting.gates import Tokens as Tokens
from triologue.hosting.hooks import wire_hooks as wire_hooks
from triologue.hosting.mcp_hosts import StartSoon as StartSoon
from triologue.hosting.results import result_callbacks as result_callbacks, result_of as result_of
from triologue.hosting.servers import (
    McpServer as McpServer,
    create_sdk_mcp_server as create_sdk_mcp_server,
    declared_servers as declared_servers,
    local_servers as local_servers,
    tool_definitions as tool_definitions,
)
from triologue.hosting.service import (
    Service as Service,
    check_callbacks as check_callbacks,
)
