"""What the model is given: the functions of the program, the host's MCP tools, sub-agents, structured output."""

from collections.abc import Iterator

from triologue.engine import subagents
from triologue.engine.conversation import NOTHING, Conversation
from triologue.engine.structured import structured_output_tool
from triologue.engine.toolbox import EngineTool, function_tool


def equip(conversation: Conversation) -> None:
    """Put its tools together anew, without those that its rules take away.

    Raises:
        InvalidOption: there is no tool for the schema that is wanted.
    """
    removes = conversation.permissions.removes
    conversation.tools = {tool.name: tool for tool in _all(conversation) if not removes(tool.name)} or NOTHING


def _all(conversation: Conversation) -> Iterator[EngineTool]:
    setup = conversation.setup
    for tool in setup.tools:
        yield function_tool(tool, setup.guards.get(tool.name))
    yield from conversation.servers.tools()
    if conversation.agents:
        yield subagents.task_tool(conversation)
    if conversation.output_schema is not None:
        yield structured_output_tool(conversation.output_schema)
