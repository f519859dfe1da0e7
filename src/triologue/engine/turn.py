"""One turn of the built-in agent: a prompt on its way to its result."""

from typing import Any, final

import trio

from triologue.engine.commands import find_command
from triologue.engine.conversation import NOTHING, Conversation
from triologue.engine.ending import Ending, Tally, result_message, unkept
from triologue.engine.loop import Loop, Settle
from triologue.engine.thread import Thread
from triologue.messages import UserMessage, text
from triologue.messages.message import plain


@final
class Turn:
    """A prompt, what it causes, and the result that ends it."""

    def __init__(self, conversation: Conversation, prompt: UserMessage, settle: Settle) -> None:
        self._conversation = conversation
        self._prompt = prompt
        self._answers = [prompt.uuid] if prompt.uuid else None
        self._tally = Tally()
        self._thread = Thread(conversation)
        self._loop = Loop(self._thread, self._tally, settle, self._answers, self._fold)
        self._folded: list[UserMessage] = []
        """Prompts that went into this turn while it ran."""

    async def run(self, scope: trio.CancelScope) -> None:
        """Run it to its result. Cancelling `scope`, also before this is called, interrupts it."""
        conversation = self._conversation
        conversation.prompt_id = self._prompt.uuid or conversation.new_id()
        conversation.denials = []
        conversation.say(*conversation.lifecycle(self._prompt, "started"))
        command = find_command(self._prompt)
        ending = None
        with scope:
            if not conversation.servers.is_settled:
                await conversation.servers.wait_settled()
            if command is None:
                ending = await self._converse()
            else:
                ending = await command[0](conversation, self._tally, command[1])
        if conversation.unkept is not None:
            ending = unkept(conversation.unkept)
        elif ending is None:
            ending = self._loop.abort()
        self._end(ending)

    def _end(self, ending: Ending) -> None:
        conversation = self._conversation
        uuids = [prompt.uuid for prompt in (self._prompt, *self._folded) if prompt.uuid]
        conversation.transcript.settle(uuids, ending.state)
        conversation.keep(conversation.transcript)
        if conversation.unkept is not None:
            ending = unkept(conversation.unkept)
        conversation.last_failed = ending.is_error
        result = result_message(conversation, self._tally, ending, self._prompt, uuids)
        conversation.results += 1
        conversation.recent_usage = NOTHING
        # Those that were folded come before the result, as in Claude Code, and the turn's own after it.
        folded = [told for prompt in self._folded for told in conversation.lifecycle(prompt, ending.state)]
        conversation.say(*folded, result, *conversation.lifecycle(self._prompt, ending.state))

    def _fold(self) -> None:
        """Take into this turn what was sent to steer it. Where a hook looks at prompts, each is a turn of its own."""
        conversation = self._conversation
        if "UserPromptSubmit" in conversation.hooks:
            return
        folded = [each for each in conversation.queue if each.priority == "next" and find_command(each) is None]
        conversation.queue = [each for each in conversation.queue if each not in folded]
        for prompt in folded:
            uuid = prompt.uuid or conversation.new_id()
            conversation.say(*conversation.lifecycle(prompt, "started"))
            conversation.transcript.add("user", _plain(prompt), [uuid])
            conversation.transcript.settle([uuid], "started")
        self._folded += folded

    async def _converse(self) -> Ending:
        conversation = self._conversation
        contexts = await self._begin() if conversation.source is not None else []
        objection = None
        if "UserPromptSubmit" in conversation.hooks:
            submitted = await self._thread.fire("UserPromptSubmit", {"prompt": text(self._prompt)})
            contexts += submitted.contexts
            objection = submitted.blocked if submitted.stopped is None else submitted.stopped
        conversation.begin_turn()
        if objection is not None:
            conversation.notice(f"A UserPromptSubmit hook stopped this prompt: {objection}")
            return Ending(subtype="success", result="", terminal_reason="hook_stopped")
        uuid = self._prompt.uuid or conversation.new_id()
        conversation.transcript.add("user", _plain(self._prompt), [uuid])
        self._thread.add_contexts(contexts)
        conversation.keep(conversation.transcript)
        if self._prompt.should_query is False:
            return Ending(subtype="success", result="")
        return await self._loop.run()

    async def _begin(self) -> list[str]:
        """The first prompt of a conversation: its hooks may add to it."""
        conversation = self._conversation
        source, conversation.source = conversation.source, None
        if "SessionStart" not in conversation.hooks:
            return []
        begun = await self._thread.fire("SessionStart", {"source": source}, subject=source or "")
        return begun.contexts


def _plain(prompt: UserMessage) -> str | list[dict[str, Any]]:
    return prompt.content if isinstance(prompt.content, str) else [plain(block) for block in prompt.content]
