"""What differs between the three programs that the agent can stand in for."""

from collections.abc import Callable

from msgspec import Struct

from triologue.engine.histories import CLAUDE, CORTEX, QODER, FolderRules
from triologue.engine.permissions import PERMISSION_MODES
from triologue.engine.profile import Profile
from triologue.messages import Message
from triologue.standin.output import encode_ascii, encode_raw, encode_unspaced

# The versions whose protocol this is. SDKs refuse or warn below a minimum: 2.1.248, 0.2.0 and 1.0.35.
CLAUDE_VERSION = "2.1.329"
QODER_VERSION = "1.1.76"
QODER_PROTOCOL = "1.5.0"
CORTEX_VERSION = "1.0.35"


class Dialect(Struct, frozen=True, kw_only=True):
    """One program."""

    program: str
    """Its name, as its help shows it."""
    version: str
    profile: Profile
    """What the engine has to know."""
    encode: Callable[[Message], bytes]
    folders: FolderRules
    """Where its SDK looks for histories."""


DIALECTS = {
    "claude": Dialect(
        program="claude",
        version=CLAUDE_VERSION,
        profile=Profile(
            claude_code_version=CLAUDE_VERSION,
            initialize={"claude_code_version": CLAUDE_VERSION},
        ),
        encode=encode_raw,
        folders=CLAUDE,
    ),
    "qoder": Dialect(
        program="qodercli",
        version=QODER_VERSION,
        profile=Profile(
            qodercli_version=QODER_VERSION,
            protocol_version=QODER_PROTOCOL,
            initialize={"skills": []},
            mcp_status_key="servers",
        ),
        encode=encode_unspaced,
        folders=QODER,
    ),
    "cortex": Dialect(
        program="cortex",
        version=CORTEX_VERSION,
        profile=Profile(
            permission_modes=(*PERMISSION_MODES, "autoAcceptPlans"),
            greets=True,
        ),
        encode=encode_ascii,
        folders=CORTEX,
    ),
}
