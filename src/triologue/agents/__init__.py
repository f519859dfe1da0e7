"""The agents that can hold a conversation, and what carries their processes."""

from triologue.agents.claude_code import ClaudeCode as ClaudeCode
from triologue.agents.embedded import Embedded as Embedded
from triologue.agents.process import open_carrier as open_carrier
