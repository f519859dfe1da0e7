"""Slash commands: prompts that the agent itself answers."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from triologue.engine.conversation import CHARACTERS_PER_TOKEN, Conversation
from triologue.engine.ending import Ending, Tally, api_error, error_frame, synthetic_frame
from triologue.errors import ModelError
from triologue.messages import CompactBoundaryMessage, ConversationReset, UserMessage, text
from triologue.ports import ModelRequest

Command: TypeAlias = Callable[[Conversation, Tally], Awaitable[Ending]]

SUMMARIZE = (
    "Summarize the conversation so far, so that it can go on from your summary alone: what the user told you and "
    "wants, what was done, and what is open."
)
SUMMARY = "This conversation goes on from an earlier one. Its summary:\n\n"


def find_command(prompt: UserMessage) -> Command | None:
    """The command that a prompt calls, unless its host says that it is verbatim."""
    if prompt.client_composed or not isinstance(prompt.content, str):
        return None
    word, _, _ = prompt.content.strip().partition(" ")
    return _COMMANDS.get(word)


async def clear(conversation: Conversation, tally: Tally) -> Ending:
    """Begin a fresh conversation; the old one is kept under its id."""
    fresh = conversation.transcript.clear(conversation.new_id())
    reset = ConversationReset(
        new_conversation_id=fresh.session_id,
        session_id=conversation.session_id,
        uuid=conversation.new_id(),
        trigger="clear",
    )
    conversation.transcript = fresh
    conversation.say(reset, conversation.init())
    return Ending(subtype="success", result="")


async def compact(conversation: Conversation, tally: Tally) -> Ending:
    """Let the model sum up, and go on from that."""
    conversation.say(conversation.init())
    transcript = conversation.transcript
    if not transcript.entries:
        conversation.say(synthetic_frame(conversation, "There is nothing to compact yet."))
        return Ending(subtype="success", result="")
    before = transcript.size
    conversation.say(conversation.status("compacting"))
    messages = (*transcript.messages(), {"role": "user", "content": SUMMARIZE})
    request = ModelRequest(model=conversation.model, system=None, messages=messages)
    try:
        reply = await conversation.setup.model.reply(request, lambda piece: None)
    except ModelError as error:
        conversation.say(error_frame(conversation, error, None))
        return api_error(error)
    conversation.charge(reply)
    tally.count(reply)
    transcript.entries.clear()
    transcript.add("user", SUMMARY + text(reply.content), [conversation.new_id()])
    boundary = CompactBoundaryMessage(
        subtype="compact_boundary",
        session_id=conversation.session_id,
        uuid=conversation.new_id(),
        compact_metadata={
            "trigger": "manual",
            "pre_tokens": before // CHARACTERS_PER_TOKEN,
            "post_tokens": transcript.size // CHARACTERS_PER_TOKEN,
        },
    )
    conversation.say(conversation.status(None), boundary)
    return Ending(subtype="success", result="")


async def cost(conversation: Conversation, tally: Tally) -> Ending:
    """Tell what the session has cost."""
    told = conversation.cost_text()
    conversation.say(conversation.init(), synthetic_frame(conversation, told))
    return Ending(subtype="success", result=told)


_COMMANDS: dict[str, Command] = {"/clear": clear, "/compact": compact, "/cost": cost}
