"""One call of the model as the host hears it: partials while it speaks, then one frame for each block."""

from typing import Any, final

import msgspec

from triologue.engine.thread import Thread
from triologue.messages import (
    AssistantBody,
    AssistantMessage,
    ContentBlock,
    Message,
    StreamEvent,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from triologue.messages.message import plain
from triologue.ports import ModelReply

# The tokens of a reply that is not complete.
_NOTHING = {"input_tokens": 0, "output_tokens": 0}


@final
class ReplyStream:
    """Turns pieces of text and the finished reply into frames.

    Pieces may belong to several text blocks. They are shown as one, because only the finished reply tells where one
    block ends; what was shown of a block is not shown again.
    """

    def __init__(self, thread: Thread, answers: list[str] | None) -> None:
        self._thread = thread
        self._conversation = conversation = thread.conversation
        self._answers = answers  # the prompts that this is the first frame for
        self.message_id = f"msg_{conversation.new_id()}"
        self._is_partial = thread.is_partial
        self._pieces: list[str] = []
        self._is_started = False
        self._is_open = False

    def piece(self, text: str) -> None:
        """The model said a bit more."""
        if not text:
            return
        self._pieces.append(text)
        if self._is_partial:
            delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
            self._conversation.emit([*self._open(), self._event(delta)])

    def finish(self, reply: ModelReply) -> list[str]:
        """The reply is complete: say its blocks, and return the uuid of each block's frame, in order."""
        usage = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
        shown = len("".join(self._pieces))
        batch: list[Message] = self._start(reply.model, usage)
        uuids = [""] * len(reply.content)
        index = 0
        if self._is_open and not any(isinstance(block, TextBlock) for block in reply.content):
            # What was shown is not in the reply after all: that block ends here.
            batch.append(self._event({"type": "content_block_stop", "index": 0}))
            index = 1
        for position in self._order(reply.content):
            block = reply.content[position]
            frame = self._frame(block, reply.model, usage)
            uuids[position] = frame.uuid or ""
            if self._is_partial:
                length = min(shown, len(block.text)) if isinstance(block, TextBlock) else 0
                batch += self._around(index, block, frame, shown=length)
                shown -= length
                index += 1
            elif self._thread.tells(block):
                batch.append(frame)
        batch += self._stop(reply.stop_reason, usage)
        self._conversation.say(*batch)
        return uuids

    def _order(self, content: list[ContentBlock]) -> list[int]:
        """The positions of the blocks in the order in which they are told: what was begun is told first."""
        order = list(range(len(content)))
        if self._is_open:
            order.sort(key=lambda position: not isinstance(content[position], TextBlock))
        return order

    def abort(self) -> tuple[str, str] | None:
        """The model was stopped: say what it had said. Returns that text and its frame's uuid."""
        text = "".join(self._pieces)
        if not text:
            return None
        frame = self._frame(TextBlock(text=text), self._conversation.model_name, dict(_NOTHING))
        frame.aborted = True
        if self._thread.tells(frame.content[0]):
            self._conversation.say(frame)
        self.close()
        return text, frame.uuid or ""

    def close(self) -> None:
        """There will be no more of this reply: end the partials that were begun."""
        if self._is_open:
            stopped = self._event({"type": "content_block_stop", "index": 0})
            self._conversation.say(stopped, *self._stop(None, _NOTHING))

    def _start(self, model: str, usage: dict[str, Any]) -> list[Message]:
        if self._is_started or not self._is_partial:
            return []
        self._is_started = True
        message: dict[str, Any] = {
            "id": self.message_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        return [self._event({"type": "message_start", "message": message})]

    def _open(self) -> list[Message]:
        """The first piece opens the message and its first block."""
        if self._is_open:
            return []
        self._is_open = True
        began = self._start(self._conversation.model_name, _NOTHING)
        return [*began, self._event(_block_start(0, TextBlock(text="")))]

    def _around(self, index: int, block: ContentBlock, frame: AssistantMessage, *, shown: int) -> list[Message]:
        """The partials of one block, with its frame just before the block's stop."""
        batch: list[Message] = []
        if index > 0 or not self._is_open:
            batch.append(self._event(_block_start(index, block)))
        if delta := _delta(block, shown):
            batch.append(self._event({"type": "content_block_delta", "index": index, "delta": delta}))
        batch += [frame, self._event({"type": "content_block_stop", "index": index})]
        return batch

    def _stop(self, stop_reason: str | None, usage: dict[str, Any]) -> list[Message]:
        if not self._is_partial:
            return []
        delta = {"stop_reason": stop_reason, "stop_sequence": None}
        ended = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": usage["output_tokens"]}}
        return [self._event(ended), self._event({"type": "message_stop"})]

    def _frame(self, block: ContentBlock, model: str, usage: dict[str, Any]) -> AssistantMessage:
        answers, self._answers = self._answers, None
        return AssistantMessage(
            message=AssistantBody(content=[block], model=model, id=self.message_id, usage=usage),
            session_id=self._conversation.session_id,
            uuid=self._conversation.new_id(),
            parent_tool_use_id=self._thread.parent_tool_use_id,
            user_message_uuid=answers[-1] if answers else None,
            user_message_uuids=answers,
        )

    def _event(self, event: dict[str, Any]) -> StreamEvent:
        return StreamEvent.of(
            event,
            session_id=self._conversation.session_id,
            uuid=self._conversation.new_id(),
        )


def _block_start(index: int, block: ContentBlock) -> dict[str, Any]:
    """How a block begins: empty, where its content comes in deltas."""
    match block:
        case TextBlock():
            start: dict[str, Any] = {"type": "text", "text": ""}
        case ThinkingBlock():
            start = {"type": "thinking", "thinking": "", "signature": ""}
        case ToolUseBlock(id=use, name=name):
            start = {"type": "tool_use", "id": use, "name": name, "input": {}}
        case _:
            start = plain(block)
    return {"type": "content_block_start", "index": index, "content_block": start}


def _delta(block: ContentBlock, shown: int) -> dict[str, Any] | None:
    """What of a block was not shown yet, in one piece."""
    match block:
        case TextBlock(text=text):
            return {"type": "text_delta", "text": text[shown:]} if len(text) > shown else None
        case ThinkingBlock(thinking=thinking):
            return {"type": "thinking_delta", "thinking": thinking}
        case ToolUseBlock(input=given):
            return {"type": "input_json_delta", "partial_json": msgspec.json.encode(given).decode()}
        case _:
            return None
