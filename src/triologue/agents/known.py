"""The agents by the names that a person or a variable calls them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from triologue.agents.claude_code import ClaudeCode
from triologue.agents.cortex import CortexCode
from triologue.agents.embedded import Embedded
from triologue.agents.qoder import Qoder
from triologue.ports import Agent

AGENTS: Mapping[str, Callable[[], Agent]] = MappingProxyType(
    {"claude-code": ClaudeCode, "qoder": Qoder, "cortex-code": CortexCode, "embedded": Embedded}
)
"""How each is made, with nothing set."""
DEFAULT_AGENT = "claude-code"
"""Who answers where nobody is named."""
