"""Slash commands: prompts that the agent itself answers."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from triologue.engine.conversation import CHARACTERS_PER_TOKEN, Conversation
from triologue.engine.ending import Ending, Tally, api_error, error_frame, synthetic_frame
from triologue.errors import ModelError
from triologue.messages import CompactBoundaryMessage, ConversationReset, TextBlock, UserMessage, text
from triologue.ports import ModelRequest

Command: TypeAlias = Callable[[Conversation, Tally, str], Awaitable[Ending]]
"""Takes the words behind the command too."""

SUMMARIZE = (
    "Summarize the conversation so far, so that it can go on from your summary alone: what the user told you and "
    "wants, what was done, and what is open."
)
SUMMARY = "This conversation goes on from an earlier one. Its summary:\n\n"


def find_command(prompt: UserMessage) -> tuple[Command, str] | None:
    """The command that a prompt calls, and the words behind it; none when its host says that it is verbatim."""
    match prompt.content:
        case str(said) | [TextBlock(text=said)] if not prompt.client_composed:
            word, _, words = said.strip().partition(" ")
        case _:
            return None
    command = _COMMANDS.get(word)
    return (command, words.strip()) if command is not None else None


async def clear(conversation: Conversation, tally: Tally, words: str) -> Ending:
    """Begin a fresh conversation; the old one is kept under its id."""
    if "SessionEnd" in conversation.hooks:
        await conversation.hooks.fire("SessionEnd", {"reason": "clear"}, subject="clear")
    fresh = conversation.transcript.clear(conversation.new_id())
    reset = ConversationReset(
        new_conversation_id=fresh.session_id,
        session_id=conversation.session_id,
        uuid=conversation.new_id(),
        trigger="clear",
    )
    conversation.transcript = fresh
    conversation.source = "clear"
    conversation.say(reset, conversation.init())
    return Ending(subtype="success", result="")


async def compact(conversation: Conversation, tally: Tally, words: str) -> Ending:
    """Let the model sum up, and go on from that."""
    conversation.begin_turn()
    transcript = conversation.transcript
    if not transcript.entries:
        conversation.say(synthetic_frame(conversation, "There is nothing to compact yet."))
        return Ending(subtype="success", result="")
    instructions = words
    if "PreCompact" in conversation.hooks:
        fields = {"trigger": "manual", "custom_instructions": words or None}
        asked = await conversation.hooks.fire("PreCompact", fields, subject="manual")
        objection = asked.blocked if asked.stopped is None else asked.stopped
        if objection is not None:
            conversation.say(synthetic_frame(conversation, f"A hook stopped the compaction: {objection}"))
            return Ending(subtype="success", result="")
        instructions = "\n".join((words, *asked.contexts)).strip()
    before = transcript.size
    conversation.say(conversation.status("compacting"))
    wanted = f"{SUMMARIZE}\n\n{instructions}" if instructions else SUMMARIZE
    messages = (*transcript.messages(), {"role": "user", "content": wanted})
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
    if "PostCompact" in conversation.hooks:
        fields = {"trigger": "manual", "compact_summary": text(reply.content)}
        await conversation.hooks.fire("PostCompact", fields, subject="manual")
    return Ending(subtype="success", result="")


async def cost(conversation: Conversation, tally: Tally, words: str) -> Ending:
    """Tell what the session has cost."""
    told = conversation.cost_text()
    conversation.begin_turn()
    conversation.say(synthetic_frame(conversation, told))
    return Ending(subtype="success", result=told)


_COMMANDS: dict[str, Command] = {"/clear": clear, "/compact": compact, "/cost": cost}
